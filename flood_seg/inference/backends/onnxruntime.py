"""ONNX Runtime, on the CPU or a GPU."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from flood_seg.errors import BackendError, ConfigError, ModelError, OutOfMemoryError, did_you_mean
from flood_seg.inference.backends.contract import Backend, Tensor, first_line, parse_spec
from flood_seg.inference.backends.streams import Streams, check_threads
from flood_seg.resources import LESS_MEMORY, cores, is_out_of_memory
from flood_seg.spec import METADATA_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.spec import ModelSpec

PROVIDERS = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
FATAL = 4  # log severity: the runtime's own log lines repeat its exceptions


class OnnxRuntimeBackend(Backend):
    """Runs an ONNX file."""

    suffixes = (".onnx",)
    triton_platform = "onnxruntime"
    gpu_options: ClassVar[dict[str, Any]] = {"provider": "cuda"}

    def __init__(self, model: Path, provider: str = "auto", threads: int = 0, streams: int = 1) -> None:
        """Loads the model.

        Args:
            model: the ONNX file.
            provider: `cpu`, `cuda`, `tensorrt`, or `auto`: CUDA where it works, else the CPU.
            threads: on the CPU, shared by all streams; 0: one per core.
            streams: batches that run at once on the CPU, each with its share of the threads; 0: one.

        Raises:
            ModelError: the file is missing, no ONNX model, or carries no ModelSpec.
            BackendError: the provider is unavailable, or failed and fell back to another.
            ConfigError: an unknown provider, or a negative number.
        """
        allowed = ("auto", *PROVIDERS)
        if provider not in allowed:
            hint = did_you_mean(provider, allowed)
            raise ConfigError(f"backend.provider={provider}: allowed are {', '.join(allowed)}{hint}")
        check_threads(threads, streams)
        if not model.is_file():
            raise ModelError(f"{model}: no such file; give an ONNX file of 'flood-seg convert-to-onnx'")
        self.concurrency = max(1, streams)
        share = max(1, (threads or cores()) // self.concurrency) if self.concurrency > 1 else threads
        session, used = _open_session(model, provider, share)
        self.description = f"onnxruntime {used}"
        if used != "cpu":
            self.concurrency = 1
        # A session without threads of its own runs on its callers', so that one serves them all.
        others = (session if share == 1 else _create(model, used, share) for _ in range(1, self.concurrency))
        self._sessions = Streams([session, *others])
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        self.spec = parse_spec(str(model), text, _tensors(session.get_inputs()), _tensors(session.get_outputs()))

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        with self._sessions.take() as session:
            (logits,) = session.run([self.spec.output_name], {self.spec.input_name: batch})
        return np.asarray(logits)

    @classmethod
    def read_spec(cls, model: Path) -> ModelSpec:
        """Reads the file's record, which requires no GPU; raises as the constructor."""
        return cls(model, provider="cpu").spec


def import_onnxruntime() -> Any:
    """Imports ONNX Runtime without its telemetry, which writes an identifier and a database into the home folder."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _open_session(model: Path, provider: str, threads: int) -> tuple[Any, str]:
    onnxruntime = import_onnxruntime()
    onnxruntime.set_default_logger_severity(FATAL)
    available = onnxruntime.get_available_providers()
    if provider == "auto":
        if PROVIDERS["cuda"] not in available:
            return _create(model, "cpu", threads), "cpu"
        try:
            return _create(model, "cuda", threads), "cuda"
        except BackendError:  # built with CUDA, but no working driver or device
            return _create(model, "cpu", threads), "cpu"
    if PROVIDERS[provider] not in available:
        there = ", ".join(name for name, full in PROVIDERS.items() if full in available)
        raise BackendError(
            f"backend.provider={provider}: not available in this ONNX Runtime; available are {there} "
            "(onnxruntime-gpu provides cuda)"
        )
    return _create(model, provider, threads), provider


def _create(model: Path, provider: str, threads: int) -> Any:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    # Threads that spin while they wait take the core from whatever else runs: beside a busy process, opening the model
    # took 105 ms with and 81 ms without, the first photo 290 and 235 ms. The other options' defaults were the best.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # What TensorRT does not support of a graph runs on CUDA, not on the CPU.
    providers = [PROVIDERS[name] for name in (provider, *(["cuda"] if provider == "tensorrt" else []))]
    try:
        # Without fallback: a provider that fails, at the start or later, must not leave the work to the CPU.
        session = onnxruntime.InferenceSession(str(model), options, providers=providers, enable_fallback=0)
    except Exception as error:  # the runtime's exceptions share no base of their own
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"{model}: not enough memory to load it; {LESS_MEMORY}") from error
        if "No such file" in str(error) or provider == "cpu":
            raise ModelError(f"{model}: not a whole ONNX model ({first_line(error)})") from error
        raise BackendError(f"backend.provider={provider}: failed to start ({first_line(error)})") from error
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise BackendError(
            f"backend.provider={provider}: ONNX Runtime fell back to {session.get_providers()[0]}; "
            "fix the driver or set backend.provider=cpu"
        )
    return session


def _tensors(nodes: list[Any]) -> list[Tensor]:
    types = {"tensor(float)": "float32"}
    return [Tensor(node.name, types.get(node.type, node.type), tuple(node.shape)) for node in nodes]
