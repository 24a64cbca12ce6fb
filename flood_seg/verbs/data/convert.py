"""The verbs of `flood-seg data` that convert a data set to another format and back: COCO, CVAT, MMSegmentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.schema import check_choice
from flood_seg.verbs.common import compose_data, required

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def to_coco(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "coco") -> None:
    """Convert a data set to COCO instances."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.convert.coco import to_coco as run

    run(config.datamodule, config.task, config.coco, Path(out))


def from_coco(
    *,
    annotations: PathLike | None = None,
    images: PathLike | None = None,
    out: PathLike = "data/raw",
    part: str | None = None,
) -> None:
    """Convert COCO instances to images and masks."""
    files = required("data from-coco", annotations=annotations, images=images)
    from flood_seg.workshop.convert.coco import from_coco as run

    check_choice("--part", part or "train", ("train", "val", "test"))
    run(files[0], files[1], Path(out), part)


def to_cvat(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "cvat") -> None:
    """Convert a data set to CVAT for images 1.1."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.convert.cvat import to_cvat as run

    run(config.datamodule, config.task, config.coco, Path(out))


def from_cvat(
    *, annotations: PathLike | None = None, images: PathLike | None = None, out: PathLike = "data/raw"
) -> None:
    """Convert CVAT for images 1.1 to images and masks."""
    files = required("data from-cvat", annotations=annotations, images=images)
    from flood_seg.workshop.convert.cvat import from_cvat as run

    run(files[0], files[1], Path(out))


def to_mmseg(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "mmseg") -> None:
    """Convert a data set to MMSegmentation's folders."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.convert.mmseg import to_mmseg as run

    run(config.datamodule, config.task, config.seed, Path(out))


def from_mmseg(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "data/raw") -> None:
    """Convert MMSegmentation's folders to images and masks."""
    folders = ["datamodule.images_dir=img_dir", "datamodule.masks_dir=ann_dir"]
    config = compose_data([*folders, *overrides], data)

    from flood_seg.workshop.convert.mmseg import from_mmseg as run

    run(config.datamodule, config.task, Path(out))
