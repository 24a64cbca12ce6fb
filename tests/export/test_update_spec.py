"""A changed spec in each kind of artefact: the weights stay, and the engine reads the new one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from flood_seg.errors import ModelError
from flood_seg.export.onnx import export_onnx
from flood_seg.export.update_spec import check_writable, write_spec
from flood_seg.inference.engines import open_backend, parse_engine
from flood_seg.networks.network import build_network
from flood_seg.spec import METADATA_KEY, ModelSpec
from tests.conftest import make_spec


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The same untrained network as checkpoint, ONNX file and OpenVINO model."""
    folder = tmp_path_factory.mktemp("respec")
    torch.manual_seed(0)
    network, spec = build_network("Unet", "mobilenet_v2", 3, 1).eval(), make_spec()
    weights = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({METADATA_KEY: spec.to_json(), "state_dict": weights, "epoch": 7}, folder / "real.ckpt")
    (folder / "best.ckpt").symlink_to("real.ckpt")
    export_onnx(network, spec, folder / "model.onnx")
    openvino = pytest.importorskip("openvino")
    openvino.save_model(openvino.Core().read_model(folder / "model.onnx"), folder / "model.xml")
    return folder


@pytest.mark.parametrize("name", ["best.ckpt", "model.onnx", "model.xml"])
def test_the_engine_reads_the_new_spec_and_answers_as_before(folder, name):
    engine = parse_engine(str(folder / name))
    batch = np.random.default_rng(0).random((1, 3, 64, 64)).astype(np.float32)
    before = open_backend(engine.node(), engine.model)
    changed = replace(before.spec, threshold=0.3, temperature=1.7)
    write_spec(folder / name, changed)
    after = open_backend(engine.node(), engine.model)
    assert after.spec == changed
    np.testing.assert_array_equal(after.run(batch), before.run(batch))
    assert not list(folder.glob(".*")) and (folder / "best.ckpt").is_symlink()


def test_a_plans_record_is_changed_and_the_plan_is_not(tmp_path):
    (tmp_path / "model.plan").write_bytes(b"a plan")
    record = {"spec": json.loads(make_spec().to_json()), "tensorrt_version": "10.4", "gpu": {"name": "some"}}
    (tmp_path / "model.plan.json").write_text(json.dumps(record))
    write_spec(tmp_path / "model.plan", make_spec(threshold=0.3))
    found = json.loads((tmp_path / "model.plan.json").read_text())
    assert ModelSpec.from_json(json.dumps(found["spec"])).threshold == 0.3
    assert {key: found[key] for key in ("tensorrt_version", "gpu")} == {
        key: record[key] for key in ("tensorrt_version", "gpu")
    }
    assert (tmp_path / "model.plan").read_bytes() == b"a plan"


@pytest.mark.parametrize("model", ["http://server:8000/water", "none.onnx", "notes.txt"])
def test_what_is_no_file_of_ours_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").touch()
    with pytest.raises(ModelError, match="its spec cannot be changed here; give the file"):
        check_writable(model)


def test_a_spec_that_cannot_be_is_refused():
    with pytest.raises(ModelError, match="temperature 0"):
        make_spec(temperature=0.0)
    with pytest.raises(ModelError, match="threshold is 1.2"):
        make_spec(threshold=1.2)
