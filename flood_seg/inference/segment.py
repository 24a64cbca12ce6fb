"""The three stages from files to masks: read, run, write; each on a batch of photos."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.errors import FloodSegError, ImageError, LogitsError, OutOfMemoryError
from flood_seg.imaging.bands import BandSelection, read_bands
from flood_seg.imaging.display import class_colors, draw_classes, to_picture
from flood_seg.imaging.postprocess import to_labels
from flood_seg.imaging.write import write_image
from flood_seg.resources import enough_memory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from flood_seg.config.schema import OutputConfig
    from flood_seg.inference.files import Job
    from flood_seg.inference.predictor import Predictor


@dataclass
class Photo:
    """A photo on its way: each stage takes what it needs and leaves what the next one needs.

    Attributes:
        job: its files.
        error: why it has no mask; the later stages pass it on.
        size: height and width in pixels.
        image: any dtype [H, W, bands]; kept only where an overlay is drawn.
        tensor: the network's input, float32 [bands, height, width], then its answer, float32 [channels, height, width].
        seconds: of each stage.
        shift: of the values from the training data's; see `measure_shift`.
        shares: of each class but the background, in [0, 1] of all pixels.
        valid: bool [H, W], where the image has data; None: everywhere.
        nodata_share: of the pixels that have no data, where nothing was seen, in [0, 1].
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
    """The stages, for one model and one way to write.

    Attributes:
        done: the photos whose files are written, in the order in which they were.
    """

    def __init__(self, predictor: Predictor, output: OutputConfig, overlay: bool) -> None:
        self._predictor, self._output, self._overlay = predictor, output, overlay
        self.done: list[Photo] = []
        self._bands, self._colors = BandSelection.of(predictor.spec), class_colors(predictor.spec)
        if predictor.spec.task == "binary":
            self._colors[1] = _rgb(output.overlay_color)

    def read(self, jobs: Sequence[Job]) -> list[Photo]:
        """Decodes and prepares; a file that cannot be read is a photo with an error."""
        return [self._read(job) for job in jobs]

    def _read(self, job: Job) -> Photo:
        started = time.perf_counter()
        photo = Photo(job)
        try:
            with _enough_for(job):
                raster = read_bands(job.image, self._bands)
                photo.tensor, photo.shift = self._predictor.prepare(raster.values, raster.valid)
        except (ImageError, OutOfMemoryError) as error:
            photo.error = _named(error, job)
            return photo
        photo.valid, photo.size = raster.valid, raster.values.shape[:2]
        photo.image = raster.values if self._overlay else None
        photo.seconds["read"] = time.perf_counter() - started
        return photo

    def run(self, photos: list[Photo]) -> list[Photo]:
        """Runs the model on those that were read, in one batch."""
        started = time.perf_counter()
        good = [photo for photo in photos if photo.tensor is not None]
        if good:
            try:
                with enough_memory(f"a batch of {len(good)} photos", "set a smaller batch_size"):
                    batch = np.stack([photo.tensor for photo in good if photo.tensor is not None])
                    logits = self._predictor.backend.run(batch)
            except OutOfMemoryError as error:  # maybe only beside what else is under way: the next batches may fit
                for photo in good:
                    photo.error, photo.tensor, photo.image = _named(error, photo.job), None, None
                return photos
            for photo, answer in zip(good, logits, strict=True):
                photo.tensor = answer
                photo.seconds["predict"] = (time.perf_counter() - started) / len(good)
        return photos

    def write(self, photos: list[Photo]) -> list[Photo]:
        """Makes and writes masks and overlays; an answer of which no mask can be made is a photo with an error."""
        for photo in photos:
            if photo.tensor is None:
                continue
            try:
                with _enough_for(photo.job):
                    self._write(photo, photo.tensor)
                self.done.append(photo)
            except (OutOfMemoryError, LogitsError) as error:
                photo.error = _named(error, photo.job)
            photo.image = photo.tensor = None
        return photos

    def _write(self, photo: Photo, logits: np.ndarray) -> None:
        started = time.perf_counter()
        prediction = self._predictor.finish(logits, *photo.size)
        mask, spec, output = prediction.mask, self._predictor.spec, self._output
        if photo.valid is not None:  # no water is claimed where nothing was seen; the prediction's shares follow
            mask[~photo.valid] = 0
            photo.nodata_share, photo.valid = 1 - float(photo.valid.mean()), None
        values = (0, output.foreground_value) if spec.task == "binary" else spec.label_values
        write_image(photo.job.mask, to_labels(mask, values))
        if photo.image is not None:
            picture = to_picture(photo.image, spec.bands)
            style = self._colors, output.overlay_opacity, _rgb(output.outline_color)
            write_image(photo.job.overlay, draw_classes(picture, mask, *style))
            photo.overlaid = True
        photo.shares = prediction.shares(spec.class_names)
        photo.seconds["write"] = time.perf_counter() - started


def _enough_for(job: Job) -> AbstractContextManager[None]:
    return enough_memory(str(job.image), "close other programs, or cut it into tiles with flood-seg data tile")


def _named(error: FloodSegError, job: Job) -> FloodSegError:
    """Returns the error with the image's name at the beginning."""
    text = str(error)
    return error if text.startswith(f"{job.image}: ") else type(error)(f"{job.image}: {text}")


def _rgb(values: list[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return red, green, blue
