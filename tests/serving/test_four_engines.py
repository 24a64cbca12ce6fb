"""One trained network through PyTorch, ONNX Runtime, OpenVINO and a Triton server: all answer the same."""

import json
import subprocess
import sys

import pytest
import torch

from flood_seg.export.onnx import export_onnx
from flood_seg.spec import METADATA_KEY
from flood_seg.training.network import build_network
from tests.conftest import make_spec, write_ponds
from tests.serving.conftest import AT_ONCE, serve

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    write_ponds(folder / "data", 4)
    for seed, name in enumerate(("best", "other")):
        torch.manual_seed(seed)
        network, spec = build_network("Unet", "mobilenet_v2", 3, 1).eval(), make_spec()
        weights = {f"network.{key}": value for key, value in network.state_dict().items()}
        torch.save({METADATA_KEY: spec.to_json(), "state_dict": weights}, folder / f"{name}.ckpt")
        export_onnx(network, spec, folder / f"{name}.onnx")
    return folder


def verify(folder, *models):
    command = [sys.executable, "-m", "flood_seg", "verify", "--models", *models, "--data", "data", "--out", "v.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_all_four_agree_and_another_model_does_not(folder):
    served = serve(folder, folder / "best.onnx", AT_ONCE)
    try:
        address = f"triton:127.0.0.1:{served.http}/flood_area_segmentation"
        models = ("best.ckpt", "best.onnx", "openvino,precision=float32:best.onnx", address)
        done = verify(folder, *models, f"grpc://127.0.0.1:{served.grpc}/flood_area_segmentation")
        assert done.returncode == 0, done.stdout + done.stderr
        record = json.loads((folder / "v.json").read_text())
        assert [model["engine"].split()[0] for model in record["models"]] == [
            "torch", "onnxruntime", "openvino", "triton", "triton",
        ]  # fmt: skip
        assert all(model["agreement"]["probability"] < 1e-3 for model in record["models"][1:])
        confusions = []
        for model in ("best.ckpt", f"http://127.0.0.1:{served.http}/flood_area_segmentation"):
            evaluated = subprocess.run(
                [sys.executable, "-m", "flood_seg", "evaluate", "--model", model, "--data", "data", "--out", "e"],
                cwd=folder, capture_output=True, text=True, timeout=100, check=False,
            )  # fmt: skip
            assert evaluated.returncode == 0, evaluated.stderr
            confusions.append(json.loads((folder / "e" / "metrics.json").read_text())["confusion"])
        assert sum(abs(a - b) for one, two in zip(*confusions, strict=True) for a, b in zip(one, two, strict=True)) <= 8
        other = verify(folder, address, "other.onnx")
        assert other.returncode == 1 and "other.onnx: further from" in other.stderr and other.stderr.count("\n") == 1
    finally:
        served.process.terminate()
        assert served.process.wait(30) == 0
