"""Where pixels lie on the Earth."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from pyproj import Geod
from rasterio.transform import Affine, from_origin

from flood_seg.products.ground import Ground
from flood_seg.scenes.grid import Box

GEOD = Geod(ellps="WGS84")


def ground(crs: str, transform: Affine) -> Ground:
    found = Ground.of({"crs": rasterio.CRS.from_user_input(crs), "transform": transform})
    assert found is not None
    return found


def area(west: float, south: float, east: float, north: float) -> float:
    """Between two meridians and two parallels, in m²; by many vertices along the parallels."""
    across = np.linspace(west, east, 200)
    longitudes = np.concatenate([across, across[::-1]])
    latitudes = np.concatenate([np.full(200, south), np.full(200, north)])
    return abs(GEOD.polygon_area_perimeter(longitudes, latitudes)[0])


@pytest.mark.parametrize("size", [0.0001, 0.01])  # 10 m, and a kilometre: a third of a continent
def test_pixels_in_degrees_shrink_towards_the_pole(size: float) -> None:
    place, box = ground("EPSG:4326", from_origin(5, 60, size, size)), Box(100, 50, 700, 300)
    found = place.pixel_areas(box)
    assert found.shape == (700, 300)
    for row in (0, 349, 699):
        north = 60 - size * (100 + row)
        assert found[row] == pytest.approx(area(5, north - size, 5 + size, north), rel=3e-4)
    whole = area(5 + 50 * size, 60 - 800 * size, 5 + 350 * size, 60 - 100 * size)
    assert found.sum() == pytest.approx(whole, rel=1e-4)


def test_pixels_far_from_the_middle_of_their_zone_are_smaller_than_they_seem() -> None:
    place = ground("EPSG:32632", from_origin(100_000, 5_000_000, 10, 10))
    found = place.pixel_areas(Box(0, 0, 20, 40_000))
    assert found[:, 0].mean() == pytest.approx(100 / 1.0016**2, rel=1e-3)  # 400 km west of it
    assert found[:, -1].mean() == pytest.approx(100 / 0.9996**2, rel=1e-4)  # in the middle
    for col in (0, 20_000, 39_990):
        assert found[:, col : col + 10].mean() == pytest.approx(place.pixel_area(Box(0, col, 20, 10)), rel=1e-6)


@pytest.mark.parametrize("box", [Box(3, 4, 1, 1), Box(3, 4, 1, 700), Box(0, 0, 257, 2)])
def test_rectangles_of_any_shape(box: Box) -> None:
    place = ground("EPSG:32632", Affine(8.66, 5, 500_000, 5, -8.66, 5_000_000))
    found = place.pixel_areas(box)
    assert found.shape == (box.height, box.width)
    assert found.mean() == pytest.approx(place.pixel_area(box), rel=1e-6)
