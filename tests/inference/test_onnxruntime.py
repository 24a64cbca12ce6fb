import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest

from flood_seg.errors import BackendError, ConfigError, ModelError
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from tests.inference.conftest import red_spec, write_model


def test_it_runs_the_model_and_knows_its_spec(red_model):
    backend = OnnxRuntimeBackend(red_model)
    assert backend.spec == red_spec() and backend.description == "onnxruntime cpu"
    batch = np.random.default_rng(0).random((2, 3, 5, 7), np.float32)
    np.testing.assert_allclose(backend.run(batch), batch[:, :1] * 25.5 - 12.75, atol=1e-5)


def test_a_provider_that_is_not_there_lists_what_is(red_model):
    with pytest.raises(BackendError, match="backend.provider=cuda: not available in .*; available are cpu"):
        OnnxRuntimeBackend(red_model, provider="cuda")


def test_an_unknown_provider_lists_the_known(red_model):
    with pytest.raises(ConfigError, match="allowed are auto, tensorrt, cuda, cpu"):
        OnnxRuntimeBackend(red_model, provider="gpux")


@pytest.fixture
def pretend_cuda(monkeypatch):
    """ONNX Runtime says that it has CUDA, and then falls back to the CPU, as it does where the driver is broken."""
    real = onnxruntime.InferenceSession
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda model, options, providers, **_: real(model, options, providers=["CPUExecutionProvider"]),
    )


def test_a_silent_fall_back_to_the_cpu_is_an_error(red_model, pretend_cuda):
    with pytest.raises(BackendError, match="fell back to CPUExecutionProvider"):
        OnnxRuntimeBackend(red_model, provider="cuda")


def test_auto_takes_the_cpu_where_the_gpu_does_not_work_and_says_so(red_model, pretend_cuda):
    assert OnnxRuntimeBackend(red_model, provider="auto").description == "onnxruntime cpu"


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_what_is_no_model_is_named(tmp_path, content):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match="m.onnx") as error:
        OnnxRuntimeBackend(path)
    assert "\n" not in str(error.value)


def test_a_truncated_model_is_named(red_model):
    red_model.write_bytes(red_model.read_bytes()[:200])
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        OnnxRuntimeBackend(red_model)


def test_a_model_without_a_spec_is_refused_with_the_way_to_give_one(tmp_path):
    with pytest.raises(ModelError, match="carries no ModelSpec.*convert-to-onnx"):
        OnnxRuntimeBackend(write_model(tmp_path / "m.onnx", None))


def test_a_spec_that_does_not_fit_the_graph_is_refused(tmp_path):
    with pytest.raises(
        ModelError, match=r"takes input: float32 \['batch', 4, .* says input: float32 \['batch', 3, 64, 64\]"
    ):
        OnnxRuntimeBackend(write_model(tmp_path / "m.onnx", red_spec(), bands=4))
    with pytest.raises(ModelError, match="ModelSpec says x: float"):
        OnnxRuntimeBackend(write_model(tmp_path / "n.onnx", red_spec(input_name="x")))
    with pytest.raises(ModelError, match="answers output: float32 .* says output: float32 .*2, 64, 64"):
        two = red_spec(task="multiclass")
        OnnxRuntimeBackend(write_model(tmp_path / "p.onnx", two))
    with pytest.raises(ModelError, match=r"32, 32\]; its ModelSpec says input: float32 .*64, 64"):
        OnnxRuntimeBackend(write_model(tmp_path / "q.onnx", red_spec(), size=(32, 32)))
    with pytest.raises(ModelError, match="not JSON"):
        OnnxRuntimeBackend(write_model(tmp_path / "o.onnx", None, metadata="{"))


def test_a_graph_of_a_fixed_or_wholly_dynamic_size_fits(tmp_path):
    assert OnnxRuntimeBackend(write_model(tmp_path / "m.onnx", red_spec(), size=(64, 64))).spec.height == 64
    assert OnnxRuntimeBackend(write_model(tmp_path / "n.onnx", red_spec(), size=("h", "w"))).spec.height == 64


def test_a_provider_that_fails_later_does_not_leave_the_work_to_the_cpu(red_model):
    """ONNX Runtime would by itself print to stdout and go on."""
    with OnnxRuntimeBackend(red_model)._sessions.take() as session:
        assert session._enable_fallback is False


@pytest.mark.parametrize(("threads", "streams"), [(0, 1), (1, 2), (4, 2)])
def test_streams_answer_as_one_does(red_model, threads, streams):
    backend = OnnxRuntimeBackend(red_model, threads=threads, streams=streams)
    assert backend.concurrency == streams
    batches = [np.random.default_rng(n).random((1, 3, 64, 64), np.float32) for n in range(12)]
    with ThreadPoolExecutor(streams) as pool:
        for batch, logits in zip(batches, pool.map(backend.run, batches), strict=True):
            np.testing.assert_allclose(logits[:, 0], 25.5 * batch[:, 0] - 12.75, atol=1e-4)


def test_the_runtimes_own_log_lines_do_not_reach_stderr(red_model, capfd):
    red_model.write_bytes(red_model.read_bytes()[:200])
    with pytest.raises(ModelError):
        OnnxRuntimeBackend(red_model)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_written_into_the_home_folder(red_model, tmp_path):
    code = f"import flood_seg; flood_seg.load_model({str(red_model)!r})"
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    (tmp_path / "home").mkdir()
    subprocess.run([sys.executable, "-c", code], env=environment | {"HOME": str(tmp_path / "home")}, check=True)
    assert not [*(tmp_path / "home").rglob("*")]
