"""The verbs of `flood-seg data` that make a data set, or parts of one: download, sample, tile and split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.overrides import check_relevant
from flood_seg.config.schema import TrainConfig
from flood_seg.console import say
from flood_seg.errors import UsageError
from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def download(*, out: PathLike = "data/raw", name: str | None = None) -> None:
    """Download the public flood data set from Kaggle."""
    from flood_seg.workshop.download import FLOOD_AREA
    from flood_seg.workshop.download import download as run

    run(Path(out), name or FLOOD_AREA)


def sample(overrides: Sequence[str] = (), *, out: PathLike = "data/sample") -> None:
    """Draw synthetic flood scenes with masks."""
    from flood_seg.synthetic.sample_set import write_sample

    scenes = compose("train", ["datamodule=sample", *overrides], TrainConfig).datamodule.sample
    if scenes is None:
        raise UsageError("datamodule.sample is null: leave that override out")
    write_sample(Path(out), scenes)
    say(f"{out}: {scenes.count} synthetic scenes with masks")


def tile(
    overrides: Sequence[str] = (),
    *,
    data: PathLike | None = None,
    image: str | None = None,
    labels: str | None = None,
    out: PathLike = "tiles",
    mosaic: PathLike | None = None,
) -> None:
    """Cut large images and their masks into tiles; with `mosaic`, put predictions of tiles back together."""
    config = compose_data(overrides, data)
    if mosaic is None:
        from flood_seg.workshop.tiles.tile import tile as run

        run(config.datamodule, config.task, config.tile, Path(out), image, labels)
        return
    from flood_seg.workshop.tiles.mosaic import mosaic as assemble

    for flag, value in (("image", image), ("labels", labels)):
        if value:
            raise UsageError(f"--{flag}: has no effect with --mosaic; leave it out")
    if not data:
        raise UsageError("--mosaic: requires the folder of the tiles: --data tiles")
    check_relevant(overrides, ["tile.compress"], "--mosaic")
    assemble(Path(data), Path(mosaic), Path(out), config.tile.compress)


def split(overrides: Sequence[str] = (), *, data: PathLike | None = None, out: PathLike = "split.txt") -> None:
    """Split a data set into parts or folds."""
    config = compose_data(overrides, data)

    from flood_seg.workshop.split_tool import split as run

    run(config.datamodule, config.task, config.seed, config.split, config.check, Path(out))
