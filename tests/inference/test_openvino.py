import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from flood_seg.errors import BackendError, ConfigError, ModelError
from flood_seg.inference.backends.openvino import KEPT_SHAPES, OpenVinoBackend
from tests.inference.conftest import red_spec, write_model

pytest.importorskip("openvino")


def test_it_runs_the_model_and_knows_its_spec(red_model):
    backend = OpenVinoBackend(red_model, precision="float32")
    assert backend.spec == red_spec() and backend.description == "openvino cpu float32"
    batch = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    logits = backend.run(batch)
    assert logits.shape == (2, 1, 64, 64) and logits.dtype == np.float32
    np.testing.assert_allclose(logits[:, 0], 25.5 * batch[:, 0] - 12.75, atol=1e-4)


def test_answers_stay_what_they_were_when_more_is_run(red_model):
    backend = OpenVinoBackend(red_model, precision="float32")
    first = backend.run(np.zeros((1, 3, 64, 64), np.float32))
    backend.run(np.ones((1, 3, 64, 64), np.float32))
    assert np.allclose(first, -12.75)


def test_any_size_runs_and_only_the_last_ones_stay_compiled(red_model):
    backend = OpenVinoBackend(red_model, precision="float32")
    for side in range(20, 20 + 2 * KEPT_SHAPES):
        assert backend.run(np.ones((1, 3, side, 30), np.float32)).shape == (1, 1, side, 30)
    assert len(backend._compiled) == KEPT_SHAPES


def test_streams_answer_as_one_does(red_model):
    backend = OpenVinoBackend(red_model, precision="float32", streams=2, threads=2)
    batches = [np.random.default_rng(n).random((1, 3, 64, 64), np.float32) for n in range(12)]
    with ThreadPoolExecutor(backend.concurrency) as pool:
        for batch, logits in zip(batches, pool.map(backend.run, batches), strict=True):
            np.testing.assert_allclose(logits[:, 0], 25.5 * batch[:, 0] - 12.75, atol=1e-4)


def test_what_is_not_there_is_refused_with_what_is(red_model, monkeypatch):
    with pytest.raises(BackendError, match=r"backend.device=npu: not on this machine; OpenVINO finds .*cpu"):
        OpenVinoBackend(red_model, device="npu")
    with pytest.raises(ConfigError, match=r"backend.precision=bfloat61: .*did you mean 'bfloat16'"):
        OpenVinoBackend(red_model, precision="bfloat61")
    with pytest.raises(ConfigError, match=r"backend.threads=-1: must be at least 0"):
        OpenVinoBackend(red_model, threads=-1)
    monkeypatch.setattr("flood_seg.inference.backends.openvino._capabilities", lambda *_: ["FP32", "INT8"])
    with pytest.raises(BackendError, match=r"backend.precision=bfloat16: this CPU computes in float32 only"):
        OpenVinoBackend(red_model, precision="bfloat16")
    assert OpenVinoBackend(red_model).description == "openvino cpu float32"
    monkeypatch.setattr("flood_seg.inference.backends.openvino._capabilities", lambda *_: ["FP32", "BF16"])
    assert OpenVinoBackend(red_model).description == "openvino cpu bfloat16"


def test_broken_models_are_a_line(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        OpenVinoBackend(tmp_path / "no.onnx")
    for content in (b"", b"no model at all", write_model(tmp_path / "m.onnx", red_spec()).read_bytes()[:150]):
        (tmp_path / "broken.onnx").write_bytes(content)
        with pytest.raises(ModelError, match="not a whole ONNX or OpenVINO model") as caught:
            OpenVinoBackend(tmp_path / "broken.onnx")
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="carries no ModelSpec"):
        OpenVinoBackend(write_model(tmp_path / "bare.onnx", None))
    with pytest.raises(ModelError, match=r"takes input: float32 \[-1, 4, -1, -1\]; its ModelSpec says"):
        OpenVinoBackend(write_model(tmp_path / "four.onnx", red_spec(), bands=4))


INTERRUPTED = """
import gc, os, signal, sys, threading
import numpy as np
from pathlib import Path
from flood_seg.inference.backends.openvino import OpenVinoBackend

engines = [OpenVinoBackend(Path(sys.argv[1])) for _ in range(2)]
for engine in engines:
    engine.run(np.zeros((1, 3, 64, 64), np.float32))
del engine
engines.pop(0)
last = threading.Thread(target=lambda: (engines.clear(), gc.collect()))
last.start()
last.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a single process")
def test_ctrl_c_is_no_crash_when_engines_are_gone(red_model):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, red_model], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


AFFINITIES = """
import os, sys, threading
import numpy as np
from pathlib import Path
from flood_seg.inference.backends.openvino import OpenVinoBackend

backend = OpenVinoBackend(Path(sys.argv[1]), precision="float32", threads=1)
batch = np.zeros((1, 3, 512, 512), np.float32)
worker, seen = threading.Thread(target=lambda: [backend.run(batch) for _ in range(300)]), set()
worker.start()
while worker.is_alive():
    for task in os.listdir("/proc/self/task"):
        try:
            seen.add(len(os.sched_getaffinity(int(task))))
        except ProcessLookupError:  # it has ended
            pass
worker.join()
print(min(seen))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="tells processors of threads on Linux alone")
def test_processes_with_a_thread_each_do_not_share_a_core(red_model):
    command = [sys.executable, "-c", AFFINITIES, str(red_model)]
    allowed = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert allowed == len(os.sched_getaffinity(0))
