"""TensorRT in process, from a plan that `flood-seg convert-to-trt` built for this GPU."""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flood_seg.errors import BackendError, MissingExtraError, ModelError
from flood_seg.inference.backends.contract import Backend
from flood_seg.spec import ModelSpec

REBUILD = "build it here: flood-seg convert-to-trt --onnx MODEL --trt"


@dataclass(frozen=True)
class Sidecar:
    """The record beside a plan.

    Attributes:
        spec: the model's.
        tensorrt_version: of the builder.
        compute_capability: of the GPU that the plan was built for; empty where the builder did not report it.
        gpu: its name.
        precision: `float16`, `bfloat16` or `float32`.
        smallest: [batch, bands, height, width] of the smallest input that it takes.
        largest: [batch, bands, height, width] of the largest input that it takes.
    """

    spec: ModelSpec
    tensorrt_version: str
    compute_capability: str
    gpu: str
    precision: str
    smallest: tuple[int, int, int, int]
    largest: tuple[int, int, int, int]


def sidecar_of(plan: Path) -> Path:
    """Returns the path of the record beside a plan, `<plan>.json`."""
    return plan.with_name(f"{plan.name}.json")


def read_sidecar(plan: Path) -> Sidecar:
    """Reads `<plan>.json`.

    Raises:
        ModelError: the plan or the record is missing or damaged.
    """
    path = sidecar_of(plan)
    for needed in (plan, path):
        if not needed.is_file():
            raise ModelError(f"{needed}: no such file; {REBUILD} {plan}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        gpu_record, shapes = record["gpu"], record["shapes"]
        return Sidecar(
            ModelSpec.from_json(json.dumps(record["spec"]), str(path)),
            record["tensorrt_version"],
            gpu_record["compute_capability"],
            gpu_record["name"],
            record["precision"],
            *(_four(shapes[kind]) for kind in ("min", "max")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not what convert-to-trt writes ({error!r}); {REBUILD} {plan}") from error


def _four(sizes: list[int]) -> tuple[int, int, int, int]:
    batch, bands, height, width = map(int, sizes)
    return batch, bands, height, width


def check_fits(plan: Path, sidecar: Sidecar, version: str, found: tuple[str, str]) -> None:
    """Raises ModelError where a plan was built for another TensorRT or another GPU.

    Args:
        plan: for the message.
        sidecar: what it was built for.
        version: of the TensorRT that is installed.
        found: name and compute capability of the GPU that is here.
    """
    built_with, here = (text.partition(".")[0] for text in (sidecar.tensorrt_version, version))
    if built_with and built_with != here:
        raise ModelError(f"{plan}: built with TensorRT {sidecar.tensorrt_version}, here is {version}; {REBUILD} {plan}")
    name, capability = found
    if sidecar.compute_capability not in ("", capability):
        raise ModelError(
            f"{plan}: built for {sidecar.gpu} (compute capability {sidecar.compute_capability}), "
            f"here is {name} ({capability}); {REBUILD} {plan}"
        )


def gpu(device: int) -> tuple[str, str] | None:
    """Returns the name and the compute capability of a GPU, or None where there is none."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        return None
    error, count = runtime.cudaGetDeviceCount()
    if int(error) != 0 or device >= count:
        return None
    _, properties = runtime.cudaGetDeviceProperties(device)
    name = properties.name.decode() if isinstance(properties.name, bytes) else str(properties.name)
    return name.rstrip("\0"), f"{properties.major}.{properties.minor}"


class TensorRtBackend(Backend):
    """Runs a plan."""

    suffixes = (".plan", ".engine", ".trt")
    triton_platform = "tensorrt"
    gpu_only = True
    concurrency = 1

    def __init__(self, model: Path, device: int = 0) -> None:
        """Loads the plan onto a GPU.

        Args:
            model: the plan; `<plan>.json` lies beside it.
            device: the GPU's number.

        Raises:
            ModelError: the plan is missing or damaged, or was built for another TensorRT or GPU.
            BackendError: there is no such GPU.
            MissingExtraError: TensorRT is not installed.
        """
        sidecar = read_sidecar(model)
        try:
            import tensorrt
            from cuda.bindings import runtime
        except ImportError as error:
            raise MissingExtraError(
                f"backend=tensorrt: needs {error.name}, which is not installed; pip install 'flood-seg[tensorrt]'"
            ) from error
        found = gpu(device)
        if found is None:
            raise BackendError(f"backend.device={device}: CUDA finds no such GPU; see nvidia-smi")
        check_fits(model, sidecar, tensorrt.__version__, found)
        self._cuda, self._device = runtime, device
        self._call(runtime.cudaSetDevice(device))
        self._logger = tensorrt.Logger(tensorrt.Logger.ERROR)  # the engine keeps a reference to it
        self._runtime = tensorrt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(model.read_bytes())
        if self._engine is None:
            built = f"built with {sidecar.tensorrt_version}" if sidecar.tensorrt_version else "damaged, or of another"
            raise ModelError(f"{model}: TensorRT {tensorrt.__version__} cannot load it ({built}); {REBUILD} {model}")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise BackendError(f"{model}: TensorRT could not start it; is the GPU's memory full? See nvidia-smi")
        self._stream = self._call(runtime.cudaStreamCreate())
        self._buffers: dict[str, tuple[int, int]] = {}
        weakref.finalize(self, _release, runtime, self._buffers, self._stream)
        self.spec, self._sidecar, self._plan = sidecar.spec, sidecar, model
        self.description = f"tensorrt {tensorrt.__version__} {sidecar.precision} on {found[0]}"

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width].

        Raises:
            ModelError: the plan was built for other sizes.
            BackendError: the GPU failed.
        """
        self._call(self._cuda.cudaSetDevice(self._device))  # CUDA keeps it for each thread
        step = self._sidecar.largest[0]
        parts = [batch[start : start + step] for start in range(0, len(batch), step)]
        return np.concatenate([self._run(np.ascontiguousarray(part, np.float32)) for part in parts])

    @classmethod
    def read_spec(cls, model: Path) -> ModelSpec:
        """Reads the record beside the plan, which requires no GPU; raises as `read_sidecar`."""
        return read_sidecar(model).spec

    def _run(self, batch: np.ndarray) -> np.ndarray:
        spec, kind = self.spec, self._cuda.cudaMemcpyKind
        if not self._context.set_input_shape(spec.input_name, batch.shape):
            limits = " to ".join("×".join(map(str, side)) for side in (self._sidecar.smallest, self._sidecar.largest))
            raise ModelError(
                f"{self._plan}: takes {limits}, not {'×'.join(map(str, batch.shape))}; {REBUILD} {self._plan} "
                "with --height, --width, export.min_batch=... as needed"
            )
        logits = np.empty(tuple(self._context.get_tensor_shape(spec.output_name)), np.float32)
        taken, given = self._buffer(spec.input_name, batch.nbytes), self._buffer(spec.output_name, logits.nbytes)
        copy = self._cuda.cudaMemcpyAsync
        self._call(copy(taken, batch.ctypes.data, batch.nbytes, kind.cudaMemcpyHostToDevice, self._stream))
        if not self._context.execute_async_v3(int(self._stream)):
            raise BackendError("TensorRT could not run the batch; its lines above say why")
        self._call(copy(logits.ctypes.data, given, logits.nbytes, kind.cudaMemcpyDeviceToHost, self._stream))
        self._call(self._cuda.cudaStreamSynchronize(self._stream))
        return logits

    def _buffer(self, name: str, size: int) -> int:
        """Returns the address of a tensor's memory on the GPU, made anew where it is too small."""
        address, there = self._buffers.get(name, (0, 0))
        if there < size:
            if address:
                del self._buffers[name]  # first: should there be no memory, nothing may use the old one
                self._call(self._cuda.cudaFree(address))
            address = int(self._call(self._cuda.cudaMalloc(size)))
            self._buffers[name] = (address, size)
        self._context.set_tensor_address(name, address)
        return address

    def _call(self, answer: tuple[Any, ...]) -> Any:
        """Takes what a CUDA function returned: its error, then its result."""
        error, *rest = answer
        if int(error) != 0:
            raise BackendError(f"CUDA failed: {error!r}; is another program using all of the GPU's memory?")
        return rest[0] if rest else None


def _release(cuda: Any, buffers: dict[str, tuple[int, int]], stream: Any) -> None:
    """Gives the GPU's memory back when the engine is no longer used."""
    for address, _ in buffers.values():
        cuda.cudaFree(address)
    cuda.cudaStreamDestroy(stream)
