"""Puts the blended probabilities of a scene together from its blocks, one cell at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.imaging.postprocess import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flood_seg.scenes.grid import Block, Box, Grid
    from flood_seg.scenes.store import BlockStore


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


def read_cells(grid: Grid, store: BlockStore, blocks: Iterable[Block] | None = None) -> Iterator[Cell]:
    """Yields the cells of a scene, row by row, or those of `blocks` only, from its finished blocks."""
    load = lru_cache(maxsize=4)(store.load)  # neighbours share blocks
    for block in grid.blocks() if blocks is None else blocks:
        box = grid.cell(block)
        total = np.zeros((box.height, box.width), np.uint32)
        valid = np.ones((box.height, box.width), bool)
        sums: np.ndarray | None = None
        for other in grid.touching(block):
            result = load(other)
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
        if sums is None:
            valid[:] = False
            yield Cell(box, None, valid)
            continue
        # In double precision, where numerator and denominator are exact.
        probabilities = (sums / (np.maximum(total, 1) * float(STEPS))).astype(np.float32)
        probabilities[:, ~valid] = 0
        yield Cell(box, probabilities, valid)
