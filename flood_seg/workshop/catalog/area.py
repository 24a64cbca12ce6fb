"""The area of interest: a bounding box in WGS 84, typed or that of a vector file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from flood_seg.errors import DataError, UsageError

WGS84 = "EPSG:4326"


class Area(NamedTuple):
    """A bounding box in degrees."""

    west: float
    south: float
    east: float
    north: float

    @property
    def size(self) -> tuple[float, float]:
        """Height and width in metres, on the ellipsoid."""
        from pyproj import Geod

        geod, middle = Geod(ellps="WGS84"), (self.south + self.north) / 2
        height = geod.line_length([self.west, self.west], [self.south, self.north])
        return height, geod.line_length([self.west, self.east], [middle, middle])


def parse_area(text: str) -> Area:
    """Parses `W,S,E,N`.

    Raises:
        UsageError: that is no box of longitudes and latitudes.
    """
    try:
        area = Area(*(float(part) for part in text.split(",")))
    except (TypeError, ValueError):
        raise UsageError(
            f"--bbox {text}: give west,south,east,north in degrees, for example 7.0,50.3,7.2,50.5"
        ) from None
    _check(area, f"--bbox {text}")
    return area


def read_area(path: Path) -> Area:
    """Returns the bounding box of all shapes of a vector file.

    Raises:
        DataError: the file is missing, damaged, empty, or does not say its coordinate reference system.
    """
    from pyogrio import list_layers, read_info
    from pyogrio.errors import DataLayerError, DataSourceError
    from rasterio.errors import CRSError
    from rasterio.warp import transform_bounds

    if not path.exists():
        raise DataError(f"--aoi {path}: does not exist")
    boxes = []
    try:
        for layer, kind in list_layers(path):
            if kind is None:  # QGIS keeps styles in such layers
                continue
            info = read_info(path, layer=layer, force_feature_count=True, force_total_bounds=True)
            if not info["features"]:
                continue
            if not info["crs"]:
                raise DataError(f"--aoi {path}: does not say its coordinate reference system; write one into it")
            boxes.append(transform_bounds(info["crs"], WGS84, *info["total_bounds"], densify_pts=21))
    except (DataLayerError, DataSourceError, CRSError) as error:
        raise DataError(f"--aoi {path}: cannot be read as shapes ({' '.join(str(error).split())})") from error
    if not boxes:
        raise DataError(f"--aoi {path}: holds no shapes; draw the area of interest")
    west, south, east, north = zip(*boxes, strict=True)
    area = Area(min(west), min(south), max(east), max(north))
    _check(area, f"--aoi {path}")
    return area


def _check(area: Area, what: str) -> None:
    west, south, east, north = area
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):  # nan fits no bounds
        raise UsageError(
            f"{what}: {west:g},{south:g},{east:g},{north:g} is not west,south,east,north in degrees; divide an area "
            "that crosses the 180th meridian"
        )


def check_pixels(area: Area, resolution: float, max_megapixels: float) -> None:
    """Refuses an area of too many pixels before anything is downloaded.

    Raises:
        DataError: it has more than `max_megapixels` at a resolution in metres.
    """
    height, width = (side / resolution for side in area.size)
    if (megapixels := height * width / 1e6) > max_megapixels:
        raise DataError(
            f"the area is {width:,.0f}×{height:,.0f} pixels of {resolution:g} m, {megapixels:,.0f} megapixels; give a "
            f"smaller one, a larger scene.resolution, or raise scene.max_megapixels={max_megapixels:g}"
        )
