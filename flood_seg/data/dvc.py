"""Pulls data sets that DVC stores in a remote, where a folder is missing and a `.dvc` file tracks it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flood_seg.console import say
from flood_seg.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def ensure_here(folders: Sequence[Path], pull: bool) -> None:
    """Pulls the folders that are missing and that a `.dvc` file beside them, or beside a folder above, tracks.

    Args:
        folders: of data sets.
        pull: False makes a missing folder an error instead.

    Raises:
        DataError: `dvc pull` failed, or `pull` is False.
        MissingExtraError: DVC is not installed.
    """
    for folder in folders:
        pointer = None if _holds_files(folder) else _pointer(folder)
        if pointer is None:
            continue
        if not pull:
            raise DataError(
                f"{folder}: is not here, but {pointer} says what it was; run dvc pull {pointer}, or set "
                "datamodule.dvc_pull=true"
            )
        _pull(folder, pointer)


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _pointer(folder: Path) -> Path | None:
    places = (place.with_name(f"{place.name}.dvc") for place in (folder, *folder.parents) if place.name)
    return next((place for place in places if place.is_file()), None)


def _pull(folder: Path, pointer: Path) -> None:
    if find_spec("dvc") is None:
        raise MissingExtraError(f"{folder}: {pointer} requires DVC; pip install 'flood-seg[data]'")
    say(f"{folder}: is not here; dvc pull {pointer}")
    command = [sys.executable, "-m", "dvc", "pull", str(pointer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("ERROR")]
    if done.returncode or not _holds_files(folder):
        reason = lines[0].removeprefix("ERROR: ") if lines else f"exit code {done.returncode}"
        raise DataError(
            f"{folder}: dvc pull {pointer} failed ({reason}); look at .dvc/config, at the credentials in the "
            "environment or in .dvc/config.local, and run it by hand"
        )
    say(f"{folder}: pulled, {sum(1 for path in folder.rglob('*') if path.is_file())} files")
