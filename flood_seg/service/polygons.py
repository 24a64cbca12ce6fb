"""The polygons of a predicted image in WGS 84, as `flood-seg map` makes them of scenes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import MapOptions
from flood_seg.imaging.gdal import is_on_earth, read_georeference
from flood_seg.scenes.cells import Cell
from flood_seg.scenes.grid import Box
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from flood_seg.imaging.source import ImageSource
    from flood_seg.inference.predictor import Prediction
    from flood_seg.spec import ModelSpec

_HOW = "send a GeoTIFF with a transform and a coordinate reference system, or ask for application/json"


@dataclass(frozen=True)
class _WholeImage(Cell):
    """An image as one cell, with the classes of its mask: those of its probabilities differ by rounding."""

    mask: np.ndarray

    def classes(self, _threshold: float) -> np.ndarray:
        return self.mask


def polygons_of(prediction: Prediction, source: ImageSource | None, name: str, spec: ModelSpec) -> dict[str, Any]:
    """Returns a GeoJSON FeatureCollection with the polygons of each class but the background; see docs/maps.md.

    Args:
        prediction: for the image.
        source: its bytes, if it is a raster.
        name: of the image in messages.
        spec: of the model.

    Raises:
        Problem: 422, the image is not georeferenced.
        OutOfMemoryError: there are too many polygons.
    """
    from flood_seg.products.layers import LayerWriter
    from flood_seg.products.vectors.areas import write_areas

    height, width = size = prediction.mask.shape
    place = read_georeference(source, height, width) if source else {}
    if "transform" not in place or not is_on_earth(place.get("crs")):
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name}: is not georeferenced; {_HOW}")
    options = defaults(MapOptions, vectors=["geojson"])
    valid = np.ones(size, bool) if prediction.valid is None else prediction.valid
    probabilities = np.moveaxis(prediction.probabilities, 2, 0)
    cell = _WholeImage(Box(0, 0, height, width), np.where(valid, probabilities, 0), valid, prediction.mask)
    with TemporaryDirectory(prefix="flood-seg-") as folder:
        work = Path(folder)
        with LayerWriter(work, spec, prediction.threshold, size, place, options.probability) as layers:
            layers.write([cell])
            layers.finish()
            write_areas(work, spec, options)
        found: dict[str, Any] = json.loads((work / "areas.geojson").read_text("utf-8"))
    return found
