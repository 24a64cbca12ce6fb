"""What backends declare before a model is loaded, and what follows from it."""

import shutil
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from flood_seg.config.repository import configs_dir
from flood_seg.errors import ConfigError
from flood_seg.inference import engines
from flood_seg.inference.backends.contract import Backend
from flood_seg.inference.engines import Engine, as_trained, backends, on_gpu, open_backend, parse_engine
from tests.inference.conftest import red_spec


def node(name: str, **changes: object) -> dict[str, object]:
    return Engine(name, (), "m").node() | changes


def test_each_choice_is_a_backend_and_no_suffix_or_scheme_has_two():
    found = backends()
    assert set(found) == {"onnxruntime", "openvino", "tensorrt", "torch", "triton"}
    names = [name for backend in found.values() for name in (*backend.suffixes, *backend.schemes)]
    assert len(names) == len(set(names)) and all(backend.suffixes or backend.schemes for backend in found.values())


def test_asking_backends_loads_no_engine():
    heavy = ["torch", "onnxruntime", "openvino", "tensorrt", "tritonclient", "gevent", "grpc"]
    code = (
        "import sys; from flood_seg.inference.engines import backends, engine_of; backends(); engine_of('m.ckpt');"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_only_what_is_left_open_follows_the_training():
    assert as_trained(node("torch"))["precision"] == "trained"
    assert as_trained(node("torch", precision="float32"))["precision"] == "float32"
    assert as_trained(node("onnxruntime")) == node("onnxruntime")


def test_only_a_device_that_is_left_open_becomes_the_gpu():
    assert on_gpu(node("onnxruntime"))["provider"] == "cuda"
    assert on_gpu(node("onnxruntime", provider="cpu"))["provider"] == "cpu"
    assert on_gpu(node("openvino")) == node("openvino")


@pytest.mark.parametrize("target", ["flood_seg.inference.predictor.Predictor", "flood_seg.files.write_json"])
def test_what_is_no_backend_is_refused(target):
    with pytest.raises(ConfigError, match=r"backend._target_=.*: is not a backend"):
        open_backend({"_target_": target}, "m.onnx")


class Constant(Backend):
    """Answers a constant."""

    suffixes = (".constant",)
    concurrency, description = 1, "constant"

    def __init__(self, model, value: float = 1.0) -> None:
        self.spec, self._value, self.model = red_spec(), value, model

    def run(self, batch: np.ndarray) -> np.ndarray:
        return np.full((len(batch), 1, *batch.shape[2:]), self._value, np.float32)


def test_a_new_backend_is_one_file_and_one_yaml(tmp_path, monkeypatch):
    module = ModuleType("flood_seg.inference.backends.constant")
    module.Constant = Constant
    monkeypatch.setitem(sys.modules, module.__name__, module)
    shutil.copytree(configs_dir(), tmp_path / "configs")
    (tmp_path / "configs" / "backend" / "constant.yaml").write_text(
        f"_target_: {module.__name__}.Constant\nvalue: 2.0\n"
    )
    monkeypatch.setattr(engines, "configs_dir", lambda: tmp_path / "configs")
    backends.cache_clear()
    try:
        assert parse_engine("a/m.constant") == Engine("constant", (), "a/m.constant")
        assert parse_engine("constant:m.onnx") == Engine("constant", (), "m.onnx")
        backend = open_backend({"_target_": f"{module.__name__}.Constant", "value": 2.0}, "m.constant", warmup=1)
        assert backend.run(np.zeros((1, 3, 4, 5), np.float32)).shape == (1, 1, 4, 5)
        assert backend.model.name == "m.constant"  # a Path, since it names no scheme
    finally:
        backends.cache_clear()
