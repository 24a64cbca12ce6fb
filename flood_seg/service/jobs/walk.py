"""The files below a folder in which others create, rename and remove files at the same time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def files_below(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder; links to folders are not followed.

    `Path.rglob` raises where a folder vanishes before it is looked into.
    """
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
