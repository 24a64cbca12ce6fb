"""The verbs of `flood-seg data` that show what is in a data set: check, stats, overlay and preview."""

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


def overlay(
    overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "overlays", model: str | None = None
) -> None:
    """Draw masks over their images, with a legend, and contact sheets."""
    from flood_seg.inference.engines import choose_engine, open_backend

    engine, model = choose_engine(overrides, model)
    config = compose_data(engine, data)

    from flood_seg.inference.predictor import Predictor
    from flood_seg.workshop.overlays import overlay as run

    predictor = Predictor(open_backend(config.backend, model)) if model else None
    run(config.datamodule, config.task, config.overlay, Path(out), predictor)


def preview(overrides: Sequence[str] = (), *, out: PathLike = "preview.png", count: int = 16) -> None:
    """Draw a grid of augmented training samples with their masks."""
    config = compose_data(overrides)

    from flood_seg.workshop.preview import preview as run

    run(config.datamodule, config.task, config.augmentation, config.seed, Path(out), count)
