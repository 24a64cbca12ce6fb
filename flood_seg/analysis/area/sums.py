"""Areas by what the map shows, summed up over scenes: in all, in districts, and where the truth is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.area.strata import COLUMNS, ELSEWHERE, NOT_OBSERVED, PERMANENT_WATER, StrataReader, overlapping
from flood_seg.analysis.area.zones import Zones
from flood_seg.console import track
from flood_seg.errors import DataError, UsageError
from flood_seg.products.ground import to_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flood_seg.analysis.area.sample import Sample
    from flood_seg.analysis.area.strata import Piece
    from flood_seg.analysis.reproject import Bounds
    from flood_seg.analysis.result import MapResult
    from flood_seg.analysis.vectors import Layer


@dataclass(frozen=True)
class Areas:
    """Areas of some ground, in m².

    Attributes:
        mapped: of each class of the map, where water is the flood alone, float64 [classes].
        expected: the same, by probability, float64 [classes].
        permanent: permanent water.
        elsewhere: what counts in another scene.
        not_observed: without data.
    """

    mapped: np.ndarray
    expected: np.ndarray
    permanent: float
    elsewhere: float
    not_observed: float

    @classmethod
    def of(cls, columns: np.ndarray) -> Areas:
        """Takes `mapped`, the three others, and `expected`, as one array, float64 [2 × classes + 3]."""
        classes = (len(columns) - 3) // 2
        others = (float(value) for value in columns[classes : classes + 3])
        return cls(columns[:classes], columns[classes + 3 :], *others)

    @property
    def land(self) -> float:
        """What may be flooded or not: all that is seen but permanent water."""
        return float(self.mapped.sum())

    @property
    def observed(self) -> float:
        """What is seen."""
        return self.land + self.permanent


@dataclass(frozen=True)
class Sums:
    """What is summed up.

    Attributes:
        total: of all scenes, each place on the ground once.
        districts: of each district.
        shapes: of each polygon of the sample.
        points: what the pixel of each point of the sample counts as, see `Piece.strata`; -1: it lies in no scene.
    """

    total: Areas
    districts: list[Areas]
    shapes: list[Areas]
    points: np.ndarray


def sum_up(results: Sequence[MapResult], districts: Layer | None, sample: Sample | None, *, probability: bool) -> Sums:
    """Sums up areas.

    Args:
        results: of scenes; where they overlap, the newest one counts.
        districts: polygons that may overlap each other; None: there are none.
        sample: points or polygons; None: there is none.
        probability: whether all scenes have probabilities.

    Raises:
        DataError: a scene is not georeferenced.
        UsageError: the scenes have different classes.
        ImageError: a layer is missing or damaged.
    """
    check(results)
    newest_first = sorted(results, key=lambda result: result.time, reverse=True)
    columns = 2 * len(results[0].spec.class_names) + 3
    layers = [districts, sample.layer if sample and not sample.is_points else None]
    total, sums = np.zeros(columns), [np.zeros((len(layer) if layer else 0, columns)) for layer in layers]
    points = np.full(len(sample.truth) if sample and sample.is_points else 0, -1, np.int16)
    pieces = sum(-(-result.height // 512) * -(-result.width // COLUMNS) for result in results)

    def each() -> Iterator[None]:
        for result, before in zip(newest_first, overlapping(newest_first), strict=True):
            ground = result.ground
            assert ground is not None
            zones = [_on_scene(layer, result) for layer in layers]
            places = _point_pixels(sample, result) if sample and len(points) else None
            for piece in StrataReader(result, ground, before, probability).pieces():
                _add(piece, total, zones, sums)
                if places is not None:
                    _look_up(piece, *places, points)
                yield

    for _ in track(each(), "Summing up", pieces):
        pass
    of_districts, of_shapes = ([Areas.of(row) for row in rows] for rows in sums)
    return Sums(Areas.of(total), of_districts, of_shapes, points)


def check(results: Sequence[MapResult]) -> None:
    """Raises DataError where a scene is not georeferenced, UsageError where they have different classes."""
    from pyproj.exceptions import ProjError

    for result in results:
        try:
            ground = result.ground
        except ProjError:  # a system of another planet
            ground = None
        if ground is None and result.georeference.get("crs"):
            raise DataError(
                f"{result.folder}: has a reference system that does not say where on the Earth it lies, so that its "
                "pixels have no area; write another one into the scene, for example by gdal_translate -a_srs "
                "EPSG:32632, and map it again"
            )
        if ground is None:
            raise DataError(
                f"{result.folder}: is not georeferenced, so that its pixels have no area; write into the scene where "
                "it lies, for example by gdal_translate -a_srs EPSG:32632 -a_ullr LEFT TOP RIGHT BOTTOM, and map it "
                "again"
            )
        if result.spec.class_names != results[0].spec.class_names:
            raise UsageError(f"{result.folder}: has other classes than {results[0].folder}; give results of one model")


def scene_bounds(result: MapResult) -> Bounds:
    """Returns the smallest and largest coordinates of a scene in its CRS."""
    corners = np.array([(0, 0), (result.width, 0), (result.width, result.height), (0, result.height)], np.float64)
    x, y = to_map(result.georeference["transform"], *corners.T)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _on_scene(layer: Layer | None, result: MapResult) -> tuple[np.ndarray, Zones] | None:
    """Returns the numbers of the polygons on a scene, and these on its grid."""
    if layer is None:
        return None
    near = replace(layer, ids=np.arange(len(layer))).near(result.georeference["crs"], scene_bounds(result))
    return near.ids, Zones(near.geometries, result.georeference["transform"])


def _point_pixels(sample: Sample, result: MapResult) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the numbers of the points on a scene, and the row and the column of each."""
    import shapely

    layer = replace(sample.layer, ids=np.arange(len(sample.layer)))
    near = layer.near(result.georeference["crs"], scene_bounds(result))
    cols, rows = to_map(~result.georeference["transform"], *shapely.get_coordinates(near.geometries).T)
    return near.ids, np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)


def _look_up(piece: Piece, ids: np.ndarray, rows: np.ndarray, cols: np.ndarray, points: np.ndarray) -> None:
    row, col = rows - piece.box.row, cols - piece.box.col
    inside = (row >= 0) & (row < piece.box.height) & (col >= 0) & (col < piece.box.width)
    found = piece.strata[row[inside], col[inside]]
    # Of several scenes, the one in which the place counts says what it is.
    unknown = np.isin(points[ids[inside]], (-1, NOT_OBSERVED)) & (found != ELSEWHERE)
    points[ids[inside][unknown]] = found[unknown]


def _add(
    piece: Piece, total: np.ndarray, zones: Sequence[tuple[np.ndarray, Zones] | None], sums: Sequence[np.ndarray]
) -> None:
    values = _values(piece, (len(total) - 3) // 2)
    whole = values.sum(axis=(1, 2))
    total += whole
    for found, rows in zip(zones, sums, strict=True):
        if found is not None:
            ids, polygons = found
            part = np.zeros((len(ids), len(total)))
            polygons.add(piece.box, values, whole, part)
            rows[ids] += part


def _values(piece: Piece, classes: int) -> np.ndarray:
    """Returns what each pixel adds to the columns of `Areas.of`, float64 [2 × classes + 3, h, w]."""
    kinds = (*range(classes), PERMANENT_WATER, ELSEWHERE, NOT_OBSERVED)
    values = np.zeros((len(kinds) + classes, *piece.areas.shape))
    for number, kind in enumerate(kinds):
        np.multiply(piece.areas, piece.strata == kind, out=values[number])
    if piece.probabilities is not None:
        np.multiply(piece.areas, piece.probabilities, out=values[len(kinds) :])
    return values
