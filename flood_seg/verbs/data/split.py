"""`flood-seg data split`: split a data set into parts or folds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def split(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "split.txt") -> None:
    """Split a data set into parts or folds."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.split_tool import split as run

    run(config.datamodule, config.task, config.seed, config.split, config.check, Path(out))
