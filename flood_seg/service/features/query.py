"""Reads features page by page, as GeoJSON: never a whole layer."""

from __future__ import annotations

import io
import json
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.service.features.collections import Collection, unreadable
from flood_seg.service.features.region import Box, region

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 10_000  # features of a page, as many as a larger limit gives


@dataclass(frozen=True)
class Page:
    """Some of the features that were asked for.

    Attributes:
        features: as GeoJSON objects.
        matched: number of all that were asked for.
    """

    features: list[dict[str, Any]]
    matched: int


def read_page(collection: Collection, bbox: Box | None, limit: int, offset: int) -> Page:
    """Reads features in the order of their identifiers.

    Args:
        collection: that they are of.
        bbox: that they touch: in WGS 84, or in (column, -row) where the collection has no CRS; None: all.
        limit: most features, from 1.
        offset: number of features before the first one.

    Raises:
        Problem: 404, the file is damaged or was removed.
    """
    limit = min(limit, MOST)
    if bbox is None:
        there = max(0, min(limit, collection.count - offset))
        return Page(_read(collection, skip_features=offset, max_features=there) if there else [], collection.count)
    matched = _touching(collection, bbox)
    chosen = matched[offset : offset + limit]
    return Page(_read(collection, fids=chosen) if len(chosen) else [], len(matched))


def read_feature(collection: Collection, number: int) -> dict[str, Any] | None:
    """Reads a feature by its identifier; None where there is none; raises as `read_page`."""
    from pyogrio.errors import FeatureError

    try:
        found = _read(collection, fids=np.array([number]))
    except FeatureError:
        return None
    return found[0] if found else None


def _touching(collection: Collection, bbox: Box) -> np.ndarray:
    """Returns the identifiers of the features that touch a rectangle, in ascending order."""
    import shapely
    from pyogrio.raw import read

    if collection.bounds is None:
        return np.empty(0, np.int64)
    area = shapely.box(*bbox) if collection.crs is None else region(bbox, collection.bounds, collection.crs)
    if area is None:
        return np.empty(0, np.int64)
    with _readable(collection):
        _, found, _, _ = read(
            collection.path, collection.layer, mask=area, columns=[], read_geometry=False, return_fids=True
        )
    return np.sort(found)


def _read(collection: Collection, **which: Any) -> list[dict[str, Any]]:
    """Reads features as GeoJSON objects with `id`."""
    from pyogrio.raw import read

    with _readable(collection):
        meta, numbers, shapes, values = read(
            collection.path, collection.layer, force_2d=True, return_fids=True, **which
        )
    if not len(numbers):
        return []
    features = _as_geojson(
        shapes, dict(zip(meta["fields"], values, strict=True)), meta["geometry_type"], collection.crs
    )
    return [feature | {"id": int(number)} for feature, number in zip(features, numbers, strict=True)]


def _as_geojson(
    shapes: np.ndarray, fields: dict[str, np.ndarray], kind: str | None, crs: str | None
) -> list[dict[str, Any]]:
    """Returns GeoJSON objects, by RFC 7946 in WGS 84 and cut at the antimeridian unless there is no CRS.

    By GDAL, which reprojects, cuts and rounds as for the GeoJSON files of `flood-seg map`.
    """
    from pyogrio.raw import write

    file = io.BytesIO()
    options = {"layer_options": {"RFC7946": "YES"}} if crs else {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        write(
            file, shapes, list(fields.values()), list(fields), driver="GeoJSON", geometry_type=kind or "Unknown",
            crs=crs, **options,
        )  # fmt: skip
    found: list[dict[str, Any]] = json.loads(file.getvalue())["features"]
    return found


@contextmanager
def _readable(collection: Collection) -> Iterator[None]:
    """Turns what GDAL says of a file into a Problem."""
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError

    try:
        yield
    except FeatureError:  # there is none of that identifier
        raise
    except (DataLayerError, DataSourceError, GeometryError) as error:
        raise unreadable(collection.name) from error
