"""The three stages from image files to mask files: read, run, write; each takes a batch of images."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import FloodSegError, ImageError, LogitsError, OutOfMemoryError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.read import read_bands
from flood_seg.inference.rendering import Renderer
from flood_seg.resources import enough_memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from flood_seg.config.schema import OutputConfig
    from flood_seg.inference.files import Job
    from flood_seg.inference.predictor import Predictor


@dataclass
class ImageState:
    """An image on its way through the stages: each stage fills in what the next one needs.

    Attributes:
        job: its files.
        error: why it has no mask; later stages skip the image.
        size: height and width in pixels.
        image: any dtype [H, W, bands]; kept only where an overlay is drawn.
        tensor: the network's input, float32 [bands, height, width], then its output, float32 [channels, height, width].
        seconds: the duration of each stage.
        shift: of the values from the training data's; see `measure_shift`.
        shares: the share of the pixels of each class but the background, in [0, 1].
        valid: bool [H, W], where the image has data; None: everywhere.
        nodata_share: the share of the pixels without data, in [0, 1].
        overlaid: whether an overlay is written.
    """

    job: Job
    error: FloodSegError | None = None
    size: tuple[int, int] = (0, 0)
    image: np.ndarray | None = None
    tensor: np.ndarray | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    shift: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)
    valid: np.ndarray | None = None
    nodata_share: float = 0.0
    overlaid: bool = False


class Segmenter:
    """The stages, for one model and one kind of output.

    Attributes:
        done: the images whose files are written, in the order in which they were.
    """

    def __init__(self, predictor: Predictor, output: OutputConfig, overlay: bool) -> None:
        self._predictor, self._overlay = predictor, overlay
        self.done: list[ImageState] = []
        self._bands, self._renderer = BandSelection.of(predictor.spec), Renderer(predictor.spec, output)

    def read(self, jobs: Sequence[Job]) -> list[ImageState]:
        """Decodes and preprocesses; a file that cannot be read becomes an image with an error."""
        return [self._read(job) for job in jobs]

    def _read(self, job: Job) -> ImageState:
        started = time.perf_counter()
        state = ImageState(job)
        try:
            with _enough_for(job):
                raster = read_bands(job.image, self._bands)
                state.tensor, state.shift = self._predictor.prepare(raster.values, raster.valid)
        except (ImageError, OutOfMemoryError) as error:
            state.error = _named(error, job)
            return state
        state.valid, state.size = raster.valid, raster.values.shape[:2]
        state.image = raster.values if self._overlay else None
        state.seconds["read"] = time.perf_counter() - started
        return state

    def run(self, states: list[ImageState]) -> list[ImageState]:
        """Runs the model on the images that were read, in one batch."""
        started = time.perf_counter()
        good = [state for state in states if state.tensor is not None]
        if good:
            try:
                with enough_memory(f"a batch of {len(good)} images", "set a smaller batch_size"):
                    batch = np.stack([state.tensor for state in good if state.tensor is not None])
                    logits = self._predictor.backend.run(batch)
            except OutOfMemoryError as error:  # maybe only beside the other batches under way: the next may fit
                for state in good:
                    state.error, state.tensor, state.image = _named(error, state.job), None, None
                return states
            for state, output in zip(good, logits, strict=True):
                state.tensor = output
                state.seconds["predict"] = (time.perf_counter() - started) / len(good)
        return states

    def write(self, states: list[ImageState]) -> list[ImageState]:
        """Writes the files of each image; an output without a valid mask becomes an image with an error."""
        for state in states:
            if state.tensor is None:
                continue
            try:
                with _enough_for(state.job):
                    self._write(state, state.tensor)
                self.done.append(state)
            except (ImageError, OutOfMemoryError, LogitsError) as error:
                state.error = _named(error, state.job)
            state.image = state.tensor = state.valid = None
        return states

    def _write(self, state: ImageState, logits: np.ndarray) -> None:
        started = time.perf_counter()
        prediction = self._predictor.finish(logits, *state.size, state.valid)
        self._renderer.write_mask(state.job.mask, prediction, state.job.image)
        if state.image is not None:
            self._renderer.write_overlay(state.job.overlay, prediction, state.image)
            state.overlaid = True
        if state.job.probability is not None:
            self._renderer.write_probability(state.job.probability, prediction, state.job.image)
        state.shares = prediction.shares(self._predictor.spec.class_names)
        state.nodata_share = prediction.nodata_share
        state.seconds["write"] = time.perf_counter() - started


def _enough_for(job: Job) -> AbstractContextManager[None]:
    return enough_memory(str(job.image), "close other programs, or cut it into tiles with flood-seg data tile")


def _named(error: FloodSegError, job: Job) -> FloodSegError:
    """Returns the error with the image's name at the beginning."""
    text = str(error)
    return error if text.startswith(f"{job.image}: ") else type(error)(f"{job.image}: {text}")
