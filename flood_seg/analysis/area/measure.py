"""How much is flooded, in all and in each district: as mapped, as expected, and adjusted for the errors of the map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.area.by_images import by_images
from flood_seg.analysis.area.by_sample import by_sample
from flood_seg.analysis.area.sums import check, scene_bounds, sum_up
from flood_seg.console import counted
from flood_seg.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.analysis.area.adjust import Adjusted, Adjuster
    from flood_seg.analysis.area.sample import Sample
    from flood_seg.analysis.area.sums import Areas
    from flood_seg.analysis.result import MapResult
    from flood_seg.analysis.vectors import Layer

Record = dict[str, Any]
SAME = 1e-3  # share by which the area of a polygon may differ from the sum of its pixels
NAMED = 5  # districts, in a warning
SHARED = 1e-3  # of the smaller of two districts: less is a border that was drawn twice


def measure_area(
    results: Sequence[MapResult], districts: Layer | None, names: Sequence[str], sample: Sample | None
) -> Record:
    """Measures the flooded area: what `flood_area.json` holds.

    Args:
        results: of scenes; where they overlap, the newest one counts.
        districts: polygons; None: there are none.
        names: of the districts.
        sample: of these scenes, whose true classes are known; None: there is none.

    Raises:
        DataError: a scene is not georeferenced, or no district touches any scene.
        UsageError: the scenes have different classes.
        ImageError: a layer is missing or damaged.
    """
    check(results)
    if districts is not None:
        _check_place(districts, results)
    without = [result.name for result in results if not (result.folder / "probability.tif").is_file()]
    sums = sum_up(results, districts, sample, probability=not without)
    adjuster = by_sample(sample, sums, results, _inside(sample, districts)) if sample else by_images(results)

    warnings = _warnings_of(results, sums.total, without)
    units = [_unit(sums.total, adjuster, results[0], None, bool(without))]
    if districts is not None:
        warnings += [*districts.warnings, *_overlaps(districts.geometries)]
        for number, (name, areas, size) in enumerate(zip(names, sums.districts, _sizes(districts), strict=True)):
            unit = _unit(areas, adjuster, results[0], number, bool(without))
            beyond = size - areas.observed - areas.elsewhere - areas.not_observed
            beyond = beyond if beyond > SAME * size else 0.0
            unit["not_observed_m2"] = round(areas.not_observed + beyond, 2)
            units.append({"name": name, "area_m2": round(float(size), 2)} | unit)
        warnings += _of_names(
            names, [name for name, areas in zip(names, sums.districts, strict=True) if not areas.observed]
        )
    warnings += [*(sample.warnings if sample else ()), *adjuster.warnings]
    return {
        "meaning": "; ".join(dict.fromkeys(result.flood.meaning for result in results)),
        "scenes": [{"name": result.name, "time": result.properties["datetime"]} for result in results],
        "total": units[0],
        "districts": units[1:],
        "limits": [*_limits(results, sums.total), *adjuster.limits],
        "warnings": warnings,
    }


def _unit(areas: Areas, adjuster: Adjuster, result: MapResult, district: int | None, without: bool) -> Record:
    """Returns the record of the total or of a district."""
    flooded = adjuster.flooded(areas.mapped, district) if areas.land else None
    unit: Record = {
        "observed_m2": round(areas.observed, 2),
        "land_m2": round(areas.land, 2),
        "flooded": _figures(areas, result.water, flooded, without),
        "permanent_m2": round(areas.permanent, 2),
        "not_observed_m2": round(areas.not_observed, 2),
    }
    names = result.spec.class_names
    if len(names) > 2:
        unit["classes"] = {
            name: _figures(
                areas, number, adjuster.of_class(areas.mapped, number, district) if areas.land else None, without
            )
            for number, name in enumerate(names)
        }
    return unit


def _figures(areas: Areas, number: int, adjusted: Adjusted | None, without: bool) -> Record:
    estimate = adjusted.estimate if adjusted else None
    return {
        "mapped_m2": round(float(areas.mapped[number]), 2),
        "expected_m2": None if without else round(float(areas.expected[number]), 2),
        "adjusted_m2": round(estimate.area, 2) if estimate else None,
        "standard_error_m2": round(estimate.standard_error, 2) if estimate else None,
        "interval_95_m2": [round(estimate.low, 2), round(estimate.high, 2)] if estimate else None,
        "method": adjusted.method if adjusted else "none: no land was observed",
    }


def _warnings_of(results: Sequence[MapResult], total: Areas, without: Sequence[str]) -> list[str]:
    warnings = [
        f"{result.name}: {warning}" for result in results for warning in result.properties.get("flood_seg:warnings", ())
    ]
    for result in results:
        if failed := result.properties.get("flood_seg:failed_blocks"):
            warnings.append(f"{result.name}: {counted(len(failed), 'block')} failed and count as not observed")
    if without:
        warnings.append(f"{', '.join(without)}: has no probability.tif (map.probability=none): no expected area")
    if total.elsewhere:
        share = total.elsewhere / (total.elsewhere + total.observed)
        warnings.append(
            f"{100 * share:.2g} % of what the scenes show is in several of them; each place counts once, as in the "
            "newest scene that shows it"
        )
    return warnings


def _of_names(names: Sequence[str], unseen: Sequence[str]) -> list[str]:
    """Returns warnings of districts that show nothing, and of those that have the name of another one."""
    warnings = []
    if unseen:
        listed = ", ".join(unseen[:NAMED]) + (", …" if len(unseen) > NAMED else "")
        warnings.append(f"{len(unseen)} of {counted(len(names), 'district')} show nothing that was observed ({listed})")
    if twice := len(names) - len(set(names)):
        warnings.append(f"{counted(twice, 'district')} with the name of another one: each is a row of its own")
    return warnings


def _limits(results: Sequence[MapResult], total: Areas) -> list[str]:
    limits = [
        f"Flooded means: {'; '.join(dict.fromkeys(result.flood.meaning for result in results))}.",
        "What was not observed (no data, clouds, outside of the scenes) counts neither as flooded nor as dry; no "
        "interval covers it.",
        "The expected area is the sum of the probabilities of the pixels: as right as these, and without an interval.",
    ]
    if any(result.spec.temperature == 1 for result in results):
        limits[-1] += (
            " The probabilities of this model have not been calibrated (flood-seg evaluate --calibrate --save)."
        )
    if total.permanent:
        limits.append("Permanent water is taken from its reference as it is, without errors.")
    return limits


def _check_place(districts: Layer, results: Sequence[MapResult]) -> None:
    """Raises DataError where no district touches any scene."""
    if not any(len(districts.near(result.georeference["crs"], scene_bounds(result))) for result in results):
        raise DataError(
            f"{districts.path}: lies elsewhere: none of its {counted(len(districts), 'shape')} touches a scene; give a "
            "file of this region, and check the coordinate reference systems of both"
        )


def _inside(sample: Sample | None, districts: Layer | None) -> np.ndarray:
    """Returns whether each point of a sample lies in each district, bool [points, districts]."""
    import shapely

    found = np.zeros((len(sample.truth) if sample else 0, len(districts) if districts else 0), bool)
    if sample and districts is not None and sample.is_points:
        points = replace(sample.layer, ids=np.arange(len(found))).near(districts.crs)
        point, district = shapely.STRtree(districts.geometries).query(points.geometries, predicate="intersects")
        found[points.ids[point], district] = True
    return found


def _overlaps(polygons: np.ndarray) -> list[str]:
    """Returns a warning where polygons overlap each other by more than a border that was drawn twice."""
    import shapely

    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    one, other = one[one < other], other[one < other]
    one, other = (numbers[~shapely.touches(polygons[one], polygons[other])] for numbers in (one, other))
    shared = shapely.area(shapely.intersection(polygons[one], polygons[other]))
    smaller = np.minimum(shapely.area(polygons[one]), shapely.area(polygons[other]))
    found = np.unique([one[shared > SHARED * smaller], other[shared > SHARED * smaller]])
    if not len(found):
        return []
    return [
        f"{len(found)} of {len(polygons)} districts overlap each other: their areas do not add up; the total counts "
        "each place once"
    ]


def _sizes(districts: Layer) -> np.ndarray:
    """Returns the geodesic area of districts in m², float64 [districts]."""
    import shapely
    from pyproj import Geod, Transformer

    geod = districts.crs.get_geod() or Geod(ellps="WGS84")
    transformer = Transformer.from_crs(districts.crs, districts.crs.geodetic_crs, always_xy=True)
    # Edges are straight in the CRS of the file, not on the ellipsoid: long ones are divided.
    divided = shapely.segmentize(districts.geometries, 0.1 if districts.crs.is_geographic else 10_000)
    turned = shapely.orient_polygons(
        shapely.transform(divided, lambda xy: np.column_stack(transformer.transform(*xy.T)))
    )
    return np.array([abs(geod.geometry_area_perimeter(one)[0]) for one in turned])
