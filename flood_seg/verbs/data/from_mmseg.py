"""`flood-seg data from-mmseg`: convert MMSegmentation to images and masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def from_mmseg(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "data/raw") -> None:
    """Convert MMSegmentation's folders to images and masks."""
    folders = ["datamodule.images_dir=img_dir", "datamodule.masks_dir=ann_dir"]
    config = compose_data([*folders, *overrides], data)

    from flood_seg.workshop.convert.mmseg import from_mmseg as run

    run(config.datamodule, config.task, Path(out))
