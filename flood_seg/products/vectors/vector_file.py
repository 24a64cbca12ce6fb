"""Writes polygons with attributes as a file of any of the formats of `map.vectors`."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from flood_seg.errors import OutputError
from flood_seg.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np

IN_WGS84 = ("geojson", "kml")  # GDAL transforms to it, and cuts polygons of GeoJSON at the antimeridian
_FORMATS: dict[str, dict[str, Any]] = {
    "gpkg": {"driver": "GPKG", "dataset_options": {"VERSION": "1.2"}},  # that GDAL 2.2 and later read
    "fgb": {"driver": "FlatGeobuf"},
    "geojson": {"driver": "GeoJSON", "layer_options": {"RFC7946": "YES"}},
    "kml": {"driver": "KML", "dataset_options": {"NameField": "class"}},
}


def write_vectors(
    path: Path, polygons: np.ndarray, fields: Mapping[str, np.ndarray], crs: str | None,
    kind: Literal["Polygon", "MultiPolygon"] = "Polygon",
) -> None:  # fmt: skip
    """Writes polygons; the same ones make the same bytes.

    Args:
        path: of the file; its suffix decides on the format, its stem is the name of the layer.
        polygons: shapely geometries.
        fields: by name, of each polygon; values that are not numbers are null.
        crs: of the polygons; None: it is not known.
        kind: of geometry, in the file; polygons become multipolygons where that is the kind.

    Raises:
        OutputError: the file cannot be written.
    """
    _write(path, {path.stem: Shapes(kind, polygons, fields)}, crs)


@dataclass(frozen=True)
class Shapes:
    """Shapes of one kind, with attributes.

    Attributes:
        kind: of geometry, as OGC Simple Features names it: `Point`, `LineString`, `MultiPolygon`, ...; single ones may
            be among those of a multi-part kind.
        geometries: of shapely, object [shapes].
        fields: by name, of each shape; values that are not numbers are null.
    """

    kind: str
    geometries: np.ndarray
    fields: Mapping[str, np.ndarray]


def write_layers(path: Path, layers: Mapping[str, Shapes], crs: str | None) -> None:
    """Writes a GeoPackage with several layers; the same ones make the same bytes.

    Args:
        path: of the file.
        layers: by name.
        crs: of all shapes; None: it is not known.

    Raises:
        OutputError: the file cannot be written.
    """
    _write(path, layers, crs)


def _write(path: Path, layers: Mapping[str, Shapes], crs: str | None) -> None:
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
    from pyogrio.raw import write

    errors = (DataLayerError, DataSourceError, FeatureError, GeometryError)
    with atomic_path(path) as temporary, _without_date(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        try:
            for number, (name, one) in enumerate(layers.items()):
                options = {**_FORMATS[path.suffix[1:]], **({"append": True} if number else {})}
                write(
                    temporary, shapely.to_wkb(one.geometries), list(one.fields.values()), list(one.fields), layer=name,
                    geometry_type=one.kind, promote_to_multi=one.kind.startswith("Multi"), crs=crs, **options,
                )  # fmt: skip
        except errors as error:
            reason = " ".join(str(error).split()).replace(str(temporary), str(path))
            raise OutputError(f"{path}: cannot be written ({reason}); choose another place") from error


@contextmanager
def _without_date() -> Iterator[None]:
    """Lets a GeoPackage be of a fixed date instead of the time at which it was written."""
    from pyogrio import get_gdal_config_option, set_gdal_config_options

    earlier = get_gdal_config_option("OGR_CURRENT_DATE")
    set_gdal_config_options({"OGR_CURRENT_DATE": "1970-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        set_gdal_config_options({"OGR_CURRENT_DATE": earlier})
