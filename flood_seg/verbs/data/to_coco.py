"""`flood-seg data to-coco`: convert a data set to COCO instances."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def to_coco(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "coco") -> None:
    """Convert a data set to COCO instances."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.convert.coco import to_coco as run

    run(config.datamodule, config.task, config.coco, Path(out))
