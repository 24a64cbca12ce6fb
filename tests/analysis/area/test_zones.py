"""Sums of pixels over polygons."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from rasterio.transform import Affine

from flood_seg.analysis.area.zones import Zones
from flood_seg.products.ground import to_map
from flood_seg.scenes.grid import Box

HEIGHT, WIDTH = 40, 60


@pytest.mark.parametrize("transform", [Affine(10, 0, 1000, 0, -10, 2000), Affine(9, 4, 1000, 4, -9, 2000)])
def test_pixels_on_a_border_count_by_their_share(transform: Affine) -> None:
    random = np.random.default_rng(0)
    values = random.random((2, HEIGHT, WIDTH))
    centre = np.array(to_map(transform, 30, 20))
    polygons = np.array(
        [
            shapely.Point(*centre).buffer(83),
            shapely.Polygon(shapely.Point(*centre).buffer(170).exterior, [shapely.Point(*centre).buffer(61).exterior]),
            shapely.MultiPolygon(
                [shapely.box(*(centre - 3), *(centre + 3)), shapely.box(*(centre + 90), *(centre + 123))]
            ),
            shapely.box(-1e5, -1e5, 1e5, 1e5),  # all of it
            shapely.box(1e6, 1e6, 1e6 + 1, 1e6 + 1),  # elsewhere
        ]
    )
    rows, cols = (places[..., None] for places in np.indices((HEIGHT, WIDTH)).reshape(2, -1))
    corners = to_map(transform, cols + np.array([0, 1, 1, 0]), rows + np.array([0, 0, 1, 1]))
    cells = shapely.polygons(np.stack(corners, axis=-1))
    shares = shapely.area(shapely.intersection(cells[:, None], polygons)) / shapely.area(cells)[:, None]
    expected = np.einsum("vp,pz->zv", values.reshape(2, -1), shares)

    zones, found = Zones(polygons, transform), np.zeros((5, 2))
    for row in range(0, HEIGHT, 16):  # in parts
        for col in range(0, WIDTH, 25):
            box = Box(row, col, min(16, HEIGHT - row), min(25, WIDTH - col))
            part = values[(slice(None), *box.within(Box(0, 0, HEIGHT, WIDTH)))]
            zones.add(box, part, part.sum(axis=(1, 2)), found)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_values_that_are_zero_everywhere_stay_so() -> None:
    values, found = np.zeros((3, 8, 8)), np.zeros((1, 3))
    values[1] = 2
    zones = Zones(np.array([shapely.box(1.5, 1, 4, 3)]), Affine.identity())
    zones.add(Box(0, 0, 8, 8), values, values.sum(axis=(1, 2)), found)
    assert found.tolist() == [[0, 10, 0]]
