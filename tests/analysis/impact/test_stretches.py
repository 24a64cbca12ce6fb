"""Stretches of lines and areas of polygons on rasters, against the intersections of shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from flood_seg.analysis.impact.coverage import PolygonScan
from flood_seg.analysis.impact.stretches import LineScan
from flood_seg.analysis.result import DRY, FLOODED, PERMANENT, UNOBSERVED
from tests.analysis.impact.conftest import tiles

SIZE = 50, 70


def raster() -> np.ndarray:
    """A third of random pixels, and large parts of one value, which are looked up as wholes."""
    random = np.random.default_rng(0)
    values = random.choice([DRY, DRY, FLOODED, PERMANENT, UNOBSERVED], SIZE).astype(np.uint8)
    values[:20, :25], values[22:, 30:], values[40:, :20] = DRY, FLOODED, UNOBSERVED
    return values


def union(values: np.ndarray, value: int) -> shapely.Geometry:
    row, col = np.nonzero(values == value)
    return shapely.union_all(shapely.box(col, row, col + 1, row + 1))


@pytest.mark.parametrize("rows", [7, 512])
def test_stretches_of_lines_are_their_intersections_with_pixels(rows: int) -> None:
    random, values = np.random.default_rng(1), raster()
    points = random.uniform(-10, 80, (300, 2))
    points[5], points[::9] = np.nan, np.round(points[::9])
    valid = random.random(299) < 0.9
    scan = LineScan(points, valid, SIZE)
    for strip in tiles(values, rows):
        scan.add(strip)
    found = scan.stretches()
    for value in (FLOODED, UNOBSERVED):
        some = found[found.value == value]
        shares = np.bincount(some.segment, some.share, 299)
        known = valid & np.isfinite(points[:-1]).all(1) & np.isfinite(points[1:]).all(1)
        lines = shapely.linestrings(np.stack([points[:-1], points[1:]], 1)[known])
        expected = shapely.length(shapely.intersection(lines, union(values, value))) / shapely.length(lines)
        assert shares[known] == pytest.approx(expected, abs=1e-9)
        assert not shares[~known].any()
    inside = shapely.length(shapely.intersection(lines, shapely.box(0, 0, *SIZE[::-1]))) / shapely.length(lines)
    assert scan.inside(np.flatnonzero(known)) == pytest.approx(inside, abs=1e-9)
    assert (np.diff(found.segment) >= 0).all()


@pytest.mark.parametrize("rows", [3, 8, 512])
def test_lines_on_the_edges_of_pixels_count_once(rows: int) -> None:
    values = np.full((16, 20), FLOODED, np.uint8)
    points = np.array([[2, 8], [12, 8], [12, 2], [12, 14], [0, 0], [20, 0], [20, 16], [0, 16]], float)
    scan = LineScan(points, np.ones(7, bool), (16, 20))
    for strip in tiles(values, rows):
        scan.add(strip)
    shares = np.bincount(scan.stretches().segment, scan.stretches().share, 7)
    # The right and the lower edge of the raster belong to no pixel.
    assert shares == pytest.approx([1, 1, 1, 1, 1, 0, 0])


@pytest.mark.parametrize("rows", [7, 512])
def test_areas_of_polygons_are_their_intersections_with_pixels(rows: int) -> None:
    random, values = np.random.default_rng(2), raster()
    discs = shapely.buffer(shapely.points(random.uniform(-5, 72, (150, 2))), random.uniform(0.2, 15, 150), quad_segs=2)
    polygons = shapely.difference(discs, shapely.buffer(shapely.centroid(discs), 0.1))  # with holes
    scan = PolygonScan(polygons, SIZE)
    for strip in tiles(values, rows):
        scan.add(strip)
    flooded = shapely.area(shapely.intersection(polygons, union(values, FLOODED))) / shapely.area(polygons)
    observed = shapely.union_all([union(values, value) for value in (DRY, FLOODED, PERMANENT)])
    seen = shapely.area(shapely.intersection(polygons, observed)) / shapely.area(polygons)
    assert scan.flooded == pytest.approx(flooded, abs=1e-9)
    assert scan.unobserved == pytest.approx(1 - seen, abs=1e-9)
