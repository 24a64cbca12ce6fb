"""Plans a valley: river, roads, villages and districts as shapes in metres, the same for a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shapely import Geometry, LineString, Point, Polygon

ROAD_WIDTHS = {"primary": 9.0, "secondary": 7.0, "tertiary": 6.0, "residential": 5.0, "track": 3.0}  # metres
BRIDGE_END = 8.0  # metres of a bridge beyond the river's bank
RIVER_HALF_WIDTH = 0.045  # lengths from here on are shares of the valley's shorter side
LAKE = (0.66, 0.275), (0.05, 0.03)  # beside the river's course: from it, and half axes
VILLAGES = {"Highfield": (0.22, 0.14), "Millbrook": (0.63, 0.28), "Southmead": (0.30, 0.86), "Weirside": (0.80, 0.80)}
HOLM, ISLAND_RADIUS = (0.52, 0.105), 0.042  # a village on a rise: its x, and how far south of the river it lies
EMBANKED = "Weir Road"  # which stays dry where it crosses the valley
EMBANKMENT = 20.0  # metres from its axis to the foot of the embankment
STREETS = {"Highfield": 4, "Millbrook": 4, "Southmead": 4, "Weirside": 3, "Holm": 1}  # beside the road through it
STREET_LENGTH, STREET_PITCH = 0.045, 0.034  # of each half, and between two
HOUSE_PITCH = 21.0  # metres along a street
DISTRICTS = {"Highfield": (0.0, 0.5, "north"), "Millbrook": (0.5, 1.0, "north"),
             "Southmead": (0.0, 0.58, "south"), "Weirside": (0.58, 1.0, "south")}  # fmt: skip


@dataclass(frozen=True)
class Road:
    """A part of a road between two junctions, or a bridge.

    Attributes:
        name: of the whole road.
        kind: its class, as OpenStreetMap's `highway` names it.
        line: its axis.
        bridge: whether it is on a bridge.
    """

    name: str
    kind: str
    line: LineString
    bridge: bool = False


@dataclass(frozen=True)
class House:
    """A building and the number of people who live in it."""

    outline: Polygon
    kind: str
    people: int


@dataclass
class Valley:
    """A valley with its river from west to east; coordinates are metres from its north-west corner, y to the south.

    Attributes:
        seed: what differs between valleys: the river's course and the houses.
        width: in metres.
        height: in metres.
    """

    seed: int
    width: float
    height: float
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng([self.seed, 77])

    @property
    def unit(self) -> float:
        """The shorter side in metres, which shapes are shares of."""
        return min(self.width, self.height)

    def river_y(self, x: np.ndarray | float) -> np.ndarray:
        """Returns the y of the river's axis at x, both as shares of the sides."""
        phase = 0.03 + 0.05 * np.sin(self.seed)
        course = 0.05 * np.sin(2 * np.pi * (np.asarray(x) * 0.9 + phase)) + 0.012 * np.sin(17 * np.asarray(x))
        return np.asarray(0.46 + course)

    @cached_property
    def axis(self) -> LineString:
        """The river's axis, a little longer than the valley."""
        import shapely

        x = np.linspace(-0.05, 1.05, 111)
        return shapely.LineString(self._metres(np.column_stack([x, self.river_y(x)])))

    @cached_property
    def river(self) -> Polygon:
        """The river in its bed."""
        return self._clipped(self.axis.buffer(RIVER_HALF_WIDTH * self.unit))

    @cached_property
    def lake(self) -> Polygon:
        """A lake."""
        import shapely

        (x, away), (long, short) = LAKE
        angles = np.linspace(0, 2 * np.pi, 61)[:-1]
        wobble = 1 + 0.12 * np.sin(3 * angles + self.seed) + 0.06 * np.sin(5 * angles)
        center = self._metres(np.array([[x, float(self.river_y(x)) + away]]))[0]
        rim = np.column_stack([np.cos(angles) * long, np.sin(angles) * short]) * wobble[:, None] * self.unit
        return shapely.Polygon(center + rim)

    @cached_property
    def places(self) -> dict[str, Point]:
        """The centre of each village by its name."""
        import shapely

        x, away = HOLM
        shares = VILLAGES | {"Holm": (x, float(self.river_y(x)) + away)}
        return {name: shapely.Point(*self._metres(np.array([share]))[0]) for name, share in shares.items()}

    @cached_property
    def roads(self) -> list[Road]:
        """The roads, split at junctions and at both ends of bridges, so that the ends of two that meet are equal."""
        from shapely.ops import substring

        lines = [*self._through_roads(), *self._streets()]
        ends = np.array([point for _, _, line in lines for point in (line.coords[0], line.coords[-1])])
        water = self.axis.buffer(RIVER_HALF_WIDTH * self.unit + BRIDGE_END)
        parts = []
        for name, kind, line in lines:
            crossing = line.intersection(water) if kind != "track" else None
            banks = [] if crossing is None or crossing.is_empty else [crossing.coords[0], crossing.coords[-1]]
            on_line = [point for point in ends if line.distance(_point(point)) < 1e-6]
            cuts = sorted({round(line.project(_point(point)), 6) for point in [*on_line, *banks]} | {0.0, line.length})
            for start, stop in pairwise(cuts):
                if stop - start > 0.01:
                    part = substring(line, start, stop)
                    middle = part.interpolate(0.5, normalized=True)
                    parts.append(Road(name, kind, _snapped(part, ends), bool(banks) and bool(water.contains(middle))))
        return parts

    @cached_property
    def houses(self) -> list[House]:
        """The buildings along the streets, and a few farms; none on a road or in the river."""
        import shapely

        roads = shapely.union_all([road.line.buffer(ROAD_WIDTHS[road.kind] / 2 + 2) for road in self.roads])
        taken = shapely.union_all([roads, self.river.buffer(4), self.lake.buffer(4)])
        found = list[House]()
        for road in self.roads:
            if road.bridge or not self._in_village(road):
                continue
            for along in np.arange(HOUSE_PITCH / 2, road.line.length, HOUSE_PITCH):
                for side in (-1, 1):
                    house = self._house(road, float(along), side)
                    if house is None or house.outline.intersects(taken):
                        continue
                    found.append(house)
                    taken = taken.union(house.outline.buffer(3))
        return found

    @cached_property
    def districts(self) -> dict[str, Polygon]:
        """The districts by their names: north and south of the river, each divided in two."""
        import shapely

        found = {}
        for name, (left, right, bank) in DISTRICTS.items():
            x = np.linspace(left, right, 51)
            edge = 0.0 if bank == "north" else 1.0
            shares = [*np.column_stack([x, self.river_y(x)]), (right, edge), (left, edge)]
            found[name] = shapely.Polygon(self._metres(np.array(shares)))
        return found

    @cached_property
    def dry_ways(self) -> Geometry:
        """Where the ground is raised above any flood: the embankment of a road, without its bridge."""
        import shapely

        embanked = [road.line.buffer(EMBANKMENT) for road in self.roads if road.name == EMBANKED and not road.bridge]
        return shapely.union_all(embanked)

    @cached_property
    def island(self) -> tuple[Point, float]:
        """The rise below a village in the valley: its centre, and its radius."""
        return self.places["Holm"], ISLAND_RADIUS * self.unit

    def _metres(self, shares: np.ndarray) -> np.ndarray:
        return np.asarray(shares * (self.width, self.height))

    def _clipped(self, shape: Geometry) -> Polygon:
        import shapely

        return shape.intersection(shapely.box(0, 0, self.width, self.height))

    def _through_roads(self) -> list[tuple[str, str, LineString]]:
        highfield, millbrook, southmead, weirside = VILLAGES.values()
        holm = (HOLM[0], float(self.river_y(HOLM[0])) + HOLM[1])
        west, east = float(self.river_y(0.25)), float(self.river_y(0.85))
        turn, fork = (0.265, west + 0.13), (0.85, 0.19)
        junction = (0.55, 0.81)
        north = [highfield, (0.42, 0.17), (0.63, 0.185), fork, (1.0, 0.16)]
        south = [southmead, (0.42, 0.84), junction, (0.68, 0.79), weirside, (1.0, 0.83)]
        plans: list[tuple[str, str, Iterable[tuple[float, float]]]] = [
            ("Valley Road", "primary", [(0.21, 0.0), highfield]),
            ("Valley Road", "primary", [highfield, (0.24, 0.28), (0.25, west), turn]),
            ("Valley Road", "primary", [turn, (0.285, 0.72), southmead]),
            ("Valley Road", "primary", [southmead, (0.31, 1.0)]),
            ("North Road", "secondary", north[:3]),
            ("North Road", "secondary", north[2:4]),
            ("North Road", "secondary", north[3:]),
            ("South Road", "secondary", south[:3]),
            ("South Road", "secondary", south[2:5]),
            ("South Road", "secondary", south[4:]),
            (EMBANKED, "tertiary", [fork, (0.855, 0.32), (0.85, east), (0.83, 0.66), weirside]),
            ("Mill Lane", "tertiary", [north[2], millbrook]),
            ("Mill Lane", "residential", [millbrook, (0.635, float(self.river_y(0.635)) - 0.06)]),
            ("Holm Lane", "tertiary", [turn, (0.38, holm[1] + 0.02), holm]),
            ("Holm Lane", "tertiary", [holm, (0.545, 0.70), junction]),
            ("Mead Track", "track", [(0.42, 0.84), (0.44, 0.73), (0.38, holm[1] + 0.02)]),
            ("Hill Track", "track", [(0.42, 0.17), (0.45, 0.28), millbrook]),
        ]
        return [(name, kind, self._curve(list(points))) for name, kind, points in plans]

    def _curve(self, shares: list[tuple[float, float]]) -> LineString:
        """Returns a line through its ends with rounded corners, by Chaikin's algorithm."""
        import shapely

        points = self._metres(np.array(shares, np.float64))
        for _ in range(3 if len(points) > 2 else 0):
            inner = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], 1)
            points = np.concatenate([points[:1], inner.reshape(-1, 2)[1:-1], points[-1:]])
        return shapely.LineString(points)

    def _streets(self) -> list[tuple[str, str, LineString]]:
        """Returns streets on both sides of the road through each village."""
        import shapely

        found = []
        through = {"Highfield": "North Road", "Millbrook": "Mill Lane", "Southmead": "South Road",
                   "Weirside": "South Road", "Holm": "Holm Lane"}  # fmt: skip
        for village, count in STREETS.items():
            place = self.places[village]
            lines = [line for name, _, line in self._through_roads() if name == through[village]]
            line = min(lines, key=place.distance) if village != "Millbrook" else lines[-1]
            start = line.project(place)
            away = 1 if start < line.length / 2 else -1
            for number in range(count):
                along = start + away * (number + 0.6) * STREET_PITCH * self.unit
                if not 0 < along < line.length:
                    continue
                at, ahead = (np.array(line.interpolate(along + step).coords[0]) for step in (0, 1e-3))
                side = np.array([-(ahead - at)[1], (ahead - at)[0]]) / 1e-3
                for sign, end in ((1, "Street"), (-1, "Close")):
                    far = at + sign * side * STREET_LENGTH * self.unit * self.random.uniform(0.75, 1.1)
                    found.append((f"{village} {end} {number + 1}", "residential", shapely.LineString([at, far])))
        return found

    def _in_village(self, road: Road) -> bool:
        reach = 0.16 * self.unit if road.kind == "residential" else 0.075 * self.unit
        reach = self.island[1] * 0.8 if "Holm" in road.name else reach
        return any(
            place.distance(road.line.interpolate(0.5, normalized=True)) < reach for place in self.places.values()
        )

    def _house(self, road: Road, along: float, side: int) -> House | None:
        """Returns a house beside a road, or None where the place stays empty."""
        import shapely

        random = self.random
        at, ahead = (np.array(road.line.interpolate(along + step).coords[0]) for step in (0, 1e-3))
        if not (ahead - at).any() or random.random() < 0.12:
            return None
        heading = (ahead - at) / np.hypot(*(ahead - at))
        across = np.array([-heading[1], heading[0]]) * side
        barn = random.random() < 0.1
        long, short = (
            (random.uniform(7, 9), random.uniform(4.5, 6))
            if barn
            else (random.uniform(4.5, 6.5), random.uniform(3.5, 4.6))
        )
        center = at + across * (ROAD_WIDTHS[road.kind] / 2 + 4 + short + random.uniform(0, 2.5))
        corners = [center + a * long * heading + b * short * across for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        outline = shapely.Polygon(corners)
        if not shapely.box(0, 0, self.width, self.height).contains(outline):
            return None
        return House(outline, "barn" if barn else "house", 0 if barn else int(random.integers(1, 6)))


def _point(coordinates: np.ndarray | tuple[float, float]) -> Point:
    import shapely

    return shapely.Point(*coordinates)


def _snapped(line: LineString, ends: np.ndarray) -> LineString:
    """Returns a line whose ends are exactly those of the roads that it meets."""
    import shapely

    points = np.array(line.coords)
    for end in (0, -1):
        distances = np.hypot(*(ends - points[end]).T)
        if distances.min() < 1e-3:
            points[end] = ends[distances.argmin()]
    return shapely.LineString(points)
