"""What a tracker is told of a run, and what it has to do."""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from pytorch_lightning.loggers import Logger


@dataclass(frozen=True)
class RunInfo:
    """What a tracker is told of a run before it starts.

    Attributes:
        name: of the run, for people.
        folder: where the run's files are written.
        params: the flattened configuration.
        git_commit: of the working directory; None: unknown.
        resumable: whether the ids that the services give are saved in the folder.
    """

    name: str
    folder: Path
    params: dict[str, Any]
    git_commit: str | None
    resumable: bool = True

    def known_id(self, service: str) -> str | None:
        """Returns the id that a service gave this run before it was resumed."""
        file = self.folder / f"{service}_run_id.txt"
        return file.read_text(encoding="utf-8").strip() if file.is_file() else None

    def keep_id(self, service: str, run_id: str) -> None:
        """Saves the id that a service gave this run, if the run can be resumed."""
        if self.resumable:
            write_text(self.folder / f"{service}_run_id.txt", f"{run_id}\n")


class Tracker:
    """Records a run: its parameters when it is opened, then metrics, images and files; by default nothing.

    A subclass's constructor takes a RunInfo and the keys of its file in configs/logger/. Its methods may raise
    anything: see `Trackers`.

    Attributes:
        name: of the service, for people.
        description: where the run is found, for the summary; may be empty.
        worst: number of the worst validation samples that it shows as images in each epoch.
        stores_files: whether it has a place for files.
    """

    name = ""
    description = ""
    worst = 0
    stores_files = False

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Records the metrics of an epoch; called once for training and once for validation."""

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Records an image, uint8 [H, W, 3] RGB."""

    def log_file(self, folder: str, path: Path) -> None:
        """Copies a file into a folder of the run."""

    def log_dataset(self, name: str, folder: Path) -> None:
        """Uploads all files below a folder."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.log_file((Path(name) / path.relative_to(folder).parent).as_posix(), path)

    def close(self, *, failed: bool) -> None:
        """Ends the run."""


class LightningTracker(Tracker):
    """Records parameters and metrics through one of Lightning's loggers, with the epoch as the step."""

    def __init__(self, logger: Logger, run: RunInfo) -> None:
        self._logger = logger
        logger.log_hyperparams(run.params | {"git_commit": run.git_commit})

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Records the metrics at once."""
        self._logger.log_metrics(dict(metrics), epoch)
        self._logger.save()

    def close(self, *, failed: bool) -> None:
        """Closes the logger."""
        self._logger.finalize("failed" if failed else "success")


def git_commit() -> str | None:
    """Returns the commit of the working directory, None outside a repository or without git."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def without_password(text: str) -> str:
    """Returns an address without the user and password that it may contain."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def brief(error: Exception) -> str:
    """Returns the first line of an error, shortened to 160 characters."""
    lines = without_password(str(error)).strip().splitlines()
    return textwrap.shorten(lines[0], 160, placeholder="…") if lines else type(error).__name__
