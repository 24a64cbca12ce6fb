"""PyTorch, from a checkpoint: to compare a trained network with its exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from flood_seg.errors import BackendError, ConfigError, did_you_mean
from flood_seg.inference.backends.contract import Backend
from flood_seg.inference.backends.streams import check_threads
from flood_seg.inference.models import CHECKPOINT_FILE

if TYPE_CHECKING:
    from pathlib import Path

PRECISIONS = ("float32", "bfloat16", "trained")


class TorchBackend(Backend):
    """Runs a checkpoint that `flood-seg train` wrote.

    Attributes:
        spec: the checkpoint's record.
        description: the engine, device and precision in use.
    """

    suffixes = (".ckpt",)
    run_file = CHECKPOINT_FILE
    training_options: ClassVar[dict[str, Any]] = {"precision": "trained"}
    concurrency = 1

    def __init__(self, model: Path, device: str = "auto", precision: str | None = None, threads: int = 0) -> None:
        """Loads the network.

        Args:
            model: the checkpoint.
            device: `cpu`, `cuda`, `mps`, or `auto`: CUDA where it works, else the CPU.
            precision: of the arithmetic: `float32`, `bfloat16` (autocast), or `trained`: the one of the two that the
                training used; None: float32.
            threads: on the CPU; 0: PyTorch's default.

        Raises:
            ModelError: the file is missing, no checkpoint, or carries no ModelSpec.
            BackendError: the device is unavailable.
            ConfigError: an unknown precision.
        """
        if precision is not None and precision not in PRECISIONS:
            hint = did_you_mean(precision, PRECISIONS)
            raise ConfigError(f"backend.precision={precision}: allowed are {', '.join(PRECISIONS)}{hint}")
        check_threads(threads)
        import torch

        from flood_seg.networks.checkpoint import load_network

        self._device = _find_device(device)
        if threads:
            torch.set_num_threads(threads)
        network, self.spec = load_network(model)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if precision == "trained":
            precision = "bfloat16" if str(self.spec.provenance.get("precision", "")).startswith("bf16") else "float32"
        self._half = precision == "bfloat16"
        self.description = f"torch {self._device} {precision or PRECISIONS[0]}"

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        import torch

        with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            images = torch.from_numpy(batch).to(self._device, memory_format=torch.channels_last)
            logits = self._network(images).float().cpu().contiguous()
        return np.asarray(logits.numpy())


def _find_device(device: str) -> str:
    import torch

    able = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [name for name, works in able.items() if works]
    if device == "auto":
        return available[0]
    if device not in available:
        raise BackendError(
            f"backend.device={device}: not available; PyTorch finds {', '.join(available)} on this machine"
        )
    return device
