"""ONNX Runtime, on the CPU or a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import BackendError, ConfigError, ModelError, did_you_mean
from flood_seg.spec import METADATA_KEY, ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
FATAL = 4  # the runtime's own log lines; its exceptions say the same


class OnnxRuntimeBackend:
    """Runs an ONNX file.

    Attributes:
        spec: what the file's metadata says of the model.
        provider: the execution provider in use: `cpu`, `cuda` or `tensorrt`.
    """

    def __init__(self, model: Path, provider: str = "auto", threads: int = 0) -> None:
        """Loads the model.

        Args:
            model: the ONNX file.
            provider: `cpu`, `cuda`, `tensorrt`, or `auto`: CUDA where it works, else the CPU.
            threads: for the CPU; 0: one a core.

        Raises:
            ModelError: the file is missing, no ONNX model, or carries no ModelSpec.
            BackendError: the provider is not there, or failed and left the model to another.
            ConfigError: no such provider.
        """
        allowed = ("auto", *PROVIDERS)
        if provider not in allowed:
            hint = did_you_mean(provider, allowed)
            raise ConfigError(f"backend.provider={provider}: allowed are {', '.join(allowed)}{hint}")
        if not model.is_file():
            raise ModelError(f"{model}: no such file; give an ONNX file of 'flood-seg convert-to-onnx'")
        self._session, self.provider = _open_session(model, provider, threads)
        self.spec = _read_spec(model, self._session)

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        (logits,) = self._session.run([self.spec.output_name], {self.spec.input_name: batch})
        return np.asarray(logits)


def _open_session(model: Path, provider: str, threads: int) -> tuple[Any, str]:
    import onnxruntime

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
            f"backend.provider={provider}: not in this ONNX Runtime; there is {there} (onnxruntime-gpu brings cuda)"
        )
    return _create(model, provider, threads), provider


def _create(model: Path, provider: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[PROVIDERS[provider]])
    except Exception as error:  # the runtime's exceptions share no base of their own
        if "No such file" in str(error) or provider == "cpu":
            raise ModelError(f"{model}: not a whole ONNX model ({_first_line(error)})") from error
        raise BackendError(f"backend.provider={provider}: failed to start ({_first_line(error)})") from error
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise BackendError(
            f"backend.provider={provider}: ONNX Runtime fell back to {session.get_providers()[0]}; "
            "mend the driver or ask for backend.provider=cpu"
        )
    return session


def _read_spec(model: Path, session: Any) -> ModelSpec:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{model}: carries no ModelSpec, so its mean, std and classes are unknown; "
            "export it with 'flood-seg convert-to-onnx --ckpt ...'"
        )
    spec = ModelSpec.from_json(text, str(model))
    inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (session.get_inputs(), session.get_outputs()))
    if inputs != {spec.input_name} or spec.output_name not in outputs:
        raise ModelError(
            f"{model}: its tensors are {sorted(inputs | outputs)}, not those of its ModelSpec; export again"
        )
    bands = session.get_inputs()[0].shape[1]
    if bands != len(spec.bands):
        raise ModelError(f"{model}: takes {bands} bands, but its ModelSpec names {len(spec.bands)}; export it again")
    return spec


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:200]
