"""Runs models over the pairs of a data set and keeps what is needed of each: counts and small pictures, no arrays.

Reading, the model and the counting of neighbouring photos overlap.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.console import track
from flood_seg.data.parallel import usable
from flood_seg.data.reading import resize_mask
from flood_seg.errors import DataError, ImageError, LogitsError
from flood_seg.imaging.display import to_picture
from flood_seg.imaging.preprocess import shrink
from flood_seg.inference.stages import run_stages
from flood_seg.inference.tta import Augmentations
from flood_seg.metrics.boundary import boundary_f1
from flood_seg.metrics.confusion import confusion_matrix
from flood_seg.metrics.curve import count_logits
from flood_seg.skipped import EVERY, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flood_seg.data.pairing import Pair
    from flood_seg.data.reading import SampleReader
    from flood_seg.inference.predictor import Prediction, Predictor

MAIN = "model"
SMALL = 320  # pixels of the longer side of what is kept to be looked at
SAMPLED = 256  # pixels an image whose logits are kept, of several classes


@dataclass(frozen=True)
class Contestant:
    """A model, and the way that it is run.

    Attributes:
        name: `MAIN`, `plain` (the same without views) or `other`.
        predictor: from image to mask.
        views: of test-time augmentation.
    """

    name: str
    predictor: Predictor
    views: Augmentations = field(default_factory=Augmentations)


@dataclass
class Looks:
    """Small pictures of a photo: uint8 [h, w, 3] RGB, and class indices of truth and prediction, uint8 [h, w]."""

    image: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


@dataclass
class ImageResult:
    """What is kept of a photo.

    Attributes:
        stem: of the pair.
        size: height and width that were counted at.
        matrices: of each contestant, int64 [classes, classes].
        seconds: of each contestant's model alone.
        boundary: boundary F1 of the main one, a value a radius.
        logits: histograms of the main one's, int64 [2, BINS] (binary).
        sampled: logits float32 [n, classes] and true indices [n] of some pixels (several classes).
        brightness: mean grey in [0, 1].
        sharpness: standard deviation of the Laplacian of the grey picture at 320 px, in [0, 1].
        shift: of the values from the training data's; see `imaging.values.measure_shift`.
        looks: dropped where they are not shown.
    """

    stem: str
    size: tuple[int, int]
    matrices: dict[str, np.ndarray]
    seconds: dict[str, float]
    boundary: list[float]
    logits: np.ndarray | None
    sampled: tuple[np.ndarray, np.ndarray] | None
    brightness: float
    sharpness: float
    shift: float
    looks: Looks | None

    @property
    def matrix(self) -> np.ndarray:
        """The main contestant's."""
        return self.matrices[MAIN]


@dataclass
class _Job:
    """A photo on its way."""

    pair: Pair
    image: np.ndarray | None = None
    mask: np.ndarray | None = None
    error: ImageError | None = None
    shift: float = 0.0
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Measurer:
    """The stages: read, run, count."""

    def __init__(
        self,
        contestants: Sequence[Contestant],
        reader: SampleReader,
        radii: Sequence[int],
        at_network_size: bool,
        listing: str = EVERY,
    ) -> None:
        self._contestants, self._reader, self._radii = contestants, reader, radii
        self._spec = contestants[0].predictor.spec
        self._size = (self._spec.height, self._spec.width) if at_network_size else None
        self.left_out = LeftOut(listing)

    def measure(self, pairs: Sequence[Pair]) -> Iterator[ImageResult]:
        """Yields the result of each pair that can be read, in their order; the others are named.

        Raises:
            DataError: a mask has a value that the classes do not list.
        """
        concurrency = min(contestant.predictor.backend.concurrency for contestant in self._contestants)
        done = run_stages(pairs, self._read, self._run, self._count, concurrency)
        results = track(done, "Evaluating", len(pairs))
        with self.left_out as left_out:
            yield from (result for _, result in usable(pairs, results, left_out))
            if len(left_out) == len(pairs):
                left_out.listing = EVERY  # no report is written

    def _read(self, pair: Pair) -> _Job:
        job = _Job(pair)
        try:
            loaded = self._reader.load_at(pair, *self._size) if self._size else self._reader.load(pair)
            job.image, job.mask = loaded
            counted = job.mask != IGNORED
            if not counted.any():
                raise ImageError("all of its pixels are ignored or have no data")
            valid = None if counted.all() else counted
            for contestant in self._contestants:
                job.tensors[contestant.name], shift = contestant.predictor.prepare(job.image, valid)
                job.shift = max(job.shift, shift)
        except ImageError as error:
            job.error = error
        return job

    def _run(self, job: _Job) -> _Job:
        for contestant in self._contestants if job.error is None else ():
            started = time.perf_counter()
            tensor, backend = job.tensors[contestant.name], contestant.predictor.backend
            one = contestant.views.is_identity
            logits = backend.run(tensor[None])[0] if one else contestant.views.run(backend, tensor)
            job.tensors[contestant.name] = logits
            job.seconds[contestant.name] = time.perf_counter() - started
        return job

    def _count(self, job: _Job) -> ImageResult | ImageError | LogitsError:
        if job.error is not None:
            return job.error
        assert job.image is not None and job.mask is not None
        try:
            return self._counted(job, job.image, job.mask)
        except LogitsError as error:
            return error

    def _counted(self, job: _Job, image: np.ndarray, mask: np.ndarray) -> ImageResult:
        shape, count = mask.shape, len(self._spec.class_names)
        predictions = {c.name: c.predictor.finish(job.tensors[c.name], *shape) for c in self._contestants}
        matrices = {name: confusion_matrix(p.mask, mask, count) for name, p in predictions.items()}
        main = predictions[MAIN]
        binary = self._spec.task == "binary"
        small = to_picture(shrink(image, SMALL), self._reader.bands.names)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        return ImageResult(
            job.pair.stem, (shape[0], shape[1]), matrices, job.seconds,
            boundary_f1(main.mask, mask, count, self._radii),
            count_logits(main.logits[0], mask) if binary else None,
            None if binary else _sample(main, mask),
            float(grey.mean()) / 255, float(cv2.Laplacian(grey, cv2.CV_32F).std()) / 255,
            job.shift,
            Looks(small, *(resize_mask(classes, *small.shape[:2]) for classes in (mask, main.mask))),
        )  # fmt: skip


def _sample(prediction: Prediction, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Takes some pixels that count, evenly."""
    places = np.flatnonzero(target != IGNORED)
    chosen = places[np.linspace(0, len(places) - 1, min(SAMPLED, len(places))).astype(int)]
    return prediction.logits.reshape(len(prediction.logits), -1)[:, chosen].T, target.ravel()[chosen]


def measure_all(measurer: Measurer, pairs: Sequence[Pair]) -> Iterator[ImageResult]:
    """Yields results; raises DataError where no pair could be read."""
    none = True
    for result in measurer.measure(pairs):
        none = False
        yield result
    if none:
        raise DataError(f"no usable pair among {len(pairs)}; the lines above say why")
