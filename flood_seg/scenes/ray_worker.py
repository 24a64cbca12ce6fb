"""What runs in a worker process of a Ray cluster: the model, loaded once, and the blocks of one scene after another."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

from flood_seg.errors import BackendError, FloodSegError, ImageError, ModelError
from flood_seg.extras import missing_extra
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.inference.engines import open_backend
from flood_seg.inference.predictor import Predictor
from flood_seg.scenes.executor import digest_of
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.stream import BlockSegmenter

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.scenes.executor import ModelSource
    from flood_seg.scenes.grid import Block, Grid
    from flood_seg.scenes.stream import BlockResult


@dataclass(frozen=True)
class SceneTask:
    """What a worker needs to know of a scene before its blocks.

    Attributes:
        path: of the scene, the same on all nodes.
        file_size: in bytes; None: it is not a file.
        grid: the windows and blocks.
        batch_size: windows that are run at once.
    """

    path: Path
    file_size: int | None
    grid: Grid
    batch_size: int


def file_size(path: Path) -> int | None:
    """Returns the size of a file in bytes; None for an address, or a name that GDAL knows."""
    with suppress(OSError):
        return path.stat().st_size
    return None


class SegmentWorker:
    """Segments blocks, one at a time, with its own copy of the model."""

    def __init__(self, model: ModelSource, threads: int) -> None:
        """Takes what is loaded by the first `prepare`, and the threads that it may use."""
        self._model, self._threads = model, threads
        self._predictor: Predictor | None = None
        self._scene: Scene | None = None

    def prepare(self, task: SceneTask) -> tuple[str, FloodSegError | None]:
        """Loads the model and opens the scene; returns the name of this node, and what is wrong with it."""
        try:
            with missing_extra("the worker"):
                self._prepare(task)
        except FloodSegError as error:
            return socket.gethostname(), error
        return socket.gethostname(), None

    def _prepare(self, task: SceneTask) -> None:
        if self._predictor is None:
            cv2.setNumThreads(self._threads)
            limit_megapixels(self._model.max_megapixels)
            self._predictor = self._load()
        if self._scene is None or self._scene.path != task.path:
            if self._scene is not None:
                self._scene.__exit__()
            self._scene = Scene.open(task.path, BandSelection.of(self._predictor.spec))
        size = (task.grid.rows.length, task.grid.cols.length)
        if file_size(task.path) != task.file_size or (self._scene.height, self._scene.width) != size:
            raise ImageError(f"{task.path}: is another file than where the command runs")
        self._segmenter = BlockSegmenter(self._scene, self._predictor, task.grid)
        self._batch_size = task.batch_size

    def _load(self) -> Predictor:
        model = self._model
        backend = open_backend(model.backend, model.name)
        predictor = Predictor(backend, value_scale=model.value_scale)
        if digest_of(model.name, predictor) != model.digest:
            raise ModelError(f"{model.name}: is another model than where the command runs")
        if backend.description != model.description:
            raise BackendError(
                f"the engine is {backend.description}, and {model.description} where the command runs; "
                "choose one that both have, by backend=... and executor.gpus=..."
            )
        return predictor

    def segment(self, block: Block) -> BlockResult | FloodSegError:
        """Returns the result of a block of the prepared scene, or the error that it failed with."""
        ((_, result),) = self._segmenter.segment([block], self._batch_size)
        return result
