"""Puts the blended probabilities of a scene together from its blocks, one cell at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flood_seg.scenes.grid import Block, Box, Grid
    from flood_seg.scenes.store import BlockStore

STEPS = 65535  # that the sums of blocks count probabilities in


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

    def read(self, block: Block) -> Cell:
        """Returns the cell of a block; the block and those `touching` it shall be finished, or have failed."""
        grid = self._grid
        box = grid.cell(block)
        results = [(other, self._load(other)) for other in grid.touching(block)]
        if all(result is None or result.sums is None for _, result in results):
            return Cell(box, None, np.zeros((box.height, box.width), bool))
        total = np.zeros((box.height, box.width), np.uint32)
        valid = np.ones((box.height, box.width), bool)
        sums: np.ndarray | None = None
        for other, result in results:
            if result is None:
                continue
            extent = grid.extent(other)
            shared = box.shared(extent)
            here, there = shared.within(box), shared.within(extent)
            total[here] += grid.total(other, shared)
            if result.valid is not None:
                valid[here] &= result.valid[there]
            if result.sums is not None:
                if sums is None:
                    sums = np.zeros((len(result.sums), *total.shape), np.uint32)
                sums[:, *here] += result.sums[:, *there]
        valid &= total > 0
        assert sums is not None
        # In double precision, where numerator and denominator are exact.
        probabilities = (sums / (np.maximum(total, 1) * float(STEPS))).astype(np.float32)
        probabilities[:, ~valid] = 0
        return Cell(box, probabilities, valid)


def read_cells(grid: Grid, store: BlockStore, blocks: Iterable[Block] | None = None) -> Iterator[Cell]:
    """Yields the cells of a scene, row by row, or those of `blocks` only, from its finished blocks."""
    reader = CellReader(grid, store)
    return (reader.read(block) for block in (grid.blocks() if blocks is None else blocks))
