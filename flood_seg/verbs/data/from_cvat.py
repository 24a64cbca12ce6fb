"""`flood-seg data from-cvat`: convert CVAT for images 1.1 to images and masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import required

if TYPE_CHECKING:
    from flood_seg.verbs.common import PathLike


def from_cvat(
    *, annotations: PathLike | None = None, images: PathLike | None = None, out: PathLike = "data/raw"
) -> None:
    """Convert CVAT for images 1.1 to images and masks."""
    files = required("data from-cvat", annotations=annotations, images=images)
    from flood_seg.workshop.convert.cvat import from_cvat as run

    run(files[0], files[1], Path(out))
