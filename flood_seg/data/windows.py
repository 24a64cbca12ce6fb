"""Cuts rasters into windows that are read on demand, in blocks that are training or validation as a whole.

Blocks are aligned to map coordinates, not to the raster: two rasters of one place are cut along the same lines, so that
no ground is used for training in one and for validation in the other. Windows never leave their block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.data.pairing import Pair, SampleWindow
from flood_seg.data.split import hash_name
from flood_seg.errors import DataError
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.raster import equals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rasterio.io import DatasetReader

    from flood_seg.config.schema import DataConfig, WindowsConfig

MIN_STRIP_PIXELS = 32  # pixels: a narrower strip at a block's end is left out
VALIDITY_STEP_PIXELS = 16  # every 16th pixel says whether a window has data


@dataclass(frozen=True)
class Block:
    """A part of a raster.

    Attributes:
        pair: the raster.
        key: identifies the ground that it covers, the same in all rasters.
        bounds: first row, first column, last row and last column plus one, in pixels.
    """

    pair: Pair
    key: str
    bounds: tuple[int, int, int, int]

    @property
    def pixels(self) -> int:
        """How many there are."""
        top, left, bottom, right = self.bounds
        return (bottom - top) * (right - left)


def cut_windows(pairs: Sequence[Pair], config: DataConfig, options: WindowsConfig) -> list[Pair]:
    """Returns a pair for each window of each raster; its part is that of its block, unless the layout defines it.

    Windows of a block are adjacent and cover it once; the rest at its end is a smaller window, padded with ignored
    pixels when it is read. Windows with a share of valid pixels below `min_data` are left out.

    Raises:
        ImageError: a raster cannot be opened.
        DataError: there are fewer than two blocks to choose from.
    """
    side = 0.0
    windows, blocks = list[tuple[Block, SampleWindow]](), list[Block]()
    for pair in pairs:
        with open_raster(pair.image) as source:
            side = side or options.block * options.size * abs(source.transform.a)
            valid = _coarse_mask(source, config.nodata)
            for block in _blocks(pair, source, side):
                found = [w for w in _windows(block, source, options.size) if _data_share(valid, w) >= options.min_data]
                windows += [(block, window) for window in found]
                blocks += [block] if found else []
    undivided = [block for block in blocks if block.pair.part is None]
    drawn = _draw_parts(undivided, config.val_split, options.seed, any(pair.part for pair in pairs))
    return [
        replace(
            block.pair,
            stem=f"{block.pair.stem}/r{window.row}c{window.col}",
            part=block.pair.part or drawn[block.key],
            window=window,
        )
        for block, window in windows
    ]


def move(window: SampleWindow, random: np.random.Generator) -> SampleWindow:
    """Returns a window of the full size somewhere in the same block."""
    top, left, bottom, right = window.block
    height, width = min(window.size, bottom - top), min(window.size, right - left)
    row, col = int(random.integers(top, bottom - height + 1)), int(random.integers(left, right - width + 1))
    return replace(window, row=row, col=col, height=height, width=width)


def _blocks(pair: Pair, source: DatasetReader, side: float) -> Iterator[Block]:
    """Cuts a raster along lines of the map that are `side` of its units apart."""
    place = f"{source.crs.to_string()}" if source.crs else pair.stem
    matrix = source.transform
    rows = _cuts(matrix.f, matrix.e, source.height, side)
    columns = _cuts(matrix.c, matrix.a, source.width, side)
    for north, top, bottom in rows:
        for east, left, right in columns:
            if min(bottom - top, right - left) >= MIN_STRIP_PIXELS:
                yield Block(pair, f"{place} {north} {east}", (top, left, bottom, right))


def _cuts(origin: float, step: float, count: int, side: float) -> list[tuple[int, int, int]]:
    """Returns (number of the strip on the map, first pixel, last pixel plus one) along one axis."""
    ends = sorted((origin / side, (origin + step * count) / side))
    strips = []
    for number in range(math.floor(ends[0]), math.ceil(ends[1])):
        pixels = sorted((edge * side - origin) / step for edge in (number, number + 1))
        first, last = (min(max(round(pixel), 0), count) for pixel in pixels)
        if last > first:
            strips.append((number, first, last))
    return strips


def _windows(block: Block, source: DatasetReader, size: int) -> Iterator[SampleWindow]:
    top, left, bottom, right = block.bounds
    for row in range(top, bottom, size):
        for col in range(left, right, size):
            height, width = min(size, bottom - row), min(size, right - col)
            if min(height, width) >= MIN_STRIP_PIXELS:
                yield SampleWindow(row, col, height, width, (source.height, source.width), size, block.bounds)


def _coarse_mask(source: DatasetReader, nodata: float | None) -> np.ndarray:
    shape = (source.count, -(-source.height // VALIDITY_STEP_PIXELS), -(-source.width // VALIDITY_STEP_PIXELS))
    valid = np.asarray(source.read_masks(out_shape=shape).min(axis=0) > 0)
    return valid if nodata is None else valid & ~equals(source.read(out_shape=shape), nodata).any(axis=0)


def _data_share(valid: np.ndarray, window: SampleWindow) -> float:
    """Returns the approximate share of a window's pixels that have data."""
    height, width = valid.shape
    rows, columns = height / window.of[0], width / window.of[1]
    top, left = int(window.row * rows), int(window.col * columns)
    bottom = max(top + 1, math.ceil((window.row + window.height) * rows))
    right = max(left + 1, math.ceil((window.col + window.width) * columns))
    return float(valid[top:bottom, left:right].mean())


def _draw_parts(blocks: Sequence[Block], val_split: float, seed: int, others: bool) -> dict[str, str]:
    """Takes blocks for validation, by a hash of their place and the seed, until they hold `val_split` of the pixels.

    One block alone is trained on where `others` already have parts.
    """
    pixels: dict[str, int] = {}
    for block in blocks:
        pixels[block.key] = pixels.get(block.key, 0) + block.pixels
    if len(pixels) < 2 and others:
        return dict.fromkeys(pixels, "train")
    if len(pixels) < 2:
        raise DataError(
            f"{len(pixels)} block of a raster: training and validation require at least one each; set a smaller "
            "datamodule.windows.block or datamodule.windows.size, or put rasters into train/ and val/"
        )
    ranked = sorted(pixels, key=lambda key: hash_name(f"{seed}:{key}"))
    wanted, taken, val = val_split * sum(pixels.values()), 0, set[str]()
    for key in ranked[:-1]:
        if val and taken + pixels[key] / 2 > wanted:
            break
        val.add(key)
        taken += pixels[key]
    return {key: "val" if key in val else "train" for key in ranked}
