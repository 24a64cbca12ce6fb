"""Runs models on whole scenes, as `map` does, and counts cell by cell: memory does not depend on a scene's size."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.console import track, warn
from flood_seg.data.reading import check_aspect, resize_mask
from flood_seg.errors import ImageError, LogitsError
from flood_seg.evaluation.measure import (
    MAIN,
    THUMBNAIL_PX,
    ImageResult,
    Thumbnails,
    measure_picture,
    sample_logits,
    usable,
)
from flood_seg.evaluation.scene_pairs import ScenePair
from flood_seg.imaging.display import to_picture
from flood_seg.imaging.postprocess import to_logits
from flood_seg.imaging.preprocess import shrunk
from flood_seg.imaging.raster import Window
from flood_seg.inference.values import check_statistics, missing_by_name
from flood_seg.metrics.confusion import confusion_matrix
from flood_seg.metrics.curve import count_logits
from flood_seg.metrics.loss import cross_entropy
from flood_seg.scenes.cells import read_cells
from flood_seg.scenes.executor import LocalExecutor
from flood_seg.scenes.scale import lay_windows
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.segment import check_scene, segment_scene
from flood_seg.scenes.store import BlockStore
from flood_seg.skipped import EVERY, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flood_seg.config.schema.scenes import WindowOptions
    from flood_seg.data.pairing import Pair
    from flood_seg.data.reading import SampleReader
    from flood_seg.inference.predictor import Predictor
    from flood_seg.scenes.cells import Cell
    from flood_seg.scenes.grid import Block, Box, Grid
    from flood_seg.spec import ModelSpec


class SceneEvaluator:
    """Evaluates candidates on scenes.

    Attributes:
        left_out: the scenes that cannot be used.
        scales: pixels of the main candidate's network per pixel of each scene, by stem.
    """

    def __init__(
        self, candidates: dict[str, Predictor], reader: SampleReader, options: WindowOptions, listing: str = EVERY
    ) -> None:
        """Takes the models by name, as `Evaluator`, and how scenes are cut into windows."""
        self._candidates, self._reader, self._options = candidates, reader, options
        self.left_out, self.scales = LeftOut(listing), dict[str, float]()

    def evaluate(self, scenes: Sequence[Pair]) -> Iterator[ImageResult]:
        """Yields the result of each usable scene, in their order; warns of the others.

        Raises:
            DataError: no scene is usable, or a truth has a value that the classes do not list.
            OutputError: there is no space for the blocks, which are files in a temporary folder.
        """
        return usable(((pair.stem, self._attempt(pair)) for pair in scenes), self.left_out, len(scenes))

    def _attempt(self, pair: Pair) -> ImageResult | ImageError | LogitsError:
        try:
            return self._evaluate(pair)
        except (ImageError, LogitsError) as error:
            return error

    def _evaluate(self, pair: Pair) -> ImageResult:
        seconds, matrices = dict[str, float](), dict[str, np.ndarray]()
        with Scene.open(pair.image, self._reader.bands, rectified=False) as scene, TemporaryDirectory() as folder:
            truth = Truth(pair, self._reader, scene)
            main = Tally(scene, self._candidates[MAIN].spec)
            for name, predictor in self._candidates.items():
                started = time.perf_counter()
                grid, scale = lay_windows(scene, predictor.spec, self._options)
                if name == MAIN:
                    self.scales[pair.stem] = scale.value
                    for warning in scale.warnings:
                        warn(f"{scene.source}: {warning}")
                store = BlockStore(Path(folder) / name, grid)
                blocks = [block for block in grid.blocks() if truth.counts_in(grid.cell(block))]
                _segment(scene, predictor, grid, store, blocks)
                seconds[name] = time.perf_counter() - started
                classes = len(predictor.spec.class_names)
                matrices[name] = np.zeros((classes, classes), np.int64)
                for cell in read_cells(grid, store, blocks):
                    target, predicted = truth.read(cell), cell.classes(predictor.threshold)
                    matrices[name] += confusion_matrix(predicted, target, classes)
                    if name == MAIN:
                        main.add(cell, target, predicted)
                if name == MAIN:
                    if not matrices[name].any():
                        raise ImageError("all of its pixels are ignored or have no data")
                    statistics = store.statistics()
                    assert statistics is not None
                    shift = check_statistics(statistics, predictor.spec)
                    missing = missing_by_name(statistics, predictor.spec)
            return main.result(pair.stem, matrices, seconds, shift, missing)


def _segment(scene: Scene, predictor: Predictor, grid: Grid, store: BlockStore, blocks: Sequence[Block]) -> None:
    """Segments the blocks whose cells are wanted, and those that reach into them; raises the first error."""
    check_scene(scene, predictor, grid)
    needed = {other for block in blocks for other in grid.touching(block)}
    todo = [block for block in grid.blocks() if block in needed]
    for _, error in track(
        segment_scene(scene, predictor, grid, store, LocalExecutor(None, retries=2), blocks=todo), scene.name, len(todo)
    ):
        if error:
            raise error


class Truth:
    """The truth of a scene, read cell by cell."""

    def __init__(self, pair: Pair, reader: SampleReader, scene: Scene) -> None:
        """Takes a scene and its pair; reads the truth of a photo, which is not read by windows, at once.

        Raises:
            ImageError: it cannot be read, or is of another aspect ratio.
            DataError: it has a value that the classes do not list.
        """
        self._pair, self._reader, self._scene = pair, reader, scene
        self._counted = pair.counted if isinstance(pair, ScenePair) else None
        self._photo: np.ndarray | None = None
        if scene.is_photo:
            mask = reader.read_mask(pair)
            check_aspect((scene.height, scene.width), mask.shape)
            self._photo = resize_mask(mask, scene.height, scene.width)

    def counts_in(self, box: Box) -> bool:
        """Whether any pixel of a rectangle counts."""
        return self._counted is None or any(one.meets(box) for one in self._counted)

    def read(self, cell: Cell) -> np.ndarray:
        """Returns class indices, uint8 [h, w], `IGNORED` where the scene has no data and where pixels do not count.

        Raises:
            ImageError: the file is damaged there, or does not fit the scene.
            DataError: a value that the classes do not list.
        """
        box = cell.box
        if self._photo is not None:
            mask = self._photo[box.within(self._scene.box)]
        else:
            window = Window(box.row, box.col, box.height, box.width, (self._scene.height, self._scene.width))
            mask = resize_mask(self._reader.read_mask(self._pair, window), box.height, box.width)
        counted = cell.valid
        if self._counted is not None:
            inside = np.zeros(counted.shape, bool)
            for one in self._counted:
                if one.meets(box):
                    inside[one.shared(box).within(box)] = True
            counted = counted & inside
        return np.where(counted, mask, np.uint8(IGNORED))


class Tally:
    """What is summed up over the cells of a scene."""

    def __init__(self, scene: Scene, spec: ModelSpec) -> None:
        """Takes the scene and the spec of the model."""
        self._scene, self._spec = scene, spec
        self._loss, self._pixels = 0.0, 0
        self._counts: np.ndarray | None = None
        self._sampled: list[tuple[np.ndarray, np.ndarray]] = []
        height, width = shrunk((scene.height, scene.width), THUMBNAIL_PX)
        self._rows = (np.arange(height) + 0.5) * scene.height / height  # centres of the thumbnail's pixels
        self._columns = (np.arange(width) + 0.5) * scene.width / width
        self._truth, self._predicted = np.full((height, width), IGNORED, np.uint8), np.zeros((height, width), np.uint8)

    def add(self, cell: Cell, target: np.ndarray, predicted: np.ndarray) -> None:
        """Adds a cell, its truth and its prediction, class indices uint8 [h, w]."""
        here, there = _nearest(self._rows, cell.box.row, cell.box.height)
        across, along = _nearest(self._columns, cell.box.col, cell.box.width)
        self._truth[here, across] = target[np.ix_(there, along)]
        self._predicted[here, across] = predicted[np.ix_(there, along)]
        pixels = int(np.count_nonzero(target != IGNORED))
        if cell.probabilities is None or not pixels:
            return
        logits = to_logits(cell.probabilities, self._spec.temperature)
        self._loss += cross_entropy(logits, target, self._spec.temperature) * pixels
        self._pixels += pixels
        if self._spec.task == "binary":
            counts = count_logits(logits[0], target)
            self._counts = counts if self._counts is None else self._counts + counts
        else:
            self._sampled.append(sample_logits(logits, target))

    def result(
        self, stem: str, matrices: dict[str, np.ndarray], seconds: dict[str, float], shift: float,
        missing: dict[str, float],
    ) -> ImageResult:  # fmt: skip
        """Returns the result of the scene; reads its thumbnail."""
        small = self._scene.preview(THUMBNAIL_PX)
        picture = to_picture(small.values, small.names)
        brightness, sharpness = measure_picture(picture)
        sampled = [np.concatenate(part) for part in zip(*self._sampled, strict=True)]
        return ImageResult(
            stem=stem,
            size=(self._scene.height, self._scene.width),
            matrices=matrices,
            seconds=seconds,
            loss=self._loss / max(self._pixels, 1),
            boundary=[],
            logits=self._counts,
            sampled=(sampled[0], sampled[1]) if sampled else None,
            brightness=brightness,
            sharpness=sharpness,
            shift=shift,
            missing=missing,
            thumbnails=Thumbnails(picture, self._truth, self._predicted),
        )


def _nearest(centres: np.ndarray, start: int, length: int) -> tuple[slice, np.ndarray]:
    """Returns which pixels of a thumbnail lie in a cell along one axis, and the pixel of the cell below each."""
    first, last = np.searchsorted(centres, (start, start + length))
    return slice(first, last), centres[first:last].astype(int) - start
