"""From an uploaded image to the parts of an answer: the stages of inference, and the encoding of their results."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.encoded import check_size, has_more_pages, max_megapixels
from flood_seg.imaging.gdal import has_rasterio, open_raster
from flood_seg.imaging.source import is_raster
from flood_seg.imaging.write import encode_image
from flood_seg.inference.given import GivenImage, GivenStages
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.rendering import Renderer
from flood_seg.inference.report import find_warnings
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from flood_seg.config.schema.service import ServeConfig
    from flood_seg.imaging.source import ImageSource
    from flood_seg.inference.predictor import Prediction
    from flood_seg.service.models import ServedModel
    from flood_seg.service.monitoring.metrics import Metrics
    from flood_seg.spec import ModelSpec

Form = Literal["application/json", "image/png", "application/geo+json"]
JSON: Form = "application/json"
PNG: Form = "image/png"
GEOJSON: Form = "application/geo+json"
CHANNELS = 4  # of a photo, at most
MOST_PAGES, MOST_BANDS = 64, 1024  # of a TIFF


@dataclass(frozen=True)
class Wish:
    """What a caller wants of an image.

    Attributes:
        form: media type of the answer.
        threshold: replaces the model's; None: the model's own.
        probability: whether the probability is wanted.
        overlay: whether the overlay is wanted.
    """

    form: Form = JSON
    threshold: float | None = None
    probability: bool = False
    overlay: bool = False

    def check(self, spec: ModelSpec) -> None:
        """Raises Problem 422 where the model, or the media type, cannot fulfil it."""
        faults = []
        if spec.task == "multiclass":
            if self.threshold is not None:
                faults.append("threshold: is for models of one class; this one chooses the most probable of several")
            if self.probability:
                faults.append("probability: a PNG stores that of one class, and this model has several")
        if self.form == GEOJSON and (self.probability or self.overlay):
            faults.append(f"probability, overlay: {GEOJSON} has no pictures; ask for {JSON} or {PNG}")
        if self.form == PNG and self.probability and self.overlay:
            faults.append(f"probability, overlay: {PNG} is one picture; choose one of them, or {JSON}")
        if faults:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(faults))


@dataclass
class ServedImage(GivenImage):
    """An image on its way to an answer.

    Attributes:
        wait_seconds: until the model was free.
        encode_seconds: duration of making the parts of the answer.
        shares: of the pixels, of each class but the background, in [0, 1].
        nodata_share: share of the pixels without data, in [0, 1].
        warnings: what is odd about the image.
        pictures: PNG files, by the key of the answer: mask, probability, overlay.
        polygons: GeoJSON; None: they are not wanted.
    """

    wait_seconds: float = 0.0
    encode_seconds: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)
    nodata_share: float = 0.0
    warnings: list[str] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    polygons: dict[str, Any] | None = None


class PredictStages(GivenStages[ServedImage]):
    """Makes the answers for uploads of one request."""

    def __init__(self, model: ServedModel, wish: Wish, config: ServeConfig, turn: AbstractContextManager[Any]) -> None:
        """Takes what the images of a request have in common.

        Args:
            model: that is used.
            wish: what is wanted.
            config: of the service.
            turn: is held while the model runs.

        Raises:
            Problem: 422, the model cannot fulfil the wish.
        """
        predictor = model.predictor
        if wish.threshold is not None:
            predictor = Predictor(predictor.backend, wish.threshold, predictor.spec.value_scale)
        super().__init__(predictor)
        wish.check(self.spec)
        self.keeps_image = wish.overlay
        self._wish, self._turn, self._max_shift = wish, turn, config.max_input_shift
        self._renderer = Renderer(self.spec, config.output)

    @property
    def threshold(self) -> float | None:
        """A pixel is foreground where its probability is above this; None: the model has several classes."""
        return self.predictors[0].threshold if self.spec.task == "binary" else None

    def decode(self, item: ServedImage) -> np.ndarray:
        """Reads the upload, unless it is of too many values."""
        _check_values(item.given, len(self.spec.bands))
        return super().decode(item)

    def run(self, items: list[ServedImage]) -> list[ServedImage]:
        """Runs the model when it is free."""
        started = time.perf_counter()
        with self._turn:
            for item in items:
                item.wait_seconds += time.perf_counter() - started
            return super().run(items)

    def conclude(self, item: ServedImage) -> None:
        """Makes what is answered."""
        (prediction,) = item.predictions
        item.shares, item.nodata_share = prediction.shares(self.spec.class_names), prediction.nodata_share
        network = self.spec.height, self.spec.width
        item.warnings = [*find_warnings(item, item.given, network, self._max_shift).values()]
        started = time.perf_counter()
        if self._wish.form == GEOJSON:
            from flood_seg.service.polygons import polygons_of

            item.polygons = polygons_of(prediction, item.source, item.name, self.spec)
        for name, picture in self._pictures(item, prediction):
            item.pictures[name] = encode_image(".png", picture)
        item.encode_seconds = time.perf_counter() - started

    def _pictures(self, item: ServedImage, prediction: Prediction) -> Iterator[tuple[str, np.ndarray]]:
        chosen = self._wish.probability or self._wish.overlay
        if self._wish.form == JSON or (self._wish.form == PNG and not chosen):
            yield "mask", self._renderer.labels(prediction)
        if self._wish.probability:
            yield "probability", self._renderer.probability(prediction)
        if self._wish.overlay and item.image is not None:
            yield "overlay", self._renderer.overlay(item.image, prediction.mask)

    def answer(self, item: ServedImage) -> ServedImage:
        """Returns the image after all stages.

        Raises:
            FloodSegError: it cannot be segmented.
            Problem: 422, its polygons are wanted and it is not georeferenced.
        """
        self.one(item)
        if item.error:
            raise item.error
        return item


def observe(item: ServedImage, model: ServedModel, metrics: Metrics, max_shift: float) -> None:
    """Counts an image that was segmented."""
    metrics.images.labels(model.name).inc()
    metrics.pixels.labels(model.name).inc(item.size[0] * item.size[1])
    metrics.model_seconds.labels(model.name).observe(sum(item.run_seconds))
    if item.shift > max_shift:
        metrics.shifted.labels(model.name).inc()
    for name, share in item.shares.items():
        metrics.class_share.labels(model.name, name).observe(share)


def _check_values(source: ImageSource, bands: int) -> None:
    """Raises ImageError where a raster is larger in memory than the largest image that may be, with the model's bands.

    A sparse TIFF of some kilobytes may have thousands of bands; and GDAL takes 23 s to open each of 1000 pages.
    """
    if not (has_rasterio() and is_raster(source)):
        return
    if has_more_pages(source.read(), MOST_PAGES):
        raise ImageError(f"{source}: has more than {MOST_PAGES} pages; send the model's bands alone")
    with open_raster(source) as dataset:
        check_size(source, dataset.width, dataset.height, "send it to /jobs")
        count = max(dataset.count, len(dataset.subdatasets))
        size = dataset.width * dataset.height * count * np.dtype(dataset.dtypes[0]).itemsize
    limit = max_megapixels() * 1e6 * max(bands, CHANNELS) * np.dtype(np.float32).itemsize
    if size > limit or count > MOST_BANDS:
        raise ImageError(
            f"{source}: its {count} bands take {size / 1e6:.0f} MB; at most {limit / 1e6:.0f} MB and {MOST_BANDS} "
            "bands are read; send the model's bands alone"
        )
