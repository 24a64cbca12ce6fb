"""One trained network through PyTorch, ONNX Runtime, OpenVINO and a Triton server: all answer the same."""

import json

import pytest
import torch

from flood_seg.benchmarking.verify import verify
from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, EvaluateConfig, VerifyOptions
from flood_seg.errors import DisagreementError
from flood_seg.export.onnx import export_onnx
from flood_seg.inference.engines import choose_engine
from flood_seg.networks.network import build_network
from flood_seg.spec import METADATA_KEY
from flood_seg.verbs.evaluate import run_evaluation as evaluate
from tests.conftest import make_spec, write_ponds
from tests.inference.conftest import write_model
from tests.serving.conftest import AT_ONCE, serve

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    write_ponds(folder / "data", 4)
    torch.manual_seed(0)
    network, spec = build_network("Unet", "mobilenet_v2", 3, 1).eval(), make_spec()
    weights = {f"network.{key}": value for key, value in network.state_dict().items()}
    torch.save({METADATA_KEY: spec.to_json(), "state_dict": weights}, folder / "best.ckpt")
    export_onnx(network, spec, folder / "best.onnx")
    write_model(folder / "other.onnx", spec)
    return folder


def test_all_four_agree_and_another_model_does_not(folder, monkeypatch):
    monkeypatch.chdir(folder)
    served = serve(folder, folder / "best.onnx", AT_ONCE)
    try:
        http, grpc = (f"{getattr(served, name)}/flood_area_segmentation" for name in ("http", "grpc"))
        models = ["best.ckpt", "best.onnx", "openvino,precision=float32:best.onnx", f"triton:127.0.0.1:{http}"]
        with pytest.raises(DisagreementError) as caught:
            verify(
                defaults(DataConfig, data_dir="data"),
                defaults(VerifyOptions),
                [*models, f"grpc://127.0.0.1:{grpc}", "other.onnx"],
                folder / "v.json",
            )
        assert str(caught.value).startswith("other.onnx: differs from best.ckpt"), "one alone differs"
        record = json.loads((folder / "v.json").read_text())
        assert [model["engine"].split()[0] for model in record["models"]] == [
            "torch", "onnxruntime", "openvino", "triton", "triton", "onnxruntime",
        ]  # fmt: skip
        assert all(model["agreement"]["probability"] < 1e-3 for model in record["models"][1:-1])
        confusions = []
        for model in ("best.ckpt", f"http://127.0.0.1:{http}"):
            config = compose("evaluate", choose_engine(["datamodule.data_dir=data"], model)[0], EvaluateConfig)
            confusions.append(evaluate(config, model).record["confusion"])
        assert sum(abs(a - b) for one, two in zip(*confusions, strict=True) for a, b in zip(one, two, strict=True)) <= 8
    finally:
        served.process.terminate()
        assert served.process.wait(30) == 0
