"""`flood-seg data download`: download the public flood data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flood_seg.verbs.common import PathLike


def download(*, out: PathLike = "data/raw", name: str | None = None) -> None:
    """Download the public flood data set from Kaggle."""
    from flood_seg.workshop.download import FLOOD_AREA
    from flood_seg.workshop.download import download as run

    run(Path(out), name or FLOOD_AREA)
