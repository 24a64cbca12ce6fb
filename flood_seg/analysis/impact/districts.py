"""Which district lines, points and areas lie in; a place on the border of two is counted in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.console import counted

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.scenes.grid import Box

BLOCK = 100_000  # lines that are made into shapes at once
# Pixels by which points are moved before they are looked up, so that none lies on a border that follows pixels or
# roads: what runs along the border of two districts is then counted in one of them.
ASIDE = np.array([1e-7, 0.618e-7])
OVERLAP = 1e-3  # share of a district from which an overlap is more than rounding


@dataclass(frozen=True)
class Pairs:
    """What lies in which district: one thing may lie in several that overlap, or in none."""

    thing: np.ndarray
    district: np.ndarray

    def sums(self, values: np.ndarray, districts: int) -> np.ndarray:
        """Returns the sum of a value of each thing over each district, float64 [districts]."""
        return np.bincount(self.district, np.asarray(values, float)[self.thing], districts)


class Districts:
    """Districts with names.

    Attributes:
        names: one for each.
        polygons: object [districts], in columns and rows of the scene.
        on_scene: the share of each that lies on the scene, float64 [districts].
    """

    def __init__(self, names: list[str], polygons: np.ndarray, size: tuple[int, int]) -> None:
        """Takes districts, and height and width of the scene."""
        import shapely

        self.names, self.polygons = names, polygons
        shapely.prepare(polygons)
        scene = shapely.box(0, 0, size[1], size[0])
        self.on_scene = shapely.area(shapely.intersection(polygons, scene)) / shapely.area(polygons)

    def __len__(self) -> int:
        """Of districts."""
        return len(self.names)

    def warnings(self, path: Path) -> list[str]:
        """Returns what makes their sums other than the total."""
        import shapely

        found = []
        pairs = shapely.STRtree(self.polygons).query(self.polygons, predicate="intersects")
        first, second = pairs[:, pairs[0] < pairs[1]]
        shared = shapely.area(shapely.intersection(self.polygons[first], self.polygons[second]))
        areas = shapely.area(self.polygons)
        over = shared > OVERLAP * np.minimum(areas[first], areas[second])
        if over.any():
            example = f"{self.names[first[over][0]]} and {self.names[second[over][0]]}"
            found.append(
                f"{path}: {counted(int(over.sum()), 'pair')} of districts overlap, such as {example}: what lies in "
                "both is counted in both, so that the districts add up to more than the total"
            )
        if partly := int(np.count_nonzero(self.on_scene < 1 - 1e-6)):
            found.append(f"{path}: {partly} of {counted(len(self), 'district')} lie partly outside of the scene; their "
                         "figures are those of the part on it")  # fmt: skip
        return found

    def of_points(self, points: np.ndarray) -> Pairs:
        """Returns the districts of points, float64 [points, 2] in columns and rows."""
        import shapely

        things, districts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for begin in range(0, len(points), BLOCK):
            tree = shapely.STRtree(shapely.points(points[begin : begin + BLOCK] + ASIDE))
            district, thing = tree.query(self.polygons, predicate="intersects")
            things.append(thing + begin)
            districts.append(district)
        return Pairs(np.concatenate(things), np.concatenate(districts))

    def parts(self, areas: np.ndarray, box: Box) -> tuple[Pairs, np.ndarray]:
        """Returns the districts of polygons within a rectangle, and the part of each that lies in that district.

        Args:
            areas: object [polygons], in columns and rows.
            box: of the scene, in which the polygons lie, as far as it matters.
        """
        import shapely

        # The whole outline of a district costs much for each polygon.
        near = shapely.intersection(
            self.polygons, shapely.box(box.col, box.row, box.col + box.width, box.row + box.height)
        )
        tree = shapely.STRtree(areas)
        district, thing = tree.query(near, predicate="intersects")
        parts = areas[thing]
        cut = ~shapely.contains_properly(self.polygons[district], parts)
        parts[cut] = shapely.intersection(near[district[cut]], parts[cut])
        return Pairs(thing, district), parts

    def of_lines(self, points: np.ndarray, offsets: np.ndarray) -> tuple[Pairs, np.ndarray]:
        """Returns the districts of lines that lie in these as a whole, and which others cross or touch a border.

        Args:
            points: columns and rows, float64 [points, 2].
            offsets: the first point of each line, and the end, int64 [lines + 1].

        Returns:
            the pairs of lines, and bool [lines].
        """
        import shapely

        kind = shapely.GeometryType.LINESTRING
        crossing = np.zeros(len(offsets) - 1, bool)
        things, districts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for begin in range(0, len(crossing), BLOCK):
            own = offsets[begin : begin + BLOCK + 1]
            lines = shapely.from_ragged_array(kind, points[own[0] : own[-1]], (own - own[0],))
            tree = shapely.STRtree(lines)
            touching = tree.query(self.polygons, predicate="intersects")
            inside = tree.query(self.polygons, predicate="contains_properly")
            number = np.bincount(touching[1], minlength=len(lines)) - np.bincount(inside[1], minlength=len(lines))
            crossing[begin : begin + BLOCK] = number > 0
            whole = number[inside[1]] == 0
            things.append(inside[1][whole] + begin)
            districts.append(inside[0][whole])
        return Pairs(np.concatenate(things), np.concatenate(districts)), crossing

    def borders(self, points: np.ndarray, segments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where segments between consecutive points meet borders: the segment, and the share of it in (0, 1).

        Args:
            points: columns and rows, float64 [points, 2].
            segments: by their first point, int64 [segments].
        """
        import shapely

        rings, ring = shapely.get_coordinates(shapely.get_parts(shapely.get_rings(self.polygons)), return_index=True)
        edge = np.flatnonzero(ring[1:] == ring[:-1])
        edges = shapely.linestrings(np.stack([rings[edge], rings[edge + 1]], 1))
        tree = shapely.STRtree(edges)
        lines = shapely.linestrings(np.stack([points[segments], points[segments + 1]], 1))
        one, other = tree.query(lines)
        segment, edge = segments[one], edge[other]
        origin, delta = points[segment], points[segment + 1] - points[segment]
        start, side = rings[edge], rings[edge + 1] - rings[edge]
        cross = delta[:, 0] * side[:, 1] - delta[:, 1] * side[:, 0]
        gap = start - origin
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (gap[:, 0] * side[:, 1] - gap[:, 1] * side[:, 0]) / cross
            along = (gap[:, 0] * delta[:, 1] - gap[:, 1] * delta[:, 0]) / cross
        meets = (share > 1e-12) & (share < 1 - 1e-12) & (along >= -1e-9) & (along <= 1 + 1e-9)
        return segment[meets], share[meets]
