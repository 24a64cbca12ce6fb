"""The roads on a scene: which of their metres are under water or not observed, and which edges are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.impact.districts import Pairs
from flood_seg.analysis.impact.stretches import LineScan
from flood_seg.analysis.result import FLOODED, UNOBSERVED
from flood_seg.products.vectors.polygons import starts_of

if TYPE_CHECKING:
    from flood_seg.analysis.impact.districts import Districts
    from flood_seg.analysis.impact.frame import Frame
    from flood_seg.analysis.impact.network import Network
    from flood_seg.analysis.impact.roads import Roads
    from flood_seg.analysis.impact.strips import Tiles

MEASURED = 1_000_000  # segments that are measured at once
NOWHERE = -1e9  # column and row of what is not near the scene
JOINED = 1e-6  # metres between two stretches that are one


@dataclass(frozen=True)
class RoadMetres:
    """Metres of segments; water below a bridge does not flood it.

    Attributes:
        inside: metres of each segment on the scene, float64 [segments].
        segment: of each stretch that is not dry, int64 [stretches].
        metres: of each stretch.
        flooded: whether a stretch is under water, bool [stretches].
        unobserved: whether it is not observed.
        over_water: whether it is part of a bridge over water.
    """

    inside: np.ndarray
    segment: np.ndarray
    metres: np.ndarray
    flooded: np.ndarray
    unobserved: np.ndarray
    over_water: np.ndarray

    def of_segments(self, name: str) -> np.ndarray:
        """Returns metres of each segment, float64 [segments], by the name of an attribute."""
        if name == "inside":
            return self.inside
        chosen = getattr(self, name)
        return np.bincount(self.segment[chosen], self.metres[chosen], len(self.inside))


class RoadsOnScene:
    """Roads that touch a scene, cut at the borders of districts.

    A segment joins a point to the next one of the same road.

    Attributes:
        points: columns and rows, float64 [points, 2].
        along: metres of all roads before each point, float64 [points]; see `Roads`.
        road: of each point, int32 [points].
        chosen: the roads, int64, ascending.
    """

    def __init__(self, roads: Roads, frame: Frame, districts: Districts | None) -> None:
        """Finds them.

        Raises:
            DataError: there are none.
        """
        self._roads, self._districts, self._size = roads, districts, frame.size
        self.chosen = np.flatnonzero(roads.near)
        counts = np.diff(roads.offsets)
        at = np.repeat(roads.near, counts)
        self.points, self.along = frame.locate(roads.points[at]), roads.along[at]
        self.road = np.repeat(self.chosen.astype(np.int32), counts[self.chosen])
        offsets = starts_of(counts[self.chosen])
        low, high = np.fmin.reduceat(self.points, offsets[:-1]), np.fmax.reduceat(self.points, offsets[:-1])
        on_scene = (high >= 0).all(1) & (low < frame.size[::-1]).all(1)
        if not on_scene.any():
            raise roads.elsewhere
        if not on_scene.all():
            kept = np.repeat(on_scene, np.diff(offsets))
            self.chosen = self.chosen[on_scene]
            self.points, self.along, self.road = self.points[kept], self.along[kept], self.road[kept]
        self._pairs = self._assign() if districts else None
        self._scan = LineScan(self.points, self.valid, frame.size)

    @property
    def valid(self) -> np.ndarray:
        """Whether a point and the next one are a segment, bool [points - 1]."""
        return np.asarray(self.road[1:] == self.road[:-1])

    def add(self, tiles: Tiles) -> None:
        """Looks at a strip of the flood."""
        self._scan.add(tiles)

    def measure(self) -> RoadMetres:
        """Returns the metres of what all strips have added; then `cut` knows the stretches."""
        self._stretches = found = self._scan.stretches()
        inside = np.zeros(len(self.road) - 1)
        for begin in range(0, len(inside), MEASURED):
            part = slice(begin, min(begin + MEASURED, len(inside)))
            inside[part] = self._scan.inside(np.arange(part.start, part.stop))
        inside *= np.diff(self.along)
        inside[~self.valid] = 0
        metres = found.share * (self.along[found.segment + 1] - self.along[found.segment])
        flooded, bridges = found.value == FLOODED, self._roads.bridges[self.road[found.segment]]
        return RoadMetres(
            inside, found.segment, metres, flooded & ~bridges, found.value == UNOBSERVED, flooded & bridges
        )

    def cut(self, network: Network, metres: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns which edges are cut, bool [edges], and the longest stretch under water on each, int64 [edges]; -1.

        An edge is cut where a road is under water for more than some metres without interruption; where that goes on
        beyond a crossing, on both sides.

        Args:
            network: of the roads.
            metres: that are passable.
        """
        start, stop = self._joined(FLOODED, metres)
        cut = network.touched(start, stop)
        edges = np.flatnonzero(cut)
        segment = np.full(len(cut), -1, np.int64)
        if len(edges):
            # The first stretch that reaches the edge says where it is cut.
            order = np.argsort(stop, kind="stable")
            first = order[np.searchsorted(stop[order], network.start[edges], "right").clip(max=len(stop) - 1)]
            place = np.maximum(start[first], network.start[edges])
            segment[edges] = np.clip(np.searchsorted(self.along, place, "right") - 1, 0, len(self.along) - 2)
        return cut, segment

    def impassable(self, metres: float) -> np.ndarray:
        """Returns the roads, vehicles' or not, that are under water for more than some metres without interruption."""
        start, stop = self._joined(FLOODED, metres)
        segment = np.searchsorted(self.along, (start + stop) / 2, "right") - 1
        return np.unique(self.road[segment])

    def unobserved(self, network: Network, metres: float) -> np.ndarray:
        """Returns which edges are not observed for more than some metres, or leave the scene, bool [edges]."""
        found = network.touched(*self._joined(UNOBSERVED, metres))
        low, high = np.minimum(self.points[:-1], self.points[1:]), np.maximum(self.points[:-1], self.points[1:])
        staying = (low >= 0).all(1) & (high <= self._size[::-1]).all(1)
        leaving = np.flatnonzero(self.valid & ~staying)
        found |= network.touched(self.along[leaving], self.along[leaving + 1])
        away = np.ones(len(self._roads), bool)
        away[self.chosen] = False
        offsets, along = self._roads.offsets, self._roads.along
        return np.asarray(found | network.touched(along[offsets[:-1][away]], along[offsets[1:][away] - 1]))

    def district_sums(self, values: np.ndarray, kinds: int) -> np.ndarray:
        """Returns the sums of a value of each segment, float64 [districts, classes]."""
        assert self._districts is not None
        assert self._pairs is not None
        place = self._pairs.district * kinds + self._roads.kinds[self.road[self._pairs.thing]]
        total = len(self._districts) * kinds
        return np.bincount(place, values[self._pairs.thing], total).reshape(len(self._districts), kinds)

    def district_counts(self, segments: np.ndarray) -> np.ndarray:
        """Returns in how many cases one of some segments lies in each district, int64 [districts]."""
        assert self._districts is not None
        assert self._pairs is not None
        times = np.bincount(segments, minlength=len(self.road))
        return np.asarray(np.rint(self._pairs.sums(times, len(self._districts))), np.int64)

    def _joined(self, value: int, metres: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns where stretches of more than some metres begin and end along all roads, float64 [stretches]."""
        some = self._stretches[self._stretches.value == value]
        if value == FLOODED:
            some = some[~self._roads.bridges[self.road[some.segment]]]
        lengths = self.along[some.segment + 1] - self.along[some.segment]
        start = self.along[some.segment] + some.start * lengths
        stop = self.along[some.segment] + some.stop * lengths
        if not len(start):
            return start, stop
        road = self.road[some.segment]
        apart = (road[1:] != road[:-1]) | (start[1:] - stop[:-1] > JOINED)
        first = np.concatenate([[0], np.flatnonzero(apart) + 1])
        last = np.concatenate([first[1:] - 1, [len(start) - 1]])
        start, stop = start[first], stop[last]
        long = stop - start > metres
        return start[long], stop[long]

    def _assign(self) -> Pairs:
        """Cuts segments at borders, and returns the districts of all segments."""
        assert self._districts is not None
        begin = np.concatenate([[0], np.flatnonzero(~self.valid) + 1])
        offsets = np.concatenate([begin, [len(self.points)]])
        lost = ~np.isfinite(self.points).all(1)
        points = self.points
        if lost.any():
            points = np.where(lost[:, None], NOWHERE, points)  # as shapes have no other coordinates
        pairs, crossing = self._districts.of_lines(points, offsets)
        del points
        at = np.repeat(crossing, np.diff(offsets))[:-1] & self.valid & ~lost[:-1] & ~lost[1:]
        segment, share = self._districts.borders(self.points, np.flatnonzero(at))
        order = np.lexsort((share, segment))
        segment, share = segment[order], share[order]
        new = self.points[segment] + share[:, None] * (self.points[segment + 1] - self.points[segment])
        along = self.along[segment] + share * (self.along[segment + 1] - self.along[segment])
        self.points = np.insert(self.points, segment + 1, new, axis=0)
        self.along = np.insert(self.along, segment + 1, along)
        self.road = np.insert(self.road, segment + 1, self.road[segment])
        offsets = offsets + np.searchsorted(segment, offsets, "left")
        at = np.flatnonzero(np.repeat(crossing, np.diff(offsets))[:-1] & self.valid)
        middles = (self.points[at] + self.points[at + 1]) / 2
        at, middles = at[np.isfinite(middles).all(1)], middles[np.isfinite(middles).all(1)]
        found = self._districts.of_points(middles)
        # Of lines in one district all segments are.
        counts = np.diff(offsets)[pairs.thing] - 1
        first = (offsets[pairs.thing] - np.cumsum(counts) + counts).astype(np.int32)
        thing = np.repeat(first, counts)
        thing += np.arange(len(thing), dtype=np.int32)
        district = np.repeat(pairs.district.astype(np.int32), counts)
        return Pairs(
            np.concatenate([thing, at[found.thing].astype(np.int32)]),
            np.concatenate([district, found.district.astype(np.int32)]),
        )
