"""Runs a model on the windows of a scene, block by block; reading, inference and blending overlap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import FloodSegError
from flood_seg.imaging.postprocess import to_16_bits
from flood_seg.imaging.preprocess import preprocess
from flood_seg.imaging.raster import Raster
from flood_seg.imaging.values import BandStatistics
from flood_seg.inference.predictor import run_stages
from flood_seg.resources import enough_memory

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
        valid: bool [h, w], False where the scene has no data; None: there is data everywhere.
        statistics: of the network's inputs; None: no pixel has data.
    """

    sums: np.ndarray | None = None
    valid: np.ndarray | None = None
    statistics: BandStatistics | None = None


@dataclass
class _Batch:
    """Windows of a block on their way through the stages."""

    block: Block
    boxes: list[Box]
    weights: list[np.ndarray]
    is_last: bool
    valid: list[np.ndarray | None] = field(default_factory=list)
    tensors: list[np.ndarray | None] = field(default_factory=list)  # None: a window without data
    statistics: list[BandStatistics] = field(default_factory=list)
    logits: list[np.ndarray] = field(default_factory=list)  # of the windows with data
    sums: list[np.ndarray | None] = field(default_factory=list)
    error: FloodSegError | None = None


class BlockSegmenter:
    """Segments blocks of one scene."""

    def __init__(self, scene: Scene, predictor: Predictor, grid: Grid, batch_size: int = 1) -> None:
        """Takes a scene, a model and the windows; `batch_size` windows are run at once."""
        self._scene, self._predictor, self._grid, self._batch_size = scene, predictor, grid, batch_size
        self._size = (grid.rows.size, grid.cols.size)

    def run(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, BlockResult | FloodSegError]]:
        """Yields the result of each block in order, or the first error of its windows."""
        done = run_stages(
            self._batches(blocks), self._read, self._infer, self._weigh, self._predictor.backend.concurrency
        )
        result, error, parts = BlockResult(), None, list[BandStatistics]()
        for batch in done:
            error = error or batch.error
            if not error:
                self._add(batch, result)
                parts += batch.statistics
            if batch.is_last:
                result.statistics = BandStatistics.merged(parts) if parts else None
                yield batch.block, error or result
                result, error, parts = BlockResult(), None, []

    def _batches(self, blocks: Iterable[Block]) -> Iterator[_Batch]:
        step = self._batch_size
        for block in blocks:
            boxes, weights = list(self._grid.windows(block)), list(self._grid.weights(block))
            for start in range(0, len(boxes), step):
                stop = start + step
                yield _Batch(block, boxes[start:stop], weights[start:stop], stop >= len(boxes))

    def _read(self, batch: _Batch) -> _Batch:
        try:
            with enough_memory(f"{self._scene.path}: a window", "set a smaller batch_size"):
                for box in batch.boxes:
                    self._read_window(batch, box)
        except FloodSegError as error:
            batch.error = error
        return batch

    def _read_window(self, batch: _Batch, box: Box) -> None:
        raster = self._scene.read(box)
        batch.valid.append(raster.valid)
        if raster.valid is not None and not raster.valid.any():
            batch.tensors.append(None)
            return
        tensor = preprocess(pad(raster, self._size), self._predictor.spec)
        batch.tensors.append(tensor)
        batch.statistics.append(BandStatistics.of(tensor))

    def _infer(self, batch: _Batch) -> _Batch:
        tensors = [tensor for tensor in batch.tensors if tensor is not None]
        if tensors and not batch.error:
            try:
                with enough_memory(f"a batch of {len(tensors)} windows", "set a smaller batch_size"):
                    batch.logits = list(self._predictor.backend.run(np.stack(tensors)))
            except FloodSegError as error:
                batch.error = error
        batch.tensors = [None if tensor is None else tensor[:0] for tensor in batch.tensors]
        return batch

    def _weigh(self, batch: _Batch) -> _Batch:
        if batch.error:
            return batch
        logits = iter(batch.logits)
        try:
            for tensor, box, weights in zip(batch.tensors, batch.boxes, batch.weights, strict=True):
                batch.sums.append(None if tensor is None else self._weighted(next(logits), box, weights))
        except FloodSegError as error:
            batch.error = error
        batch.logits = []
        return batch

    def _weighted(self, logits: np.ndarray, box: Box, weights: np.ndarray) -> np.ndarray:
        probabilities = to_16_bits(self._predictor.finish(logits, *self._size).probabilities)
        return np.asarray(np.moveaxis(probabilities[: box.height, : box.width], 2, 0) * weights)

    def _add(self, batch: _Batch, result: BlockResult) -> None:
        extent = self._grid.extent(batch.block)
        for box, valid, sums in zip(batch.boxes, batch.valid, batch.sums, strict=True):
            index = box.within(extent)
            if valid is not None:
                if result.valid is None:
                    result.valid = np.ones((extent.height, extent.width), bool)
                result.valid[index] = valid
            if sums is not None:
                if result.sums is None:
                    result.sums = np.zeros((len(sums), extent.height, extent.width), np.uint32)
                result.sums[:, *index] += sums


def pad(raster: Raster, size: tuple[int, int]) -> np.ndarray:
    """Returns the values of a window [*size, bands], mirrored where a scene is smaller than the window."""
    height, width = raster.values.shape[:2]
    if (height, width) == size:
        return raster.values
    return np.pad(raster.values, ((0, size[0] - height), (0, size[1] - width), (0, 0)), mode="symmetric")
