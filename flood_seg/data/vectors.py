"""Rasterizes vector labels (GeoJSON, GeoPackage, shapefile, FlatGeobuf) to class indices on an image's grid."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORE, IGNORED, Classes
from flood_seg.console import warn
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.raster import Window
from flood_seg.untrusted import check_vector

if TYPE_CHECKING:
    from pathlib import Path

    from rasterio.transform import Affine


def draw_shapes(labels: Path, image: Path, classes: Classes, field: str | None, window: Window | None) -> np.ndarray:
    """Rasterizes shapes onto the grid of an image, in the order of the file; a pixel is inside if its centre is.

    Args:
        labels: shapes in any coordinate reference system.
        image: a georeferenced raster.
        classes: what the field's values mean: a class's name, or a value that `classes` lists.
        field: the attribute that names a shape's class; None: all are class 1.
        window: of the image; None: all of it.

    Returns:
        uint8 [H, W] class indices.

    Raises:
        ImageError: a file cannot be read or holds several layers, the image is not georeferenced, or none of the shapes
            lies on it.
        DataError: there is no such field, or one of its values is no class.
    """
    from rasterio.features import rasterize
    from rasterio.windows import transform as window_transform

    with open_raster(image) as source:
        if source.crs is None or source.transform.is_identity:
            raise ImageError(f"{image}: is not georeferenced, so the shapes of {labels.name} cannot be drawn on it")
        crs, transform, shape = source.crs.to_wkt(), source.transform, (source.height, source.width)
    shapes, indices, bounds = _read(labels, labels.stat().st_mtime_ns, crs, classes, field)
    near = _near(bounds, shape, transform)
    if len(shapes) and not near.any():
        raise ImageError(
            f"{labels}: none of its {len(shapes)} shapes lies on {image.name}; check the coordinate reference systems "
            "of both, or give a file without shapes where there is nothing to label"
        )
    if window is not None:
        transform, shape = window_transform(window.slices, transform), (window.height, window.width)
        near = _near(bounds, shape, transform)
    pairs = [(shapes[i], int(indices[i])) for i in np.flatnonzero(near)]
    if not pairs:
        return np.zeros(shape, np.uint8)
    return np.asarray(rasterize(pairs, shape, fill=0, transform=transform, dtype="uint8"))


def _near(bounds: np.ndarray, shape: tuple[int, int], transform: Affine) -> np.ndarray:
    """Returns whether each bounding box, float64 [shapes, 4], touches that of a grid, whichever way its rows run."""
    from rasterio.transform import array_bounds

    xs, ys = array_bounds(*shape, transform)[::2], array_bounds(*shape, transform)[1::2]
    across = (bounds[:, 0] <= max(xs)) & (bounds[:, 2] >= min(xs))
    return np.asarray(across & (bounds[:, 1] <= max(ys)) & (bounds[:, 3] >= min(ys)))


@lru_cache(maxsize=16)
def _read(
    path: Path, _changed: int, crs: str, classes: Classes, field: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns shapes in `crs`, the class of each uint8 [shapes], and their bounding boxes float64 [shapes, 4]."""
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError, GeometryError
    from pyogrio.raw import read

    check_vector(path)
    try:
        layer = _layer(path)
        meta, _, geometry, values = read(path, layer=layer, columns=[field] if field else [])
        if field and field not in list(meta["fields"]):
            known = ", ".join(read(path, layer=layer, max_features=1)[0]["fields"]) or "none"
            raise DataError(f"{path}: has no field {field!r}; its fields are {known}; see datamodule.label_field")
        shapes = shapely.from_wkb(geometry)
    except (DataLayerError, DataSourceError, FieldError, GeometryError, shapely.GEOSException) as error:
        raise ImageError(f"{path}: cannot be read as shapes ({' '.join(str(error).split())})") from error
    shapes = _projected(shapes, meta["crs"], crs, path)
    _warn_of_kinds(path, _changed, tuple(np.bincount(_kinds(shapes), minlength=3).tolist()))
    return shapes, _indices(values[0] if field else None, len(shapes), classes, path), shapely.bounds(shapes)


def _layer(path: Path) -> str | None:
    """Returns the only layer with shapes; QGIS keeps styles in layers without any. None: the file has no layer."""
    import pyogrio

    layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(layers) > 1:
        raise ImageError(
            f"{path}: has {len(layers)} layers of shapes, {', '.join(layers)}; keep one, so that none is lost"
        )
    return layers[0] if layers else None


def _kinds(shapes: np.ndarray) -> np.ndarray:
    """Returns the kind of each shape; 0: area, 1: points or lines, 2: no geometry."""
    import shapely

    return np.where(shapely.is_missing(shapes) | shapely.is_empty(shapes), 2, shapely.get_dimensions(shapes) < 2)


@lru_cache(maxsize=4096)
def _warn_of_kinds(path: Path, _changed: int, counts: tuple[int, int, int]) -> None:
    """Warns once per file of geometries that are not areas."""
    total = sum(counts)
    if counts[1]:
        warn(f"{path}: {counts[1]} of {total} shapes are points or lines, which are drawn a pixel wide")
    if counts[2]:
        warn(f"{path}: {counts[2]} of {total} shapes have no geometry and are not drawn")


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
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise ImageError(f"{path}: has shapes that {goal.to_string()}, the image's reference system, cannot hold")
    return np.asarray(moved)


def _indices(values: np.ndarray | None, count: int, classes: Classes, path: Path) -> np.ndarray:
    """Returns the class of each shape: of its value by name or by number."""
    if values is None:
        return np.ones(count, np.uint8)
    named = {name: index for index, name in enumerate(classes.names)} | {IGNORE: IGNORED}
    known = named | {text: named[name] for text, name in classes.to_labels().items()}
    texts = [_text(value) for value in values]
    unlisted = sorted({text for text in texts if text not in known})
    if unlisted and classes.unlisted == "fail":
        raise DataError(
            f"{path}: the value {unlisted[0]} occurs in {texts.count(unlisted[0])} shapes, but the classes are "
            f"{', '.join(known)}; add it to datamodule.labels, name it ignore, or set datamodule.unlisted=ignore"
        )
    return np.array([known.get(text, IGNORED) for text in texts], np.uint8)


def _text(value: object) -> str:
    """Returns a field's value as in `labels`: whole numbers of float columns (with missing values) without a point."""
    whole = isinstance(value, np.number) and np.isfinite(value) and value == np.trunc(value)
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]
