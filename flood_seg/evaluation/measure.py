"""Runs models on the pairs of a data set and keeps counts and thumbnails of each image, not its full arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.console import track
from flood_seg.data.reading import fill_up, resize_mask
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.display import to_picture
from flood_seg.imaging.preprocess import resize_image, shrink
from flood_seg.inference.stages import Item, Stages
from flood_seg.metrics.boundary import boundary_f1
from flood_seg.metrics.confusion import confusion_matrix
from flood_seg.metrics.curve import count_logits
from flood_seg.metrics.loss import cross_entropy
from flood_seg.skipped import EVERY, LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flood_seg.data.pairing import Pair
    from flood_seg.data.reading import SampleReader
    from flood_seg.errors import FloodSegError
    from flood_seg.evaluation.prediction_files import PredictionFiles
    from flood_seg.inference.predictor import Predictor

MAIN = "model"
THUMBNAIL_PX = 320  # of the longer side
SAMPLED_PIXELS = 256  # per image, whose logits are kept (multiclass)


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
        boundary: boundary F1 of the main candidate, one value per radius; empty where it is not measured.
        logits: histograms of the main candidate's logits, int64 [2, BINS] (binary).
        sampled: logits float32 [n, classes] and true indices [n] of sampled pixels (multiclass).
        brightness: mean grey value, in [0, 1].
        sharpness: standard deviation of the Laplacian of the grey thumbnail, in [0, 1].
        shift: of the values from the training data's; see `inference.values.measure_shift`.
        missing: see `Raster.missing`.
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
    missing: Mapping[str, float]
    thumbnails: Thumbnails | None

    @property
    def matrix(self) -> np.ndarray:
        """The confusion matrix of the main candidate."""
        return self.matrices[MAIN]


@dataclass
class _Sample(Item):
    pair: Pair
    mask: np.ndarray | None = None
    result: ImageResult | None = None


class Evaluator(Stages[_Sample]):
    """Evaluates candidates on pairs.

    Attributes:
        left_out: the pairs that cannot be used.
    """

    def __init__(
        self,
        candidates: dict[str, Predictor],
        reader: SampleReader,
        radii: Sequence[int],
        at_network_size: bool,
        listing: str = EVERY,
        files: PredictionFiles | None = None,
    ) -> None:
        """Takes the models by name: `MAIN`, `plain` (the same without test-time augmentation), `other`."""
        super().__init__(*candidates.values())
        self._names, self._reader, self._radii = list(candidates), reader, radii
        self._spec = candidates[MAIN].spec
        self._size = (self._spec.height, self._spec.width) if at_network_size else None
        self._files, self.left_out = files, LeftOut(listing)

    def evaluate(self, pairs: Sequence[Pair]) -> Iterator[ImageResult]:
        """Yields the result of each usable pair, in their order; warns of the others.

        Raises:
            DataError: no pair is usable, or a mask has a value that the classes do not list.
        """
        done = track(self.each(map(_Sample, pairs)), "Evaluating", len(pairs))
        return usable(((one.pair.stem, one.error or one.result) for one in done), self.left_out, len(pairs))

    def decode(self, item: _Sample) -> np.ndarray:
        """Reads a pair; what is ignored has no data."""
        raster, mask = self._reader.read(item.pair)
        image, item.mask = fill_up(raster.values, mask, item.pair.window)
        if self._size:
            image, item.mask = resize_image(image, *self._size), resize_mask(item.mask, *self._size)
        item.missing = raster.missing
        counted = item.mask != IGNORED
        if not counted.any():
            raise ImageError("all of its pixels are ignored or have no data")
        item.valid = None if counted.all() else counted
        return image

    def conclude(self, item: _Sample) -> None:
        """Counts, and writes the predictions where they are wanted."""
        image, mask, count = item.image, item.mask, len(self._spec.class_names)
        assert image is not None and mask is not None
        # Pixels without truth are predicted all the same.
        predictions = dict(zip(self._names, (replace(one, valid=None) for one in item.predictions), strict=True))
        main = predictions[MAIN]
        if self._files:
            self._files.write(item.pair.stem, image, mask, main)
        binary = self._spec.task == "binary"
        small = to_picture(shrink(image, THUMBNAIL_PX), self._reader.bands.names)
        brightness, sharpness = measure_picture(small)
        item.result = ImageResult(
            stem=item.pair.stem,
            size=item.size,
            matrices={name: confusion_matrix(one.mask, mask, count) for name, one in predictions.items()},
            seconds=dict(zip(self._names, item.run_seconds, strict=True)),
            loss=cross_entropy(main.logits, mask, main.temperature),
            boundary=boundary_f1(main.mask, mask, count, self._radii),
            logits=count_logits(main.logits[0], mask) if binary else None,
            sampled=None if binary else sample_logits(main.logits, mask),
            brightness=brightness,
            sharpness=sharpness,
            shift=item.shift,
            missing=item.missing,
            thumbnails=Thumbnails(small, *(resize_mask(one, *small.shape[:2]) for one in (mask, main.mask))),
        )
        item.mask = None


def usable(
    results: Iterable[tuple[str, ImageResult | FloodSegError | None]], left_out: LeftOut, total: int
) -> Iterator[ImageResult]:
    """Yields the results among pairs of a stem and its result or the error of it; warns of the errors.

    Args:
        results: None is neither.
        left_out: takes the errors.
        total: number of results.

    Raises:
        DataError: all are errors.
    """
    with left_out:
        for stem, result in results:
            if isinstance(result, ImageResult):
                yield result
            elif result:
                left_out.add(stem, str(result))
        if len(left_out) == total:
            left_out.listing = EVERY  # no report is written
    if len(left_out) == total:
        raise DataError(f"no usable pair among {total}; see the messages above")


def measure_picture(picture: np.ndarray) -> tuple[float, float]:
    """Returns the brightness and the sharpness of a thumbnail, uint8 [h, w, 3] RGB; see `ImageResult`."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return float(grey.mean()) / 255, float(cv2.Laplacian(grey, cv2.CV_32F).std()) / 255


def sample_logits(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the logits and class indices of evenly spaced pixels that are not ignored."""
    counted = np.flatnonzero(target != IGNORED)
    chosen = counted[np.linspace(0, len(counted) - 1, min(SAMPLED_PIXELS, len(counted))).astype(int)]
    return logits.reshape(len(logits), -1)[:, chosen].T, target.ravel()[chosen]
