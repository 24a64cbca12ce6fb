"""`flood-seg data tile`: cut images into tiles, and put predictions of tiles back together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import UsageError
from flood_seg.verbs.common import compose_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


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
    from flood_seg.config.overrides import check_relevant
    from flood_seg.workshop.tiles.mosaic import mosaic as assemble

    for flag, value in (("image", image), ("labels", labels)):
        if value:
            raise UsageError(f"--{flag}: has no effect with --mosaic; leave it out")
    if not data:
        raise UsageError("--mosaic: requires the folder of the tiles: --data tiles")
    check_relevant(overrides, ["tile.compress"], "--mosaic")
    assemble(Path(data), Path(mosaic), Path(out), config.tile.compress)
