"""The scenes of a data set that are evaluated as a whole, and the pixels of each that belong to a part."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flood_seg.console import counted, warn
from flood_seg.data.layout import choose_part, find_samples
from flood_seg.data.pairing import Pair
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from flood_seg.config.schema import DataConfig


@dataclass(frozen=True)
class ScenePair(Pair):
    """A scene of which only some pixels count.

    Attributes:
        counted: rectangles of the scene, whose pixels alone count.
    """

    counted: tuple[Box, ...] = ()


def find_scenes_of(config: DataConfig, part: str) -> list[Pair]:
    """Returns the scenes that have pixels of a part: pairs without a window, `ScenePair`s where not all pixels count.

    Of a raster that training reads by windows, only the windows of the part count: other pixels may be of blocks that
    were trained on. All pixels count for `part=all`, and where the layout puts the raster into the part as a whole.

    Raises:
        DataError: as `choose_pairs`.
    """
    whole_images = replace(config, windows=None)
    rasters, _ = find_samples(whole_images)
    if config.windows is None or part == "all":
        if part == "auto" and not config.split_file and not any(raster.part for raster in rasters):
            warn(
                f"part=auto: all pixels of {counted(len(rasters), 'scene')} count, since neither a split file nor the "
                "layout says what the model was trained on; for scenes of its training give datamodule=rasters and "
                "datamodule.split_file=RUN/split.txt"
            )
        return choose_part(whole_images, rasters, part)
    windows, _ = find_samples(config)
    chosen = defaultdict(list)
    for pair in choose_part(config, windows, part):
        assert pair.window is not None
        window = pair.window
        chosen[_raster_of(pair)].append(Box(window.row, window.col, window.height, window.width))
    numbers = Counter(map(_raster_of, windows))
    scenes = list[Pair]()
    for raster in rasters:
        if boxes := chosen.get(raster.stem):
            is_whole = bool(raster.part) and not config.split_file and len(boxes) == numbers[raster.stem]
            only = ScenePair(raster.stem, raster.image, raster.mask, raster.part, None, tuple(boxes))
            scenes.append(raster if is_whole else only)
    if not config.split_file and any(isinstance(scene, ScenePair) for scene in scenes):
        warn(
            f"part={part}: its blocks are drawn anew from datamodule.windows and val_split; training left out the same "
            "ones only if both and the data are as they were then; datamodule.split_file=RUN/split.txt is certain"
        )
    return scenes


def _raster_of(window: Pair) -> str:
    return window.stem.rpartition("/")[0]
