"""TensorBoard's event files in the run's folder, with pictures of the worst validation samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.files import shorten
from flood_seg.tracking.contract import LocalTracker

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from flood_seg.tracking.contract import RunInfo


class TensorBoardTracker(LocalTracker):
    """Writes what `tensorboard --logdir` shows; a resumed run adds to it."""

    name = "TensorBoard"

    def __init__(self, run: RunInfo, worst: int) -> None:
        """Opens the folder `tensorboard` of the run; `worst` samples are drawn in each epoch."""
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / "tensorboard"
        self.worst, self.description = worst, f"tensorboard --logdir {shorten(folder)}"
        self._writer = SummaryWriter(str(folder))
        rows = [f"| {key} | {value} |" for key, value in [*run.params.items(), ("git commit", run.git_commit)]]
        self._writer.add_text("configuration", "\n".join(["| key | value |", "| --- | --- |", *rows]))

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Writes a point a curve."""
        for name, value in metrics.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Writes a picture."""
        self._writer.add_image(name, image, epoch, dataformats="HWC")

    def close(self, *, failed: bool) -> None:
        """Closes the file."""
        self._writer.close()
