import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, QuantizeOptions
from flood_seg.errors import DataError, ModelError, OutputError
from flood_seg.export.float16 import restore_float32, store_as_float16
from flood_seg.export.quantize import quantize
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.backends.openvino import OpenVinoBackend
from flood_seg.spec import METADATA_KEY
from tests.inference.conftest import red_spec

pytest.importorskip("nncf")
SIDE = 32


def write_data(folder, count=20):
    """Photos whose water is where red is above 127.5, with some to spare."""
    for number in range(count):
        random = np.random.default_rng(number)
        photo = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        water = random.random((SIDE, SIDE)) > 0.5
        photo[:, :, 0] = np.where(water, random.integers(140, 256, water.shape), random.integers(0, 116, water.shape))
        for part, image in (("images", photo), ("masks", water)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / part / f"{number:02d}.png")
    return folder


def write_net(path, fragile):
    """Finds the red; the fragile net carries it as one of two channels, whose other is 2000 times as large.

    INT8 activations have one scale for all channels, so that the small one is lost where the second layer is quantized.
    """
    gain = 2000.0 if fragile else 1.0
    first = np.zeros((16, 3, 1, 1), np.float32)
    first[0, 0], first[1, 1] = 1.0, gain
    second, third = np.zeros((1, 16, 1, 1), np.float32), np.full((1, 1, 1, 1), 25.5, np.float32)
    second[0, 0] = 1.0
    weights = [("w1", first), ("w2", second), ("b2", np.zeros(1, np.float32))]
    weights += [("w3", third), ("b3", np.array([-12.75], np.float32))]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "w1"], ["middle"], "first"),
            helper.make_node("Conv", ["middle", "w2", "b2"], ["late"], "second"),
            helper.make_node("Conv", ["late", "w3", "b3"], ["output"], "third"),
        ],
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [numpy_helper.from_array(values, name) for name, values in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: red_spec(SIDE, SIDE).to_json()})
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("quantize") / "data")


def run(data, source, out, **options):
    return quantize(defaults(DataConfig, data_dir=str(data)), defaults(QuantizeOptions, **options), source, out)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_an_int8_model_says_what_it_is_and_finds_the_same(suffix, data, tmp_path, capsys):
    source, out = write_net(tmp_path / "net.onnx", fragile=False), tmp_path / f"int8{suffix}"
    run(data, source, out)
    backend = OnnxRuntimeBackend(out) if suffix == ".onnx" else OpenVinoBackend(out, precision="float32")
    record = backend.spec.provenance["quantization"]
    assert record["form"] == "int8" and record["calibration_images"] == 16 and record["float_layers"] == []
    assert record["iou"] > 0.99 and record["float_iou"] == 1.0
    batch = np.random.default_rng(0).random((2, 3, SIDE, SIDE), np.float32)
    exact = 25.5 * batch[:, :1] - 12.75
    error = np.abs(backend.run(batch) - exact).max()
    assert 0 < error < 0.5  # 8 bits of a range of 25.5, and not the float model
    assert "mask IoU with the float model" in capsys.readouterr().out


def test_int8_weights_are_stored_as_such(data, tmp_path):
    out = run(data, write_net(tmp_path / "net.onnx", fragile=False), tmp_path / "int8.onnx")
    model = onnx.load(out)
    assert {tensor.data_type for tensor in model.graph.initializer if "w1" in tensor.name} >= {TensorProto.INT8}
    scales = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name.startswith("w1_scale")}
    assert [scale.shape for scale in scales.values()] == [(16,)]  # per channel


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_layers_that_hurt_stay_float_until_the_loss_is_within_the_bound(suffix, data, tmp_path, capsys):
    out = tmp_path / f"int8{suffix}"
    run(data, write_net(tmp_path / "net.onnx", fragile=True), out, max_excluded=0.7)
    backend = OnnxRuntimeBackend(out) if suffix == ".onnx" else OpenVinoBackend(out, precision="float32")
    record = backend.spec.provenance["quantization"]
    assert sorted(record["float_layers"]) == ["first", "second"] and record["float_iou"] - record["iou"] <= 0.005
    said = capsys.readouterr().out
    assert "3 of 3 layers in INT8" in said and "1 of 3 layers in INT8" in said and "Left float: " in said


def test_a_model_that_misses_the_bound_is_not_written(data, tmp_path):
    source = write_net(tmp_path / "net.onnx", fragile=True)
    with pytest.raises(ModelError, match=r"not written: int8 loses \d\.\d+ of IoU with 0 of 3 layers left float"):
        run(data, source, tmp_path / "int8.onnx", max_excluded=0.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx"]


def test_the_photos_of_the_two_parts_are_never_the_same(data, tmp_path, monkeypatch):
    """Calibration sees the training part of the split, and only that."""
    from flood_seg.export import quantize as module

    parts = []
    read = module.read_images
    monkeypatch.setattr(module, "read_images", lambda pairs, *size: parts.append(set(pairs)) or read(pairs, *size))
    lines = [f"{'val' if number < 5 else 'train'}\t{number:02d}\n" for number in range(20)]
    (tmp_path / "split.txt").write_text("".join(lines))  # beside the model, as a run leaves it
    run(data, write_net(tmp_path / "net.onnx", fragile=False), tmp_path / "a.onnx", calibration_images=7)
    calibration, validation = parts
    assert {pair.stem for pair in validation} == {f"{number:02d}" for number in range(5)}
    assert len(calibration) == 7 and not calibration & validation


def test_float16_is_the_second_form(data, tmp_path):
    source = write_net(tmp_path / "net.onnx", fragile=False)
    out = run(data, source, tmp_path / "half.onnx", form="float16")
    assert OnnxRuntimeBackend(out).spec.provenance["quantization"]["form"] == "float16"
    assert OpenVinoBackend(run(data, source, tmp_path / "half.xml", form="float16")).spec.height == SIDE


def test_float16_weights_are_restored_before_quantizing():
    weights = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float16).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph)
    store_as_float16(model)
    assert [node.op_type for node in model.graph.node] == ["Cast", "MatMul"]
    restore_float32(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), weights)


def test_what_cannot_be_quantized_is_a_line(data, tmp_path):
    source = write_net(tmp_path / "net.onnx", fragile=False)
    with pytest.raises(OutputError, match="give --out another .onnx"):
        run(data, source, source)
    with pytest.raises(OutputError, match="give --out another .onnx"):
        run(data, source, tmp_path / "x.tflite")
    with pytest.raises(DataError, match="--data FOLDER"):
        run(tmp_path / "nowhere", source, tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="is quantized already"):
        run(data, run(data, source, tmp_path / "a.onnx"), tmp_path / "b.onnx")
