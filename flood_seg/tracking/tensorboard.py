"""TensorBoard's event files, with images of the worst validation samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.files import check_writable, shorten
from flood_seg.tracking.contract import LightningTracker

if TYPE_CHECKING:
    import numpy as np

    from flood_seg.tracking.contract import RunInfo


class TensorBoardTracker(LightningTracker):
    """Writes what `tensorboard --logdir` shows; a resumed run adds to it."""

    name = "TensorBoard"

    def __init__(self, run: RunInfo, worst: int, save_dir: str | None = None) -> None:
        """Opens the event file.

        Raises:
            OutputError: save_dir cannot be written.
        """
        import tensorboard  # noqa: F401 - Lightning's logger does not name the package that is missing
        from pytorch_lightning.loggers import TensorBoardLogger

        folder = Path(save_dir).absolute() / _unique_name(run) if save_dir else run.folder / "tensorboard"
        check_writable(folder)
        logger = TensorBoardLogger(folder.parent, name="", version=folder.name, default_hp_metric=False)
        super().__init__(logger, run)
        self.worst, self.description = worst, f"tensorboard --logdir {shorten(Path(save_dir or folder))}"
        self._writer = logger.experiment
        rows = [f"| {key} | {value} |" for key, value in [*run.params.items(), ("git commit", run.git_commit)]]
        self._writer.add_text("configuration", "\n".join(["| key | value |", "| --- | --- |", *rows]))

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Writes an image."""
        self._writer.add_image(name, image, epoch, dataformats="HWC")


def _unique_name(run: RunInfo) -> str:
    """Returns the run's name with its date and time, so that runs of the same name stay apart and a resumed one not."""
    time = f"{run.folder.parent.name}_{run.folder.name}"
    return run.name if run.name.endswith(time) else f"{run.name}_{time}"
