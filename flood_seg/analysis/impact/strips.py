"""Which lines and polygons a strip of the flood touches, and which of them lie where it holds nothing of interest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.result import FLOODED, UNOBSERVED

if TYPE_CHECKING:
    from flood_seg.scenes.grid import Box

TILE = 16  # pixels of the tiles that are looked at before pixels


class RowIndex:
    """Finds what touches some rows, of things that each span a range of rows."""

    def __init__(self, first: np.ndarray, last: np.ndarray, height: int) -> None:
        """Takes where each thing begins and ends, float64 [things]; those that touch no row of `height` are left out.

        Args:
            first: the smallest row coordinate of each; not a number: it touches none.
            last: the largest one.
            height: of the raster.
        """
        with np.errstate(invalid="ignore"):
            known = np.flatnonzero((first < height) & (last >= 0)).astype(np.int32)
        first = np.floor(np.maximum(first[known], -1)).astype(np.int32)
        order = np.argsort(first, kind="stable").astype(np.int32)
        self._order, self._first = known[order], first[order]
        self._last = np.floor(np.minimum(last[self._order], height)).astype(np.int32)
        self._reach = np.maximum.accumulate(self._last)

    def touching(self, low: int, high: int) -> np.ndarray:
        """Returns the indices of the things that touch rows from `low` to before `high`, int32."""
        begin, end = np.searchsorted(self._reach, low), np.searchsorted(self._first, high)
        return np.asarray(self._order[begin:end][self._last[begin:end] >= low])


class Tiles:
    """Tiles of a strip: where it is flooded or not observed, and where it is all of one value."""

    def __init__(self, box: Box, values: np.ndarray) -> None:
        """Takes a strip of `FloodLayer.strips`."""
        self.box, self.values = box, values
        rows, cols = np.arange(0, box.height, TILE), np.arange(0, box.width, TILE)
        self._any = np.zeros((len(rows) + 1, len(cols) + 1), np.int64)
        self._all = {value: self._any.copy() for value in (FLOODED, UNOBSERVED)}
        some = np.zeros((len(rows), len(cols)), bool)
        for value, table in self._all.items():
            equal = values == value
            if not equal.any():
                continue
            some |= np.logical_or.reduceat(np.logical_or.reduceat(equal, rows, 0), cols, 1)
            whole = np.logical_and.reduceat(np.logical_and.reduceat(equal, rows, 0), cols, 1)
            table[1:, 1:] = whole.cumsum(0).cumsum(1)
        self.plain = not some.any()  # nothing of the strip is flooded or not observed
        self._any[1:, 1:] = some.cumsum(0).cumsum(1)

    def some(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Returns whether rectangles may hold pixels that are flooded or not observed, bool [rectangles].

        Args:
            low: upper left corners, column and row, float64 [rectangles, 2].
            high: lower right corners.
        """
        return np.asarray(_sums(self._any, *self._span(low, high))[0] > 0)

    def whole(self, low: np.ndarray, high: np.ndarray, value: int) -> np.ndarray:
        """Returns whether all tiles that rectangles touch have one value, bool [rectangles]; see `some`."""
        found, count = _sums(self._all[value], *self._span(low, high))
        return np.asarray(found == count)

    def _span(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        origin, size = (self.box.col, self.box.row), (self.box.width, self.box.height)
        first = np.clip(np.floor(low - origin), 0, np.subtract(size, 1)).astype(np.int64)
        last = np.clip(np.floor(high - origin), 0, np.subtract(size, 1)).astype(np.int64)
        return first // TILE, last // TILE + 1


def _sums(table: np.ndarray, first: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sums over rectangles of a summed-area table, and their numbers of tiles."""
    (left, top), (right, bottom) = first.T, stop.T
    found = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return found, (right - left) * (bottom - top)


def split_by_weight(weights: np.ndarray, most: int) -> list[slice]:
    """Returns slices of consecutive things whose weights add up to at most `most`, or that are one thing."""
    total = np.cumsum(weights)
    parts, begin = list[slice](), 0
    while begin < len(weights):
        before = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, before + most, "right")))
        parts.append(slice(begin, end))
        begin = end
    return parts


def expand(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns for `counts[i]` copies of each i: i itself, and the number of the copy from 0; int64 [sum]."""
    owner = np.repeat(np.arange(len(counts)), counts)
    begin = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) - begin[owner]
