"""Means of a raster over many polygons, in memory that does not grow with the raster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.imaging.gdal import stored_blocks
from flood_seg.products.vectors.polygons import starts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rasterio.io import DatasetReader

    from flood_seg.products.vectors.polygons import Polygons

ROWS, COLS = 512, 16384  # read at once: a row of blocks of a Cloud Optimized GeoTIFF


def mean_over(dataset: DatasetReader, bands: np.ndarray, polygons: Polygons) -> np.ndarray:
    """Returns the mean of a band over the pixels of each polygon, float64 [polygons].

    By Green's theorem: the sum over a polygon is that over the vertical edges of its rings of the sum of all pixels to
    their left. For whole numbers it is exact.

    Args:
        dataset: the raster; its scales apply, values that are not numbers count as 0.
        bands: the number of each polygon's band, from 1.
        polygons: whose edges lie on those of pixels.
    """
    means = np.zeros(len(polygons))
    areas = polygons.without_holes(np.abs(polygons.ring_areas))
    for band in np.unique(bands).tolist():
        edges = _Edges.of(polygons, bands == band)
        for part, sums, before in _sums_to_the_left(dataset, band):
            rows, cols, owners, signs = edges.within(*part)
            means += np.bincount(owners, (sums[rows, cols] + before[rows]) * signs, len(polygons))
        means[bands == band] *= dataset.scales[band - 1]
    return np.asarray(means / areas)


def _sums_to_the_left(dataset: DatasetReader, band: int) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
    """Yields the index of each part of a raster, and the sums of what lies to the left of its columns and one more.

    That is the sum within the part, [rows, columns + 1], which the next part overwrites, and that before it, [rows].
    """
    stored = stored_blocks(dataset)
    height, width = dataset.block_shapes[0]
    whole = np.dtype(dataset.dtypes[band - 1]) == np.uint8
    within, beyond = (np.int32, np.int64) if whole else (np.float64, np.float64)
    buffer = np.zeros((min(ROWS, dataset.height), min(COLS, dataset.width) + 1), within)
    for i, row in enumerate(range(0, dataset.height, ROWS)):
        before = np.zeros(min(ROWS, dataset.height - row), beyond)
        for j, col in enumerate(range(0, dataset.width, COLS)):
            stop = min(row + ROWS, dataset.height), min(col + COLS, dataset.width)
            shape = stop[0] - row, stop[1] - col + 1
            if not stored[row // height : -(-stop[0] // height), col // width : -(-stop[1] // width)].any():
                yield (i, j), np.broadcast_to(within(0), shape), before  # no polygon covers it
                continue
            values = dataset.read(band, window=((row, stop[0]), (col, stop[1])))
            sums = buffer[: shape[0], : shape[1]]
            np.cumsum(np.nan_to_num(values, copy=False), axis=1, dtype=within, out=sums[:, 1:])
            yield (i, j), sums, before
            before = before + sums[:, -1]


@dataclass(frozen=True)
class _Edges:
    """Vertical edges, cut where parts of the raster end, and sorted by their part.

    Attributes:
        keys: int64 [edges], row and column of each one's part in 32 bits each.
        cols: int64 [edges].
        tops: int64 [edges], first row.
        lengths: int64 [edges], number of rows.
        owners: int64 [edges], polygon.
        signs: float64 [edges], 1 where the polygon lies to the left, else -1.
    """

    keys: np.ndarray
    cols: np.ndarray
    tops: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray
    signs: np.ndarray

    @classmethod
    def of(cls, polygons: Polygons, chosen: np.ndarray) -> _Edges:
        """Takes the edges of some polygons, bool [polygons]."""
        owners = polygons.ring_polygons[polygons.edge_rings]
        (x, start), (end_x, end) = polygons.vertices[polygons.edges].T, polygons.vertices[polygons.edges + 1].T
        used = (x == end_x) & chosen[owners]
        # Whichever way GDAL's outlines and holes turn.
        turn = np.sign(polygons.ring_areas) * np.where(polygons.is_hole, -1, 1)
        signs = (np.sign(end - start) * turn[polygons.edge_rings])[used]
        x, start, end = (values[used].astype(np.int64) for values in (x, start, end))
        top, bottom, owners = np.minimum(start, end), np.maximum(start, end), owners[used]
        first = top // ROWS
        pieces = (bottom - 1) // ROWS - first + 1
        number = np.arange(pieces.sum()) - np.repeat(starts_of(pieces)[:-1], pieces)
        part = np.repeat(first, pieces) + number
        tops = np.maximum(np.repeat(top, pieces), part * ROWS)
        lengths = np.minimum(np.repeat(bottom, pieces), (part + 1) * ROWS) - tops
        # The sum to the left of column c is that of all before it; part j has it for c in (j·COLS, (j+1)·COLS].
        cols = np.repeat(x, pieces)
        keys = part << 32 | np.maximum(cols - 1, 0) // COLS
        order = np.argsort(keys, kind="stable")
        owners, signs = np.repeat(owners, pieces), np.repeat(signs, pieces)
        return cls(*(values[order] for values in (keys, cols, tops, lengths, owners, signs)))

    def within(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Returns rows and columns in a part, polygons and signs of its edges, cut to one pixel each."""
        chosen = slice(*np.searchsorted(self.keys, [i << 32 | j, (i << 32 | j) + 1]))
        lengths = self.lengths[chosen]
        number = np.arange(lengths.sum()) - np.repeat(starts_of(lengths)[:-1], lengths)
        rows = np.repeat(self.tops[chosen] - i * ROWS, lengths) + number
        return rows, *(np.repeat(v[chosen], lengths) for v in (self.cols - j * COLS, self.owners, self.signs))
