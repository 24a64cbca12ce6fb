"""`flood-seg data from-coco`: convert COCO instances to images and masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import required

if TYPE_CHECKING:
    from flood_seg.verbs.common import PathLike


def from_coco(
    *,
    annotations: PathLike | None = None,
    images: PathLike | None = None,
    out: PathLike = "data/raw",
    part: str | None = None,
) -> None:
    """Convert COCO instances to images and masks."""
    files = required("data from-coco", annotations=annotations, images=images)
    from flood_seg.config.schema import check_choice
    from flood_seg.workshop.convert.coco import from_coco as run

    check_choice("--part", part or "train", ("train", "val", "test"))
    run(files[0], files[1], Path(out), part)
