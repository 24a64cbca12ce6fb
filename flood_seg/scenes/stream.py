"""Runs a model on the windows of a scene, block by block; reading, inference and blending overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import FloodSegError
from flood_seg.imaging.postprocess import to_16_bits
from flood_seg.imaging.preprocess import preprocess, resize_valid
from flood_seg.inference.stages import Item, Stages
from flood_seg.inference.values import BandStatistics, missing_shares
from flood_seg.pipeline import pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flood_seg.inference.predictor import Predictor
    from flood_seg.scenes.grid import Block, Box, Grid
    from flood_seg.scenes.scene import Scene


@dataclass
class BlockResult:
    """What a model says of a block.

    Attributes:
        sums: of the weighted probabilities of its windows in steps of 1/65535, uint32 [channels, h, w]; None: no pixel
            has data.
        valid: bool [h, w], False where the scene has no data; None: there is data everywhere, or nowhere, without
            `sums`.
        statistics: of the network's inputs; None: no pixel has data.
    """

    sums: np.ndarray | None = None
    valid: np.ndarray | None = None
    statistics: BandStatistics | None = None


@dataclass(kw_only=True)
class _Window(Item):
    """A window on its way through the stages, or a row of a block's windows that are known to have no data."""

    block: Block
    box: Box
    weights: tuple[np.ndarray, np.ndarray] | None  # of rows and columns; None: without data as is known, not read
    is_last: bool
    observed: np.ndarray | None = None  # bool [height, width] of the box; None: everywhere
    statistics: BandStatistics | None = None  # None: a window without data, which is not run
    sums: np.ndarray | None = None


@dataclass
class _Row:
    """A row of a block's windows.

    Attributes:
        block: of the windows.
        number: of the row in the block, from 1.
        box: pixels that the windows cover.
        windows: from left to right.
        observed: see `Scene.find_data`.
    """

    block: Block
    number: int
    box: Box
    windows: list[Box]
    observed: np.ndarray | None = None


class BlockSegmenter(Stages[_Window]):
    """Segments blocks of one scene."""

    carried = (FloodSegError,)
    advice = "close other programs"
    keeps_image = False

    def __init__(self, scene: Scene, predictor: Predictor, grid: Grid) -> None:
        """Takes a scene, a model and the windows."""
        super().__init__(predictor)
        self._scene, self._spec, self._grid = scene, predictor.spec, grid

    def segment(
        self, blocks: Iterable[Block], batch_size: int = 1
    ) -> Iterator[tuple[Block, BlockResult | FloodSegError]]:
        """Yields the result of each block in order, or the first error of its windows; runs `batch_size` at once."""
        result, error, parts = BlockResult(), None, list[BandStatistics]()
        for window in self.each(self._windows(blocks), batch_size):
            error = error or window.error
            if error is None:
                self._add(window, result)
                parts += [window.statistics] if window.statistics else []
            if window.is_last:
                result.statistics = BandStatistics.merged(parts) if parts else None
                result.valid = None if result.sums is None else result.valid
                yield window.block, error or result
                result, error, parts = BlockResult(), None, []

    def _windows(self, blocks: Iterable[Block]) -> Iterator[_Window]:
        """Yields the windows; those of a row without data as one item, since most of a large scene may be empty."""
        name = self._scene.source
        rows = pipeline(self._rows(blocks), ((self._find_data, 1),))
        for block, group in groupby(rows, key=lambda row: row.block):
            row_weights, column_weights = self._grid.weights(block)
            for row, down in zip(group, row_weights, strict=True):
                is_last = len(row_weights) == row.number
                if row.observed is not None and not row.observed.any():
                    yield _Window(name=name, block=block, box=row.box, weights=None, is_last=is_last)
                    continue
                for box, across in zip(row.windows, column_weights, strict=True):
                    is_empty = row.observed is not None and not row.observed[box.within(row.box)].any()
                    weights = None if is_empty else (down, across)
                    is_last_one = is_last and box is row.windows[-1]
                    yield _Window(name=name, block=block, box=box, weights=weights, is_last=is_last_one)

    def _rows(self, blocks: Iterable[Block]) -> Iterator[_Row]:
        for block in blocks:
            for number, (box, windows) in enumerate(self._grid.rows_of(block), 1):
                yield _Row(block, number, box, windows)

    def _find_data(self, row: _Row) -> _Row:
        row.observed = self._scene.find_data(row.box)
        return row

    def decode(self, item: _Window) -> np.ndarray:
        """Returns the pixels of a window, mirrored where the scene is smaller; none where none is known to count."""
        if item.weights is None:
            item.observed = np.zeros((item.box.height, item.box.width), bool)
            return np.empty((0, 0, 0), np.uint8)
        raster = self._scene.read(item.box)
        item.observed, item.missing = raster.valid, raster.missing
        return pad(raster.values, self._grid.window)

    def prepare(self, item: _Window, image: np.ndarray) -> None:
        """Preprocesses a window with data; whether its values are plausible is a question for the whole scene."""
        if item.weights is not None and (item.observed is None or item.observed.any()):
            item.inputs = [preprocess(image, self._spec)]
            shares = missing_shares(self._spec, item.missing)
            item.statistics = measure_window(item.inputs[0], item.observed, self._grid.window, shares)

    def conclude(self, item: _Window) -> None:
        """Weighs the probabilities."""
        probabilities = to_16_bits(item.predictions[0].probabilities)[: item.box.height, : item.box.width]
        assert item.weights
        rows, cols = item.weights
        item.sums = np.moveaxis(probabilities, 2, 0) * rows[:, None]
        item.sums *= cols

    def _add(self, window: _Window, result: BlockResult) -> None:
        extent = self._grid.extent(window.block)
        index = window.box.within(extent)
        if window.observed is not None:
            if result.valid is None:
                result.valid = np.ones((extent.height, extent.width), bool)
            result.valid[index] = window.observed
        if window.sums is not None:
            if result.sums is None:
                result.sums = np.zeros((len(window.sums), extent.height, extent.width), np.uint32)
            result.sums[:, *index] += window.sums


def pad(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns an image [h, w, bands] mirrored at its end to [*size, bands], where a scene is smaller than a window."""
    height, width = values.shape[:2]
    if (height, width) == size:
        return values
    return np.pad(values, ((0, size[0] - height), (0, size[1] - width), (0, 0)), mode="symmetric")


def measure_window(
    tensor: np.ndarray, observed: np.ndarray | None, window: tuple[int, int], missing: np.ndarray
) -> BandStatistics:
    """Measures a network's input, float32 [bands, height, width], where its window has data.

    Args:
        tensor: of the window.
        observed: bool [h, w], where the scene has data; None: everywhere.
        window: height and width in pixels of the scene, which a small scene does not fill.
        missing: see `BandStatistics.missing`.
    """
    if observed is None:
        return replace(BandStatistics.of(tensor), missing=missing)
    valid = np.zeros(window, bool)
    valid[: observed.shape[0], : observed.shape[1]] = observed
    valid = resize_valid(valid, *tensor.shape[1:])
    part = valid if valid.any() else None
    return replace(BandStatistics.of(tensor, part), missing=missing)  # few pixels may vanish where it is reduced
