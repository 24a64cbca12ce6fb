"""Draws vector labels (GeoJSON, GeoPackage and the like) as class indices onto an image's grid."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORE, IGNORED, Classes
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.raster import Window, open_raster

if TYPE_CHECKING:
    from pathlib import Path


def draw_shapes(labels: Path, image: Path, classes: Classes, field: str | None, window: Window | None) -> np.ndarray:
    """Draws shapes onto the grid of an image, in the order of the file; a pixel is inside where its centre is.

    Args:
        labels: shapes in any coordinate reference system.
        image: a raster with a place on the map.
        classes: what the field's values mean: a class's name, or a value that `classes` lists.
        field: the attribute that names a shape's class; None: all are class 1.
        window: of the image; None: all of it.

    Returns:
        uint8 [H, W] class indices.

    Raises:
        ImageError: a file cannot be read, or the image has no place on the map.
        DataError: there is no such field, or one of its values is no class.
    """
    from rasterio.features import rasterize
    from rasterio.transform import array_bounds
    from rasterio.windows import transform as window_transform

    with open_raster(image) as source:
        if source.crs is None or source.transform.is_identity:
            raise ImageError(f"{image}: has no place on the map, so the shapes of {labels.name} cannot be drawn on it")
        crs, transform, shape = source.crs.to_wkt(), source.transform, (source.height, source.width)
    shapes, indices, bounds = _read(labels, labels.stat().st_mtime_ns, crs, classes, field)
    if window is not None:
        transform, shape = window_transform(window.slices, transform), (window.height, window.width)
    left, low, right, high = array_bounds(*shape, transform)
    near = (bounds[:, 0] <= right) & (bounds[:, 2] >= left) & (bounds[:, 1] <= high) & (bounds[:, 3] >= low)
    pairs = [(shapes[i], int(indices[i])) for i in np.flatnonzero(near)]
    if not pairs:
        return np.zeros(shape, np.uint8)
    return np.asarray(rasterize(pairs, shape, fill=0, transform=transform, dtype="uint8"))


@lru_cache(maxsize=16)
def _read(
    path: Path, _changed: int, crs: str, classes: Classes, field: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns shapes in `crs`, the class of each uint8 [shapes], and their bounding boxes float64 [shapes, 4]."""
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError, GeometryError
    from pyogrio.raw import read

    try:
        meta, _, geometry, values = read(path, columns=[field] if field else [])
        if field and field not in list(meta["fields"]):
            known = ", ".join(read(path, max_features=1)[0]["fields"]) or "none"
            raise DataError(f"{path}: has no field {field!r}; its fields are {known}; see datamodule.label_field")
        shapes = shapely.from_wkb(geometry)
    except (DataLayerError, DataSourceError, FieldError, GeometryError, shapely.GEOSException) as error:
        raise ImageError(f"{path}: cannot be read as shapes ({' '.join(str(error).split())})") from error
    shapes = _projected(shapes, meta["crs"], crs, path)
    return shapes, _indices(values[0] if field else None, len(shapes), classes, path), shapely.bounds(shapes)


def _projected(shapes: np.ndarray, source: str | None, target: str, path: Path) -> np.ndarray:
    import shapely
    from rasterio.crs import CRS
    from rasterio.warp import transform

    if not source:
        raise ImageError(f"{path}: does not say its coordinate reference system; write one into it")
    origin, goal = CRS.from_user_input(source), CRS.from_wkt(target)
    if origin == goal:
        return shapes
    moved = shapely.transform(shapes, lambda xy: np.column_stack(transform(origin, goal, xy[:, 0], xy[:, 1])))
    return np.asarray(moved)


def _indices(values: np.ndarray | None, count: int, classes: Classes, path: Path) -> np.ndarray:
    """Returns the class of each shape: of its value by name or by number."""
    if values is None:
        return np.ones(count, np.uint8)
    named = {name: index for index, name in enumerate(classes.names)} | {IGNORE: IGNORED}
    known = named | {text: named[name] for text, name in classes.to_labels().items()}
    texts = [
        str(int(value)) if isinstance(value, np.number) and value == int(value) else str(value) for value in values
    ]
    unlisted = sorted({text for text in texts if text not in known})
    if unlisted and classes.unlisted == "fail":
        raise DataError(
            f"{path}: the value {unlisted[0]} stands in {texts.count(unlisted[0])} shapes, but the classes are "
            f"{', '.join(known)}; add it to datamodule.labels, name it ignore, or set datamodule.unlisted=ignore"
        )
    return np.array([known.get(text, IGNORED) for text in texts], np.uint8)
