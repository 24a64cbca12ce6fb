"""`flood-seg data to-cvat`: convert a data set to CVAT for images 1.1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def to_cvat(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "cvat") -> None:
    """Convert a data set to CVAT for images 1.1."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.convert.cvat import to_cvat as run

    run(config.datamodule, config.task, config.coco, Path(out))
