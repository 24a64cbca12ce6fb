"""`flood-seg data check`: find faulty, swapped and duplicate samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_path, compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def check(
    overrides: Sequence[str] = (),
    *,
    data: PathLike | None = None,
    out: PathLike = "data_check",
    fix: PathLike | None = None,
) -> None:
    """Find faulty, swapped and duplicate samples."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.check.check import check as run

    run(config.datamodule, config.task, config.check, Path(out), as_path(fix))
