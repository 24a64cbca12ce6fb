"""The scenes of a data set that are evaluated as a whole, and the pixels of each that belong to a part."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.data.layout import choose_part, find_samples
from flood_seg.data.pairing import Pair
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from flood_seg.config.schema import DataConfig


@dataclass(frozen=True)
class ScenePair(Pair):
    """A scene and its truth.

    Attributes:
        counted: rectangles of the scene, whose pixels alone count; None: all do.
    """

    counted: tuple[Box, ...] | None = None


def find_scenes_of(config: DataConfig, part: str) -> list[ScenePair]:
    """Returns the scenes that have pixels of a part.

    Of a raster that training reads by windows, only the windows of the part count: other pixels may be of blocks that
    were trained on. All pixels count for `part=all`, and where the layout puts the raster into the part as a whole.

    Raises:
        DataError: as `choose_pairs`.
    """
    whole_images = replace(config, windows=None)
    rasters, _ = find_samples(whole_images)
    if config.windows is None or part == "all":
        return [_scene(raster, None) for raster in choose_part(whole_images, rasters, part)]
    windows, _ = find_samples(config)
    chosen = defaultdict(list)
    for pair in choose_part(config, windows, part):
        assert pair.window is not None
        window = pair.window
        chosen[_raster_of(pair)].append(Box(window.row, window.col, window.height, window.width))
    numbers = Counter(map(_raster_of, windows))
    scenes = []
    for raster in rasters:
        if boxes := chosen.get(raster.stem):
            is_whole = bool(raster.part) and not config.split_file and len(boxes) == numbers[raster.stem]
            scenes.append(_scene(raster, None if is_whole else tuple(boxes)))
    if not config.split_file and any(scene.counted for scene in scenes):
        warn(
            f"part={part}: its blocks are drawn anew from datamodule.windows and val_split; training left out the same "
            "ones only if both and the data are as they were then; datamodule.split_file=RUN/split.txt is certain"
        )
    return scenes


def _raster_of(window: Pair) -> str:
    return window.stem.rpartition("/")[0]


def _scene(raster: Pair, counted: tuple[Box, ...] | None) -> ScenePair:
    return ScenePair(raster.stem, raster.image, raster.mask, raster.part, None, counted)
