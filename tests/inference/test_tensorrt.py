"""The TensorRT engine without a GPU: its checks, and its use of the two packages with stand-ins for both.

The stand-ins keep "GPU" memory in ordinary memory and add 1 to each value: they hold that inputs are copied in, answers
out, large batches split and buffers kept. They say nothing of TensorRT itself.
"""

import ctypes
import gc
import json
import sys
import threading
import types
from dataclasses import asdict

import numpy as np
import pytest

from flood_seg.errors import BackendError, MissingExtraError, ModelError
from flood_seg.inference.backends.tensorrt import TensorRtBackend, check_fits, read_sidecar, sidecar_of
from tests.inference.conftest import red_spec

RECORD = {
    "spec": asdict(red_spec()),
    "tensorrt_version": "10.9.0",
    "gpu": {"name": "NVIDIA H200", "compute_capability": "9.0"},
    "shapes": {"name": "input", "min": [1, 3, 64, 64], "opt": [2, 3, 64, 64], "max": [4, 3, 64, 64]},
    "precision": "float16",
}


@pytest.fixture
def plan(tmp_path):
    path = tmp_path / "m.plan"
    path.write_bytes(b"plan")
    sidecar_of(path).write_text(json.dumps(RECORD))
    return path


@pytest.fixture
def gpu(monkeypatch):
    """Stand-ins for tensorrt and cuda.bindings.runtime; returns what was allocated and which shapes were run."""
    seen = types.SimpleNamespace(allocated=[], freed=[], shapes=[], devices=[], streams=[7])
    memory = {}

    def allocate(size):
        buffer = ctypes.create_string_buffer(size)
        memory[ctypes.addressof(buffer)] = buffer
        seen.allocated.append(size)
        return 0, ctypes.addressof(buffer)

    class Context:
        def set_input_shape(self, name, shape):
            self.shape = tuple(shape)
            return shape[0] <= 4

        def get_tensor_shape(self, name):
            return (self.shape[0], 1, *self.shape[2:])

        def set_tensor_address(self, name, address):
            setattr(self, name, address)

        def execute_async_v3(self, stream):
            seen.shapes.append(self.shape)
            count = int(np.prod(self.shape))
            batch = np.ctypeslib.as_array((ctypes.c_float * count).from_address(self.input)).reshape(self.shape)
            answer = np.ascontiguousarray(batch[:, :1] + 1)
            ctypes.memmove(self.output, answer.ctypes.data, answer.nbytes)
            return True

    def copy(target, source, size, kind, stream):
        ctypes.memmove(int(target), int(source), size)
        return (0,)

    runtime = types.SimpleNamespace(
        cudaGetDeviceCount=lambda: (0, 1),
        cudaGetDeviceProperties=lambda _: (0, types.SimpleNamespace(name=b"NVIDIA H200", major=9, minor=0)),
        cudaSetDevice=lambda device: (0, seen.devices.append((threading.get_ident(), device)))[:1],
        cudaStreamCreate=lambda: (0, 7), cudaStreamDestroy=lambda stream: (0, seen.streams.remove(stream))[:1],
        cudaMalloc=allocate, cudaMemcpyAsync=copy,
        cudaFree=lambda address: (0, seen.freed.append(address))[:1], cudaStreamSynchronize=lambda _: (0,),
        cudaMemcpyKind=types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2),
    )  # fmt: skip
    engine = types.SimpleNamespace(create_execution_context=Context)
    tensorrt = types.ModuleType("tensorrt")
    tensorrt.__version__ = "10.13.2"
    tensorrt.Logger = type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None})
    tensorrt.Runtime = lambda _: types.SimpleNamespace(deserialize_cuda_engine=lambda data: engine)
    bindings = types.ModuleType("cuda.bindings")
    bindings.runtime = runtime
    for name, stand_in in {"cuda": types.ModuleType("cuda"), "cuda.bindings": bindings, "tensorrt": tensorrt}.items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", runtime)
    return seen


def test_batches_go_in_and_answers_come_out(plan, gpu):
    backend = TensorRtBackend(plan)
    assert backend.spec == red_spec() and backend.description == "tensorrt 10.13.2 float16 on NVIDIA H200"
    for count in (1, 4, 2):
        batch = np.random.default_rng(count).random((count, 3, 64, 64), np.float32)
        assert np.array_equal(backend.run(batch), batch[:, :1] + 1)
    assert len(gpu.allocated) == 4 and len(gpu.freed) == 2  # input and output, grown once, then kept


def test_a_batch_beyond_the_plans_largest_is_split(plan, gpu):
    batch = np.random.default_rng(0).random((10, 3, 64, 64), np.float32)
    assert np.array_equal(TensorRtBackend(plan).run(batch), batch[:, :1] + 1)
    assert [shape[0] for shape in gpu.shapes] == [4, 4, 2]


def test_no_such_gpu_and_failures_of_cuda_are_a_line(plan, gpu, monkeypatch):
    runtime = sys.modules["cuda.bindings"].runtime
    with pytest.raises(BackendError, match=r"backend.device=1: CUDA finds no such GPU"):
        TensorRtBackend(plan, device=1)
    backend = TensorRtBackend(plan)
    monkeypatch.setattr(runtime, "cudaMalloc", lambda _: (2,))
    with pytest.raises(BackendError, match="CUDA failed"):
        backend.run(np.zeros((1, 3, 64, 64), np.float32))


def test_memory_that_was_given_back_is_not_used_again(plan, gpu, monkeypatch):
    """Growing fails where the GPU is full; the next, smaller batch must ask for memory of its own."""
    runtime, backend = sys.modules["cuda.bindings"].runtime, TensorRtBackend(plan)
    allocate = runtime.cudaMalloc
    backend.run(np.zeros((1, 3, 64, 64), np.float32))
    monkeypatch.setattr(runtime, "cudaMalloc", lambda _: (2,))
    with pytest.raises(BackendError, match="CUDA failed"):
        backend.run(np.zeros((4, 3, 64, 64), np.float32))
    monkeypatch.setattr(runtime, "cudaMalloc", allocate)
    assert len(gpu.allocated) == 2 and len(gpu.freed) == 1
    batch = np.ones((1, 3, 64, 64), np.float32)
    assert np.array_equal(backend.run(batch), batch[:, :1] + 1)
    assert len(gpu.allocated) == 3  # the input's anew, the output's was kept


def test_an_engine_that_is_gone_holds_no_memory(plan, gpu):
    backend = TensorRtBackend(plan)
    backend.run(np.zeros((1, 3, 64, 64), np.float32))
    assert not gpu.freed
    del backend
    gc.collect()
    assert len(gpu.freed) == len(gpu.allocated) == 2 and not gpu.streams


def test_each_thread_is_told_which_gpu(plan, gpu, monkeypatch):
    monkeypatch.setattr(sys.modules["cuda.bindings"].runtime, "cudaGetDeviceCount", lambda: (0, 2))
    backend = TensorRtBackend(plan, device=1)
    thread = threading.Thread(target=backend.run, args=(np.zeros((1, 3, 64, 64), np.float32),))
    thread.start()
    thread.join()
    assert gpu.devices == [(threading.get_ident(), 1), (thread.ident, 1)]


def test_a_shape_that_the_plan_does_not_take_is_told_with_those_it_takes(plan, gpu, monkeypatch):
    backend = TensorRtBackend(plan)
    monkeypatch.setattr(backend._context, "set_input_shape", lambda name, shape: False)
    with pytest.raises(ModelError, match=r"m.plan: takes 1×3×64×64 to 4×3×64×64, not 1×3×96×64; build it here"):
        backend.run(np.zeros((1, 3, 96, 64), np.float32))


def test_a_plan_that_tensorrt_cannot_load_is_a_line_with_both_versions(plan, gpu, monkeypatch):
    refuses = types.SimpleNamespace(deserialize_cuda_engine=lambda data: None)
    monkeypatch.setattr(sys.modules["tensorrt"], "Runtime", lambda _: refuses)
    with pytest.raises(ModelError, match=r"TensorRT 10.13.2 cannot load it .built with 10.9.0.; build it here"):
        TensorRtBackend(plan)


def test_without_the_package_the_message_says_what_to_install(plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'flood-seg\[tensorrt\]'"):
        TensorRtBackend(plan)


def test_a_plan_for_another_tensorrt_or_gpu_is_refused(plan):
    sidecar = read_sidecar(plan)
    check_fits(plan, sidecar, "10.1.0", ("NVIDIA H100", "9.0"))  # the same major version, the same architecture
    with pytest.raises(ModelError, match=r"m.plan: built with TensorRT 10.9.0, here is 11.4.0; build it here"):
        check_fits(plan, sidecar, "11.4.0", ("NVIDIA H200", "9.0"))
    with pytest.raises(ModelError, match=r"built for NVIDIA H200 .compute capability 9.0., here is NVIDIA T4 .7.5."):
        check_fits(plan, sidecar, "10.9.0", ("NVIDIA T4", "7.5"))


def test_a_plan_without_a_whole_record_is_refused(plan, tmp_path):
    with pytest.raises(ModelError, match=r"no.plan: no such file; build it here"):
        read_sidecar(tmp_path / "no.plan")
    damages = ({"gpu": None}, {"shapes": {}}, {"shapes": {"min": [1, 3, 64, 64], "max": []}})
    for content in ("{", "{}", *(json.dumps(RECORD | change) for change in damages)):
        sidecar_of(plan).write_text(content)
        with pytest.raises(ModelError, match="not what convert-to-trt writes"):
            read_sidecar(plan)
    sidecar_of(plan).unlink()
    with pytest.raises(ModelError, match=r"m.plan.json: no such file"):
        read_sidecar(plan)
