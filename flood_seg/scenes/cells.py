"""Puts the blended probabilities of a scene together from its blocks, one cell at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.imaging.postprocess import STEPS
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from flood_seg.scenes.grid import Block, Grid
    from flood_seg.scenes.store import BlockStore
    from flood_seg.scenes.stream import BlockResult

ROWS = 128  # of a part of a cell: what is computed of it stays in the processor's cache


@dataclass(frozen=True)
class Cell:
    """A part of the result; the cells of a scene cover it once.

    Attributes:
        box: where it lies in the scene.
        probabilities: float32 [channels, height, width] in [0, 1], 0 where `valid` is False; None: there is no data.
        valid: bool [height, width], False where the scene has no data or a block is missing.
    """

    box: Box
    probabilities: np.ndarray | None
    valid: np.ndarray

    def classes(self, threshold: float) -> np.ndarray:
        """Returns the class of each pixel, uint8 [height, width]: the most probable, or the foreground (binary).

        Args:
            threshold: a pixel is foreground where its probability is above this (binary only).
        """
        if self.probabilities is None:
            return np.zeros(self.valid.shape, np.uint8)
        if len(self.probabilities) > 1:
            return np.asarray(self.probabilities.argmax(axis=0), np.uint8)
        return np.asarray(self.probabilities[0] > threshold, np.uint8)


class CellReader:
    """Puts the cells of a scene together from its finished blocks."""

    def __init__(self, grid: Grid, store: BlockStore) -> None:
        self._grid, self._load = grid, lru_cache(maxsize=4)(store.load)  # neighbours share blocks

    def read(self, block: Block) -> Iterator[Cell]:
        """Yields the cell of a block in parts; the block and those `touching` it shall be finished, or have failed."""
        box = self._grid.cell(block)
        results = {other: result for other in self._grid.touching(block) if (result := self._load(other))}
        if all(result.sums is None for result in results.values()):
            yield Cell(box, None, np.zeros((box.height, box.width), bool))
            return
        for row in range(box.row, box.row + box.height, ROWS):
            end = min(row + ROWS, box.row + box.height)
            yield self._blend(Box(row, box.col, end - row, box.width), results)

    def _blend(self, box: Box, results: Mapping[Block, BlockResult]) -> Cell:
        total = np.zeros((box.height, box.width), np.uint32)
        valid = np.ones((box.height, box.width), bool)
        sums: np.ndarray | None = None
        for other, result in results.items():
            extent = self._grid.extent(other)
            if not box.meets(extent):
                continue
            shared = box.shared(extent)
            here, there = shared.within(box), shared.within(extent)
            total[here] += self._grid.total(other, shared)
            if result.valid is not None:
                valid[here] &= result.valid[there]
            if result.sums is not None:
                if sums is None:
                    sums = np.zeros((len(result.sums), *total.shape), np.uint32)
                sums[:, *here] += result.sums[:, *there]
        valid &= total > 0
        if sums is None or not valid.any():
            return Cell(box, None, np.zeros_like(valid))
        # In double precision, where numerator and denominator are exact.
        probabilities = (sums / (np.maximum(total, 1) * float(STEPS))).astype(np.float32)
        if not valid.all():
            probabilities[:, ~valid] = 0
        return Cell(box, probabilities, valid)


def read_cells(grid: Grid, store: BlockStore, blocks: Iterable[Block] | None = None) -> Iterator[Cell]:
    """Yields the cells of a scene, row by row, or those of `blocks` only, from its finished blocks."""
    reader = CellReader(grid, store)
    for block in grid.blocks() if blocks is None else blocks:
        yield from reader.read(block)
