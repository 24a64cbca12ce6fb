"""What a tracker is told, and what it has to do."""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from flood_seg.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np


@dataclass(frozen=True)
class RunInfo:
    """What a tracker is told of a run before it starts."""

    name: str
    folder: Path
    params: dict[str, Any]
    git_commit: str | None


class Tracker(Protocol):
    """Keeps a run's parameters (from the beginning), metrics, pictures and files; whatever it raises, training goes on.

    Attributes:
        name: of the service, for people.
        description: where the run is found, for the summary; may be empty.
        worst: how many of the worst validation samples it wants as pictures in each epoch.
    """

    name: str
    description: str
    worst: int

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Keeps an epoch's metrics; called for training and validation apart."""

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Keeps a picture, uint8 [H, W, 3] RGB."""

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Keeps files, by the name of their folder in the tracker."""

    def close(self, *, failed: bool) -> None:
        """Ends the run."""


class LocalTracker:
    """What a tracker does not do that keeps its files in the run's folder, where pictures and models lie anyway."""

    name, description, worst = "", "", 0

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Does nothing."""

    def log_image(self, name: str, image: np.ndarray, epoch: int) -> None:
        """Does nothing."""

    def log_artifacts(self, files: Mapping[str, Sequence[Path]]) -> None:
        """Does nothing."""

    def close(self, *, failed: bool) -> None:
        """Does nothing."""


def known_id(run: RunInfo, service: str) -> str | None:
    """Returns what a service called this run before it was resumed."""
    file = run.folder / f"{service}_run_id.txt"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else None


def keep_id(run: RunInfo, service: str, run_id: str) -> None:
    """Writes it down."""
    write_text(run.folder / f"{service}_run_id.txt", f"{run_id}\n")


def git_commit() -> str | None:
    """Returns the commit of the working directory, None outside a repository or without git."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def without_password(text: str) -> str:
    """Returns an address without the user and password that may stand in it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def brief(error: Exception) -> str:
    """Returns the first line of an error, cut where it goes on and on."""
    lines = without_password(str(error)).strip().splitlines()
    return textwrap.shorten(lines[0], 160, placeholder="…") if lines else type(error).__name__
