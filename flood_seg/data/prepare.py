"""What comes before a data set is read: DVC pulls a missing folder, and the largest image to decode is set."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from flood_seg.console import say
from flood_seg.errors import DataError, MissingExtraError
from flood_seg.imaging.encoded import limit_megapixels

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema import DataConfig


def prepare_data(config: DataConfig) -> None:
    """Pulls the folders of a data set that are missing, and sets the largest image that is decoded.

    A folder is pulled that a `.dvc` file beside it, or beside a folder above, tracks.

    Raises:
        DataError: `dvc pull` failed, or `config.dvc_pull` is False and a tracked folder is missing.
        MissingExtraError: DVC is not installed.
    """
    limit_megapixels(config.max_megapixels)
    for folder in config.folders:
        pointer = None if _holds_files(folder) else _pointer(folder)
        if pointer is None:
            continue
        if not config.dvc_pull:
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
