"""`flood-seg data sample`: draw synthetic flood scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import say
from flood_seg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def sample(overrides: Sequence[str] = (), *, out: PathLike = "data/sample") -> None:
    """Draw synthetic flood scenes with masks."""
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import TrainConfig
    from flood_seg.synthetic.sample_set import write_sample

    scenes = compose("train", ["datamodule=sample", *overrides], TrainConfig).datamodule.sample
    if scenes is None:
        raise UsageError("datamodule.sample is null: leave that override out")
    write_sample(Path(out), scenes)
    say(f"{out}: {scenes.count} synthetic scenes with masks")
