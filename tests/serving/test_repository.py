import json

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from flood_seg.errors import OutputError
from flood_seg.serving.repository import Serving, write_repository
from flood_seg.spec import METADATA_KEY, ModelSpec
from tests.inference.conftest import red_spec, write_model


def read(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def test_the_onnx_variant_for_the_container(tmp_path):
    spec = red_spec(class_names=("land", 'wa"ter\n'))  # text that must be escaped
    model = write_model(tmp_path / "m.onnx", spec)
    serving = Serving("onnxruntime", max_batch_size=4, queue_delay_us=500, instances=2, use_gpus=True)
    folder = write_repository(tmp_path / "root", "flood", model, spec, serving)
    config = read(folder)
    assert (config.name, config.backend, config.max_batch_size) == ("flood", "onnxruntime", 4)
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [
        ("input", model_config_pb2.TYPE_FP32, [3, -1, -1])
    ]
    assert [(t.name, list(t.dims)) for t in config.output] == [("output", [1, -1, -1])]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    (group,) = config.instance_group
    assert group.count == 2 and group.kind == group.KIND_GPU
    assert ModelSpec.from_json(config.parameters[METADATA_KEY].string_value) == spec
    assert (folder / "1" / "model.onnx").read_bytes() == model.read_bytes()
    assert sorted(path.name for path in folder.rglob("*")) == ["1", "config.pbtxt", "model.onnx"]


def test_the_tensorrt_variant_has_the_plans_size(tmp_path):
    (tmp_path / "m.plan").write_bytes(b"plan")
    folder = write_repository(tmp_path / "root", "flood", tmp_path / "m.plan", red_spec(), Serving("tensorrt"))
    assert list(read(folder).input[0].dims) == [3, 64, 64]
    assert (folder / "1" / "model.plan").read_bytes() == b"plan"


def test_the_embedded_variant_brings_the_engine_and_its_weights(tmp_path):
    for name in ("m.xml", "m.bin"):
        (tmp_path / name).write_text(name)
    serving = Serving("python", engine={"_target_": "x", "threads": 2}, beside={"a/b": tmp_path / "m.bin"})
    folder = write_repository(tmp_path / "root", "flood", tmp_path / "m.xml", red_spec(), serving)
    assert json.loads(read(folder).parameters["flood_seg.backend"].string_value) == serving.engine
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
        "config.pbtxt", "1/model.py", "1/model.xml", "1/model.bin", "a/b",
    }  # fmt: skip


def test_what_is_served_already_can_be_served_again(tmp_path):
    model = write_model(tmp_path / "m.onnx", red_spec())
    folder = write_repository(tmp_path / "root", "flood", model, red_spec(), Serving("onnxruntime"))
    model.unlink()
    before = (folder / "1" / "model.onnx").read_bytes()
    write_repository(tmp_path / "root", "flood", folder / "1" / "model.onnx", red_spec(), Serving("onnxruntime"))
    assert (folder / "1" / "model.onnx").read_bytes() == before


def test_a_repository_that_cannot_be_written_is_a_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"choose triton.repository"):
        write_repository(tmp_path / "file", "flood", tmp_path / "m.onnx", red_spec(), Serving("onnxruntime"))
