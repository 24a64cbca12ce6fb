"""The classes of a raster as a vector layer: polygons of each class, with their sizes and mean probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.config.schema.scenes import VECTORS
from flood_seg.console import warn
from flood_seg.imaging.gdal import open_raster, read_georeference
from flood_seg.products.ground import Ground, to_map
from flood_seg.products.layers import Legend
from flood_seg.products.vectors.class_means import mean_over
from flood_seg.products.vectors.outlines import reshape
from flood_seg.products.vectors.trace import UNOBSERVED, trace_polygons
from flood_seg.products.vectors.vector_file import IN_WGS84, write_vectors
from flood_seg.resources import enough_memory
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.products.vectors.polygons import Polygons
    from flood_seg.spec import ModelSpec

# Metres of an edge; longer ones, which are straight on the map but not on the Earth, are measured in parts.
LONGEST = 500


@dataclass(frozen=True)
class ClassAreas:
    """The polygons of a class.

    Attributes:
        count: of its polygons.
        square_metres: their geodesic area; None: the scene is not georeferenced.
    """

    count: int
    square_metres: float | None


def write_areas(
    folder: Path, spec: ModelSpec, options: MapOptions, layers: Path | None = None
) -> dict[str, ClassAreas]:
    """Writes the polygons of each class but the background, from the layers of a scene, as areas.gpkg and the like.

    Args:
        folder: of the files.
        spec: of the model.
        options: formats, which polygons are written, and how their outlines are.
        layers: folder of mask.tif, and of probability.tif where it is written, as `LayerWriter` writes them; None: that
            of the files.

    Returns:
        a summary of each class but the background; raises as `write_polygons`.
    """
    layers = layers or folder
    bands = range(len(spec.class_names)) if spec.task == "binary" else range(1, len(spec.class_names) + 1)
    probability = None if options.probability == "none" else layers / "probability.tif"
    return write_polygons(folder / "areas", layers / "mask.tif", Legend.of(spec), options, probability, bands)


def write_polygons(
    stem: Path, mask: Path, legend: Legend, options: MapOptions, probability: Path | None, bands: Sequence[int]
) -> dict[str, ClassAreas]:
    """Writes the polygons of each class of a raster but the background, in each format that is asked for.

    Args:
        stem: path of the files without their suffixes.
        mask: the raster.
        legend: of the raster.
        options: formats, which polygons are written, and how their outlines are.
        probability: a raster on the same pixels, of which each polygon gets the mean; None: none.
        bands: of `probability`, of each class; that of the background is not used.

    Returns:
        a summary of each class but the background; empty where no format is asked for.

    Raises:
        ImageError: a raster cannot be read.
        OutputError: a file cannot be written.
        OutOfMemoryError: there are too many polygons.
    """
    for suffix in set(VECTORS) - set(options.vectors):  # of an earlier run, with other polygons
        stem.with_suffix(f".{suffix}").unlink(missing_ok=True)
    if not options.vectors:
        return {}
    with enough_memory(f"{mask}: its polygons", "map.vectors=[] leaves them out"):
        with open_raster(mask) as dataset:
            size: tuple[int, int] = dataset.shape
            traced = trace_polygons(dataset, legend)
        georeference = read_georeference(mask, *size)
        ground = Ground.of(georeference)
        polygons = traced.select((traced.classes != UNOBSERVED)[traced.ring_polygons])
        areas, lengths = _measure(polygons, ground, size)
        large = polygons.without_holes(areas) >= options.min_area
        touching = _touches_edge(polygons, traced, size)[large]
        chosen = large[polygons.ring_polygons]
        polygons, areas, lengths = polygons.select(chosen), areas[chosen], lengths[chosen]
        # Of the pixels that have the class, so before holes are filled.
        probabilities = _mean_probability(probability, polygons, bands)
        if options.min_hole:
            chosen = ~_small_holes(polygons, areas, options.min_hole)
            polygons, areas, lengths = polygons.select(chosen), areas[chosen], lengths[chosen]
        if options.smooth or options.simplify:
            polygons = reshape(polygons, options.smooth, options.simplify, size)
            areas, lengths = _measure(polygons, ground, size)
        fields = {"class": np.array(legend.names, object)[polygons.classes]}
        fields |= _sizes(polygons, areas, lengths, ground)
        fields |= {"mean_probability": probabilities, "touches_edge": touching}
        _write_files(stem, polygons, fields, georeference, options.vectors)
    return _summary(polygons.classes, fields["area_m2"], legend)


def _touches_edge(polygons: Polygons, traced: Polygons, size: tuple[int, int]) -> np.ndarray:
    """Returns whether each polygon touches the edge of the scene or pixels without data, bool [polygons]."""
    import shapely

    vertex_rings = np.repeat(np.arange(len(polygons.rings) - 1), np.diff(polygons.rings))
    at_edge = ((polygons.vertices == 0) | (polygons.vertices == size[::-1])).any(axis=1)
    touching = np.bincount(polygons.ring_polygons[vertex_rings], at_edge, len(polygons)) > 0
    unobserved = traced.select((traced.classes == UNOBSERVED)[traced.ring_polygons])
    if len(unobserved):
        found = shapely.STRtree(polygons.geometries()).query(unobserved.geometries(), predicate="intersects")
        touching[found[1]] = True
    return touching


def _measure(polygons: Polygons, ground: Ground | None, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the area and length of each ring, float64 [rings], in metres; without a ground, in pixels."""
    if ground:
        pixel = math.sqrt(ground.pixel_area(Box(0, 0, *size)))
        fine = polygons.subdivided(max(1, LONGEST / pixel))
        return ground.measure(fine.vertices, fine.rings)
    return np.abs(polygons.ring_areas), polygons.ring_lengths


def _small_holes(polygons: Polygons, areas: np.ndarray, smallest: float) -> np.ndarray:
    """Returns which rings are holes smaller than `smallest` that hold no other polygon, bool [rings]."""
    import shapely

    small = polygons.is_hole & (areas < smallest)
    if small.any():
        inside = polygons.geometries()[polygons.without_holes(areas) < smallest]
        rings = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, polygons.vertices, (polygons.rings, np.arange(len(polygons.rings)))
        )
        numbers = np.flatnonzero(small)
        holding, _ = shapely.STRtree(shapely.point_on_surface(inside)).query(rings[numbers], predicate="contains")
        small[numbers[holding]] = False
    return small


def _mean_probability(path: Path | None, polygons: Polygons, bands: Sequence[int]) -> np.ndarray:
    """Returns the mean probability of each polygon's class, float64 [polygons]; not a number where none is written."""
    if path is None:
        return np.full(len(polygons), np.nan)
    with open_raster(path) as dataset:
        return mean_over(dataset, np.asarray(bands)[polygons.classes], polygons)


def _sizes(polygons: Polygons, areas: np.ndarray, lengths: np.ndarray, ground: Ground | None) -> dict[str, np.ndarray]:
    """Returns the fields of the size of each polygon, by the measures of rings."""
    area, perimeter = polygons.without_holes(areas), polygons.per_polygon(lengths)
    if ground:
        return {"area_m2": area, "perimeter_m": perimeter}
    unknown = np.full(len(polygons), np.nan)
    return {"area_m2": unknown, "area_px": area, "perimeter_m": unknown}


def _write_files(
    stem: Path, polygons: Polygons, fields: dict[str, np.ndarray], georeference: dict[str, Any], formats: list[str]
) -> None:
    place, crs = georeference.get("transform"), georeference.get("crs")
    cols, rows = polygons.vertices.T
    # As GIS draw rasters without a place: rows count downwards from 0.
    located = polygons.geometries(np.column_stack(to_map(place, cols, rows) if place else (cols, -rows)))
    known = crs.to_wkt() if place and crs else None
    for path in (stem.with_suffix(f".{suffix}") for suffix in formats):
        if path.suffix[1:] in IN_WGS84 and not known:
            path.unlink(missing_ok=True)
            warn(f"{path}: is not written, since it is in WGS 84 and the scene has no CRS")
        else:
            write_vectors(path, located, fields, known)


def _summary(classes: np.ndarray, areas: np.ndarray, legend: Legend) -> dict[str, ClassAreas]:
    found = {}
    for index, name in enumerate(legend.names[1:], 1):
        total = float(areas[classes == index].sum())
        count = int(np.count_nonzero(classes == index))
        found[name] = ClassAreas(count, None if np.isnan(total) else total)
    return found
