"""`flood-seg data stats`: measure sizes, bands, classes and shapes of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_path, compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def stats(
    overrides: Sequence[str] = (),
    *,
    data: PathLike | None = None,
    out: PathLike | None = None,
    write_config: PathLike | None = None,
) -> None:
    """Measure sizes, bands, classes and shapes of masks."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.statistics_report import stats as run

    run(config.datamodule, config.task, config.seed, as_path(out), as_path(write_config))
