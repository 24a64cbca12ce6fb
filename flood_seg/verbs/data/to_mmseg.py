"""`flood-seg data to-mmseg`: convert a data set to MMSegmentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def to_mmseg(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "mmseg") -> None:
    """Convert a data set to MMSegmentation."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.convert.mmseg import to_mmseg as run

    run(config.datamodule, config.task, config.seed, Path(out))
