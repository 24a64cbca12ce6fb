"""OpenVINO, on the CPU: the fastest engine on a recent Intel or AMD processor."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import BackendError, ConfigError, ModelError, OutOfMemoryError, did_you_mean
from flood_seg.inference.backends.contract import Backend, Tensor, first_line, parse_spec
from flood_seg.inference.backends.streams import Streams, check_threads
from flood_seg.resources import LESS_MEMORY, is_out_of_memory
from flood_seg.spec import METADATA_KEY

if TYPE_CHECKING:
    from pathlib import Path


PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
# Compiled for exact sizes a model is 20 to 30 % faster than with dynamic ones; compiling takes a quarter of a second.
KEPT_SHAPES = 8
# First bytes of an ONNX file: the tags of ModelProto's fields, whichever a writer puts first.
ONNX_TAGS = tuple(bytes([tag]) for tag in (0x08, 0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA))


@cache
def openvino_core() -> Any:
    """Returns OpenVINO's core, one for the lifetime of the process.

    A core sets an alternate signal stack in the thread that loads its CPU plugin, and unmaps it when it is destroyed:
    after a second core, or one destroyed in another thread, Ctrl-C was a segmentation fault.
    """
    import openvino

    return openvino.Core()


class OpenVinoBackend(Backend):
    """Runs an ONNX file, or the .xml and .bin that `flood-seg quantize --out model.xml` writes."""

    suffixes = (".xml",)

    def __init__(
        self, model: Path, device: str = "cpu", precision: str = "auto", threads: int = 0, streams: int = 1
    ) -> None:
        """Loads the model.

        Args:
            model: the ONNX or OpenVINO file.
            device: an OpenVINO device, for example `cpu` or `gpu`.
            precision: of the arithmetic: `float32`, `bfloat16`, or `auto`: bfloat16 where the device computes in it
                natively. Quantized layers stay quantized.
            threads: on the CPU, shared by all streams; 0: one per core.
            streams: batches that run at once, each with its share of the threads; 0: one.

        Raises:
            ModelError: the file is missing, no model, or carries no ModelSpec.
            BackendError: the device is unavailable, or cannot compute in that precision.
            ConfigError: an unknown precision, or a negative number.
        """
        if precision not in (allowed := ("auto", *PRECISIONS)):
            hint = did_you_mean(precision, allowed)
            raise ConfigError(f"backend.precision={precision}: allowed are {', '.join(allowed)}{hint}")
        check_threads(threads, streams)
        if not model.is_file():
            raise ModelError(f"{model}: no such file; give an ONNX file or an .xml of 'flood-seg quantize'")
        self._core = openvino_core()
        self._device = _find_device(self._core, device)
        precision = _find_precision(self._core, self._device, precision)
        self._model = _read_model(self._core, model)
        place = ["framework", METADATA_KEY]  # where OpenVINO keeps the metadata of an ONNX file
        text = self._model.get_rt_info(place).astype(str) if self._model.has_rt_info(place) else None
        self.spec = parse_spec(str(model), text, _tensors(self._model.inputs), _tensors(self._model.outputs))
        self.description = f"openvino {device} {precision}"
        self.concurrency = max(1, streams)
        self._options = {"NUM_STREAMS": str(self.concurrency), "INFERENCE_PRECISION_HINT": PRECISIONS[precision]}
        if threads:
            self._options["INFERENCE_NUM_THREADS"] = str(threads)
            # By default each process pins its threads to the first cores: two with a thread each would share one.
            self._options["ENABLE_CPU_PINNING"] = "NO"
        self._compiled: OrderedDict[tuple[int, ...], Streams[Any]] = OrderedDict()
        self._lock = Lock()

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        with self._requests(batch.shape).take() as request:
            return np.asarray(request.infer([batch], share_inputs=True)[0])

    def _requests(self, shape: tuple[int, ...]) -> Streams[Any]:
        with self._lock:
            if shape not in self._compiled:
                self._compiled[shape] = self._compile(shape)
                if len(self._compiled) > KEPT_SHAPES:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(shape)
            return self._compiled[shape]

    def _compile(self, shape: tuple[int, ...]) -> Streams[Any]:
        model = self._model.clone()
        model.reshape(list(shape))
        try:
            compiled = self._core.compile_model(model, self._device, self._options)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise BackendError(f"backend.device={self._device}: {_reason(error)}") from error
        return Streams(compiled.create_infer_request() for _ in range(self.concurrency))


def _find_device(core: Any, device: str) -> str:
    available = [name.lower() for name in core.available_devices]
    if device.lower() not in available:
        raise BackendError(
            f"backend.device={device}: not on this machine; OpenVINO finds {', '.join(available) or 'none'}"
        )
    return device.upper()


def _find_precision(core: Any, device: str, precision: str) -> str:
    capabilities = _capabilities(core, device)
    native = [name for name, mark in (("float32", "FP32"), ("bfloat16", "BF16")) if mark in capabilities]
    if precision == "auto":
        return "bfloat16" if "bfloat16" in native else "float32"
    if precision not in native:
        raise BackendError(
            f"backend.precision={precision}: this {device} computes in {', '.join(native)} only; "
            "leave it out or set one of these"
        )
    return precision


def _capabilities(core: Any, device: str) -> list[str]:
    return list(core.get_property(device, "OPTIMIZATION_CAPABILITIES"))


def _read_model(core: Any, path: Path) -> Any:
    if not _may_be_model(path):
        raise ModelError(f"{path}: not a whole ONNX or OpenVINO model (neither XML nor ONNX)")
    try:
        return core.read_model(path)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"{path}: not enough memory to load it; {LESS_MEMORY}") from error
        raise ModelError(f"{path}: not a whole ONNX or OpenVINO model ({_reason(error)})") from error


def _may_be_model(path: Path) -> bool:
    """Whether a file begins as XML or an ONNX model; of others OpenVINO's readers of all formats log to stderr."""
    with path.open("rb") as file:
        head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"<") or head[:1] in ONNX_TAGS


def _reason(error: Exception) -> str:
    """Returns the last line: OpenVINO's messages begin with locations in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith(("Exc", "Check"))]
    return lines[-1][:200] if lines else first_line(error)


def _tensors(ports: list[Any]) -> list[Tensor]:
    return [
        Tensor(
            port.get_any_name(),
            port.get_element_type().to_dtype().name,
            tuple(-1 if size.is_dynamic else size.get_length() for size in port.get_partial_shape()),
        )
        for port in ports
    ]
