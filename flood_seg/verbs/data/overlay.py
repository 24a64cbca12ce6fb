"""`flood-seg data overlay`: draw masks over their images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def overlay(
    overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "overlays", model: str | None = None
) -> None:
    """Draw masks over their images, with a legend, and contact sheets."""
    from flood_seg.inference.engines import choose_engine

    engine, model = choose_engine(overrides, model)
    config = compose_data(engine, data)

    from flood_seg.inference.engines import open_backend
    from flood_seg.inference.predictor import Predictor
    from flood_seg.workshop.overlays import overlay as run

    predictor = Predictor(open_backend(config.backend, model)) if model else None
    run(config.datamodule, config.task, config.overlay, Path(out), predictor)
