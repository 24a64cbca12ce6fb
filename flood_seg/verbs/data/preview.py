"""`flood-seg data preview`: draw augmented training samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def preview(overrides: Sequence[str] = (), *, out: PathLike = "preview.png", count: int = 16) -> None:
    """Draw a grid of augmented training samples with their masks."""
    config = compose_data(overrides)

    from flood_seg.workshop.preview import preview as run

    run(config.datamodule, config.task, config.augmentation, config.seed, Path(out), count)
