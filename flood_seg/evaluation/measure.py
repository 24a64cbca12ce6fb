"""Runs models on the pairs of a data set and keeps counts and thumbnails of each image, not its full arrays.

Reading, inference and counting of successive images overlap.
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
from flood_seg.inference.predictor import run_stages
from flood_seg.inference.tta import Augmentations
from flood_seg.metrics.boundary import boundary_f1
from flood_seg.metrics.confusion import confusion_matrix
from flood_seg.metrics.curve import count_logits
from flood_seg.metrics.loss import cross_entropy
from flood_seg.skipped import EVERY, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flood_seg.data.pairing import Pair
    from flood_seg.data.reading import SampleReader
    from flood_seg.evaluation.prediction_files import PredictionFiles
    from flood_seg.inference.predictor import Prediction, Predictor

MAIN = "model"
THUMBNAIL_PX = 320  # of the longer side
SAMPLED_PIXELS = 256  # per image, whose logits are kept (multiclass)


@dataclass(frozen=True)
class Candidate:
    """A model to evaluate, and how it is run.

    Attributes:
        name: `MAIN`, `plain` (the same model without test-time augmentation) or `other`.
        predictor: the model.
        augmentations: of test-time augmentation; by default none.
    """

    name: str
    predictor: Predictor
    augmentations: Augmentations = field(default_factory=Augmentations)


@dataclass
class Thumbnails:
    """An image, uint8 [h, w, 3] RGB, and the class indices of its truth and its prediction, uint8 [h, w]."""

    image: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


@dataclass
class ImageResult:
    """The result of one image.

    Attributes:
        stem: of the pair.
        size: height and width at which pixels were counted.
        matrices: confusion matrix of each candidate, int64 [classes, classes].
        seconds: inference time of each candidate.
        loss: mean cross-entropy per pixel of the main candidate, in nats.
        boundary: boundary F1 of the main candidate, one value per radius.
        logits: histograms of the main candidate's logits, int64 [2, BINS] (binary).
        sampled: logits float32 [n, classes] and true indices [n] of sampled pixels (multiclass).
        brightness: mean grey value, in [0, 1].
        sharpness: standard deviation of the Laplacian of the grey thumbnail, in [0, 1].
        shift: of the values from the training data's; see `inference.values.measure_shift`.
        thumbnails: None once the image is not shown in the report.
    """

    stem: str
    size: tuple[int, int]
    matrices: dict[str, np.ndarray]
    seconds: dict[str, float]
    loss: float
    boundary: list[float]
    logits: np.ndarray | None
    sampled: tuple[np.ndarray, np.ndarray] | None
    brightness: float
    sharpness: float
    shift: float
    thumbnails: Thumbnails | None

    @property
    def matrix(self) -> np.ndarray:
        """The confusion matrix of the main candidate."""
        return self.matrices[MAIN]


@dataclass
class _Job:
    """An image on its way through the stages."""

    pair: Pair
    image: np.ndarray | None = None
    mask: np.ndarray | None = None
    error: ImageError | None = None
    shift: float = 0.0
    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class Evaluator:
    """Evaluates candidates on pairs in three stages: read, run, count."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        reader: SampleReader,
        radii: Sequence[int],
        at_network_size: bool,
        listing: str = EVERY,
        files: PredictionFiles | None = None,
    ) -> None:
        self._candidates, self._reader, self._radii = candidates, reader, radii
        self._spec = candidates[0].predictor.spec
        self._size = (self._spec.height, self._spec.width) if at_network_size else None
        self._files, self.left_out = files, LeftOut(listing)

    def run(self, pairs: Sequence[Pair]) -> Iterator[ImageResult]:
        """Yields the result of each usable pair, in their order; warns of the others.

        Raises:
            DataError: no pair is usable, or a mask has a value that the classes do not list.
        """
        concurrency = min(candidate.predictor.backend.concurrency for candidate in self._candidates)
        done = run_stages(pairs, self._read, self._infer, self._count, concurrency)
        results = track(done, "Evaluating", len(pairs))
        with self.left_out as left_out:
            yield from (result for _, result in usable(pairs, results, left_out))
            if len(left_out) == len(pairs):
                left_out.listing = EVERY  # no report is written
        if len(left_out) == len(pairs):
            raise DataError(f"no usable pair among {len(pairs)}; see the messages above")

    def _read(self, pair: Pair) -> _Job:
        job = _Job(pair)
        try:
            loaded = self._reader.load_at(pair, *self._size) if self._size else self._reader.load(pair)
            job.image, job.mask = loaded
            counted = job.mask != IGNORED
            if not counted.any():
                raise ImageError("all of its pixels are ignored or have no data")
            valid = None if counted.all() else counted
            for candidate in self._candidates:
                job.tensors[candidate.name], shift = candidate.predictor.prepare(job.image, valid)
                job.shift = max(job.shift, shift)
        except ImageError as error:
            job.error = error
        return job

    def _infer(self, job: _Job) -> _Job:
        for candidate in self._candidates if job.error is None else ():
            started = time.perf_counter()
            tensor, backend = job.tensors[candidate.name], candidate.predictor.backend
            augmentations = candidate.augmentations
            plain = augmentations.is_identity
            logits = backend.run(tensor[None])[0] if plain else augmentations.run(backend, tensor)
            job.tensors[candidate.name] = logits
            job.seconds[candidate.name] = time.perf_counter() - started
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
        predictions = {c.name: c.predictor.finish(job.tensors[c.name], *shape) for c in self._candidates}
        matrices = {name: confusion_matrix(p.mask, mask, count) for name, p in predictions.items()}
        main = predictions[MAIN]
        if self._files:
            self._files.write(job.pair.stem, image, mask, main)
        binary = self._spec.task == "binary"
        small = to_picture(shrink(image, THUMBNAIL_PX), self._reader.bands.names)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        return ImageResult(
            job.pair.stem, (shape[0], shape[1]), matrices, job.seconds,
            cross_entropy(main.logits, mask, main.temperature),
            boundary_f1(main.mask, mask, count, self._radii),
            count_logits(main.logits[0], mask) if binary else None,
            None if binary else _sample(main, mask),
            float(grey.mean()) / 255, float(cv2.Laplacian(grey, cv2.CV_32F).std()) / 255,
            job.shift,
            Thumbnails(small, *(resize_mask(classes, *small.shape[:2]) for classes in (mask, main.mask))),
        )  # fmt: skip


def _sample(prediction: Prediction, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the logits and class indices of evenly spaced pixels that are not ignored."""
    counted = np.flatnonzero(target != IGNORED)
    chosen = counted[np.linspace(0, len(counted) - 1, min(SAMPLED_PIXELS, len(counted))).astype(int)]
    return prediction.logits.reshape(len(prediction.logits), -1)[:, chosen].T, target.ravel()[chosen]
