"""Lines over a raster: which stretches of them are flooded or not observed, exactly by the edges of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.impact.strips import RowIndex, expand, split_by_weight
from flood_seg.analysis.result import FLOODED, UNOBSERVED

if TYPE_CHECKING:
    from flood_seg.analysis.impact.strips import Tiles

PARTS = 1_000_000  # pixels of lines that are looked up at once: about 100 MB


@dataclass(frozen=True)
class Stretches:
    """Parts of segments with one value.

    Attributes:
        segment: of the lines, int64 [stretches], ascending.
        start: share of the segment at which it begins, float64 in [0, 1], ascending in a segment.
        stop: share of the segment at which it ends.
        value: FLOODED or UNOBSERVED, uint8.
    """

    segment: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    value: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """Of the segment, float64 [stretches]."""
        return np.asarray(self.stop - self.start)

    def __getitem__(self, chosen: np.ndarray) -> Stretches:
        return Stretches(self.segment[chosen], self.start[chosen], self.stop[chosen], self.value[chosen])

    @classmethod
    def joined(cls, parts: list[Stretches]) -> Stretches:
        """Returns those of all strips in the order of the segments; stretches that touch become one."""
        names = ("segment", "start", "stop", "value")
        empty = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.uint8))
        columns = [np.concatenate([one, *(getattr(part, name) for part in parts)])
                   for name, one in zip(names, empty, strict=True)]  # fmt: skip
        order = np.lexsort((columns[1], columns[0]))
        return _merged(*(column[order] for column in columns))


class LineScan:
    """Collects the stretches of lines strip by strip.

    A segment that runs along the edge of two pixels belongs to the one with the larger column or row.
    """

    def __init__(self, points: np.ndarray, valid: np.ndarray, size: tuple[int, int]) -> None:
        """Takes segments between consecutive points.

        Args:
            points: column and row of the raster, float64 [points, 2]; not finite: they lie nowhere.
            valid: whether a point is joined to the next one by a segment, bool [points - 1].
            size: height and width of the raster.
        """
        self._points, self._height, self._width = points, *size
        rows = points[:, 1]
        with np.errstate(invalid="ignore"):
            first = np.where(valid, np.minimum(rows[:-1], rows[1:]), np.nan)
            last = np.maximum(rows[:-1], rows[1:])
        beside = valid & (np.maximum(points[:-1, 0], points[1:, 0]) < 0)
        beside |= np.minimum(points[:-1, 0], points[1:, 0]) >= self._width
        first[beside] = np.nan
        self._index = RowIndex(first, last, self._height)
        self._found: list[Stretches] = []

    def add(self, tiles: Tiles) -> None:
        """Adds the stretches in a strip of full width."""
        if tiles.plain:
            return
        box = tiles.box
        segments = self._index.touching(box.row, box.row + box.height).astype(np.int64)
        begin, end = self._clip(segments, box.row, box.row + box.height)
        inside = end > begin
        segments, begin, end = segments[inside], begin[inside], end[inside]
        origin, delta = self._points[segments], self._points[segments + 1] - self._points[segments]
        ends = np.stack([origin + begin[:, None] * delta, origin + end[:, None] * delta])
        low, high = ends.min(0), ends.max(0)
        near = tiles.some(low, high)
        segments, begin, end, origin, delta = (one[near] for one in (segments, begin, end, origin, delta))
        # An upper bound of the edges of pixels that are crossed.
        weights = (np.floor(high[near]) - np.floor(low[near]) + 2).sum(1).astype(np.int64)
        for part in split_by_weight(weights, PARTS):
            self._found.append(_trace(tiles, segments[part], begin[part], end[part], origin[part], delta[part]))

    def stretches(self) -> Stretches:
        """Returns what all strips have added."""
        return Stretches.joined(self._found)

    def inside(self, segments: np.ndarray) -> np.ndarray:
        """Returns the share of segments that lies on the raster, float64 [segments]."""
        begin, end = self._clip(segments, 0, self._height)
        return np.asarray(np.maximum(end - begin, 0))

    def _clip(self, segments: np.ndarray, top: float, bottom: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns where segments enter and leave some rows, as shares; those that do not touch them leave first."""
        begin, end = np.zeros(len(segments)), np.ones(len(segments))
        for axis, low, high in ((0, 0, self._width), (1, top, bottom)):
            origin = self._points[segments, axis]
            delta = self._points[segments + 1, axis] - origin
            with np.errstate(divide="ignore", invalid="ignore"):
                first, second = (low - origin) / delta, (high - origin) / delta
            level = delta == 0
            within = (origin >= low) & (origin < high)
            begin = np.maximum(begin, np.where(level, np.where(within, 0, 1), np.minimum(first, second)))
            end = np.minimum(end, np.where(level, np.where(within, 1, 0), np.maximum(first, second)))
        lost = ~np.isfinite(begin) | ~np.isfinite(end)
        begin[lost], end[lost] = 1, 0
        return begin, end


def _trace(
    tiles: Tiles, segments: np.ndarray, begin: np.ndarray, end: np.ndarray, origin: np.ndarray, delta: np.ndarray
) -> Stretches:
    """Cuts segments at the edges of pixels (Amanatides and Woo 1987, for all of them at once) and looks these up."""
    owners, shares = [np.arange(len(segments))] * 2, [begin, end]
    for axis in (0, 1):
        first, last = origin[:, axis] + begin * delta[:, axis], origin[:, axis] + end * delta[:, axis]
        low = np.floor(np.minimum(first, last)) + 1
        counts = np.maximum(np.ceil(np.maximum(first, last)) - low, 0).astype(np.int64)
        owner, number = expand(counts)
        owners.append(owner)
        shares.append((low[owner] + number - origin[owner, axis]) / delta[owner, axis])
    owner = np.concatenate(owners)
    share = np.clip(np.concatenate(shares), begin[owner], end[owner])
    order = np.lexsort((share, owner))
    owner, share = owner[order], share[order]
    kept = np.flatnonzero((owner[1:] == owner[:-1]) & (share[1:] > share[:-1]))
    owner, start, stop = owner[kept], share[kept], share[kept + 1]
    middle = origin[owner] + ((start + stop) / 2)[:, None] * delta[owner]
    box = tiles.box
    col = np.clip(np.floor(middle[:, 0]).astype(np.int64) - box.col, 0, box.width - 1)
    row = np.clip(np.floor(middle[:, 1]).astype(np.int64) - box.row, 0, box.height - 1)
    value = tiles.values[row, col]
    wanted = (value == FLOODED) | (value == UNOBSERVED)
    return _merged(segments[owner[wanted]], start[wanted], stop[wanted], value[wanted])


def _merged(segment: np.ndarray, start: np.ndarray, stop: np.ndarray, value: np.ndarray) -> Stretches:
    """Returns sorted stretches of which those that touch and have the same value are one."""
    if not len(segment):
        return Stretches(segment, start, stop, value)
    apart = (segment[1:] != segment[:-1]) | (value[1:] != value[:-1]) | (start[1:] - stop[:-1] > 1e-9)
    first = np.concatenate([[0], np.flatnonzero(apart) + 1])
    last = np.concatenate([first[1:] - 1, [len(segment) - 1]])
    return Stretches(segment[first], start[first], stop[last], value[first])
