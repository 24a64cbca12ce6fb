"""Computes whom a flood affects: looks at the flood once, strip by strip, for roads, buildings, people and places."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.impact.coverage import PolygonScan
from flood_seg.analysis.impact.districts import Districts, Pairs
from flood_seg.analysis.impact.figures import LENGTHS, Figures, lengths_by_class
from flood_seg.analysis.impact.frame import WGS84, Frame
from flood_seg.analysis.impact.network import Network, build_network
from flood_seg.analysis.impact.people import People
from flood_seg.analysis.impact.reach import Reach, reach_places
from flood_seg.analysis.impact.roads import Roads, read_roads
from flood_seg.analysis.impact.roads_on_scene import NOWHERE, RoadMetres, RoadsOnScene
from flood_seg.analysis.impact.strips import Tiles
from flood_seg.analysis.result import FLOODED, ROWS, UNOBSERVED
from flood_seg.analysis.vectors import LAYER_SEPARATOR, Layer, read_layer
from flood_seg.console import track

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flood_seg.analysis.result import MapResult
    from flood_seg.config.schema.impact import ImpactOptions

# Of files of OpenStreetMap, which hold things of all kinds.
OSM_WHERE = {
    "buildings": "building IS NOT NULL",
    "places": "place IS NOT NULL",
    "depots": """other_tags LIKE '%"amenity"=>"fire_station"%'""",
    "districts": "boundary = 'administrative'",
}
OSM_SUFFIXES = (".osm", ".pbf")
TOUCHED = 1e-9  # share of a building under water that is not rounding
HALF = 0.5
WIDE = 0.95  # of a pixel is a road that is about as wide as one
SMALL = 1e-6  # metres of road that are rounding


@dataclass(frozen=True)
class Inputs:
    """Files of what may be affected; None: not given."""

    roads: Path | None = None
    buildings: Path | None = None
    population: Path | None = None
    districts: Path | None = None
    places: Path | None = None
    depots: Path | None = None


@dataclass
class RoadImpact:
    """Roads on the scene, and what the flood does to them."""

    roads: Roads
    scene: RoadsOnScene
    metres: RoadMetres
    network: Network
    cut: np.ndarray  # bool [edges]
    unobserved: np.ndarray  # bool [edges]
    impassable: np.ndarray  # roads, of footpaths too


@dataclass
class BuildingImpact:
    """Buildings on the scene; shares in [0, 1], float64 [buildings]."""

    layer: Layer
    flooded: np.ndarray
    unobserved: np.ndarray
    districts: Pairs | None


@dataclass
class PlaceImpact:
    """Places, and whether the flood cuts them off; `reach` is None where no roads were given."""

    layer: Layer
    names: list[str]
    points: np.ndarray  # longitudes and latitudes, float64 [places, 2]
    under_water: np.ndarray  # bool [places]
    reach: Reach | None
    districts: Pairs | None


@dataclass
class Impact:
    """All that a flood affects.

    Attributes:
        result: of the map.
        frame: of the scene.
        total: figures of the scene.
        by_district: figures of each district.
        warnings: a sentence each.
    """

    result: MapResult
    frame: Frame
    total: Figures = field(default_factory=Figures)
    by_district: list[Figures] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    districts: Districts | None = None
    districts_layer: Layer | None = None
    roads: RoadImpact | None = None
    buildings: BuildingImpact | None = None
    places: PlaceImpact | None = None

    def pairs(self, points: np.ndarray) -> Pairs | None:
        """Returns the districts of points in columns and rows; None: no districts were given."""
        return self.districts.of_points(points) if self.districts else None

    def count(self, name: str, which: np.ndarray, pairs: Pairs | None) -> None:
        """Sets a figure: how many of some things there are, in all and in each district."""
        self.total.counts[name] = int(np.count_nonzero(which))
        if pairs and self.districts:
            for figures, number in zip(self.by_district, pairs.sums(which, len(self.districts)), strict=True):
                figures.counts[name] = round(number)


def assess(result: MapResult, inputs: Inputs, options: ImpactOptions) -> Impact:
    """Computes whom the flood of a map affects.

    Args:
        result: of `flood-seg map`.
        inputs: at least one file beside the districts and the depots.
        options: what the attributes of the files mean.

    Raises:
        UsageError: the scene is not georeferenced.
        DataError: a file is missing or of no use; nothing of it lies on the scene.
        ImageError: a raster cannot be read.
    """
    frame = Frame(result)
    impact = Impact(result, frame)
    if inputs.districts:
        _read_districts(impact, inputs.districts, options)
    buildings = places = depots = None
    if inputs.buildings:
        buildings = _read(inputs.buildings, "buildings", options, frame)
        impact.warnings += buildings.warnings
    if inputs.places:
        places = _read(inputs.places, "places", options)
        impact.warnings += places.warnings
    if inputs.depots:
        depots = _read(inputs.depots, "depots", options)
        impact.warnings += depots.warnings
    with ExitStack() as stack:
        people = None
        if inputs.population:
            people = stack.enter_context(People(inputs.population, options.population_unit, frame, impact.districts))
        roads = scene = network = None
        if inputs.roads:
            roads = read_roads(inputs.roads, frame, options)
            impact.warnings += roads.warnings
            network = build_network(roads.points, roads.offsets, roads.along, roads.vehicles, options.join_distance)
            scene = RoadsOnScene(roads, frame, impact.districts)
            roads.forget_points()
        scan = PolygonScan(frame.shapes_in_pixels(buildings.geometries), frame.size) if buildings else None
        found = None if places is None else _Places(places, frame)
        for tiles in _strips(result):
            for consumer in (scene, scan, people, found):
                if consumer is not None:
                    consumer.add(tiles)
    if roads and scene and network:
        _add_roads(impact, roads, scene, network, options)
    if buildings and scan:
        _add_buildings(impact, buildings, scan)
    if people:
        _add_people(impact, people)
    if places and found:
        _add_places(impact, places, found, depots, options, inputs)
    return impact


class _Places:
    """Looks up which places are under water."""

    def __init__(self, layer: Layer, frame: Frame) -> None:
        import shapely

        self.degrees = shapely.get_coordinates(shapely.point_on_surface(layer.geometries))
        self.pixels = frame.locate(self.degrees)
        self.values = np.full(len(layer), UNOBSERVED, np.uint8)

    def add(self, tiles: Tiles) -> None:
        box = tiles.box
        with np.errstate(invalid="ignore"):
            place = np.floor(self.pixels)
            here = (place[:, 0] >= 0) & (place[:, 0] < box.width)
            here &= (place[:, 1] >= box.row) & (place[:, 1] < box.row + box.height)
        col, row = place[here].astype(np.int64).T
        self.values[here] = tiles.values[row - box.row, col]


def _strips(result: MapResult) -> Iterator[Tiles]:
    strips = result.flood.strips()
    for box, values in track(strips, "flood", -(-result.height // ROWS)):
        yield Tiles(box, values)


def _read(path: Path, kind: str, options: ImpactOptions, frame: Frame | None = None) -> Layer:
    """Reads a layer on the scene, or a whole one in degrees."""
    where = getattr(options.where, kind)
    if where is None and Path(str(path).partition(LAYER_SEPARATOR)[0]).suffix.lower() in OSM_SUFFIXES:
        where = OSM_WHERE[kind]
    kinds = ("polygon",) if kind in ("buildings", "districts") else ("point", "polygon")
    crs, bounds = (frame.ground.crs, frame.bounds) if frame else (WGS84, None)
    return read_layer(path, crs, kinds, bounds, [options.name_field], where)  # type: ignore[arg-type]


def _names(layer: Layer, options: ImpactOptions) -> list[str]:
    """Returns a name for each shape: its attribute, else its number in the file."""
    given = layer.fields.get(options.name_field, np.full(len(layer), None, object))
    known = [name is not None and name == name for name in given]  # a number that is missing is not itself
    return [str(name if there else number) for name, there, number in zip(given, known, layer.ids, strict=True)]


def _read_districts(impact: Impact, path: Path, options: ImpactOptions) -> None:
    layer = _read(path, "districts", options, impact.frame)
    impact.districts_layer = layer
    impact.districts = Districts(
        _names(layer, options), impact.frame.shapes_in_pixels(layer.geometries), impact.frame.size
    )
    impact.warnings += [*layer.warnings, *impact.districts.warnings(path)]
    if options.name_field not in layer.fields:
        impact.warnings.append(f"{path}: has no field {options.name_field}, so districts are named by their numbers; "
                               "impact.name_field names another")  # fmt: skip
    impact.by_district = [Figures() for _ in layer.geometries]


def _add_roads(impact: Impact, roads: Roads, scene: RoadsOnScene, network: Network, options: ImpactOptions) -> None:
    metres = scene.measure()
    passable = impact.frame.pixel / 2 if options.cut_length is None else options.cut_length
    cut, segment = scene.cut(network, passable)
    unobserved, impassable = scene.unobserved(network, passable), scene.impassable(passable)
    impact.roads = RoadImpact(roads, scene, metres, network, cut, unobserved, impassable)
    kinds, count = roads.kinds[scene.road[:-1]], len(roads.classes)
    total, by_district = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for name, attribute in zip(LENGTHS, ("inside", "flooded", "unobserved", "over_water"), strict=True):
        values = metres.of_segments(attribute)
        total[name] = np.bincount(kinds, values, count)
        if impact.districts:
            by_district[name] = scene.district_sums(values, count)
    impact.total.roads = lengths_by_class(total, roads.classes)
    impact.total.counts["roads_cut"] = int(cut.sum())
    if impact.districts:
        cuts = scene.district_counts(segment[cut])
        for number, figures in enumerate(impact.by_district):
            own = {name: sums[number] for name, sums in by_district.items()}
            figures.roads = lengths_by_class(own, roads.classes)
            figures.counts["roads_cut"] = int(cuts[number])
    impact.warnings += _doubts(impact, options)


def _doubts(impact: Impact, options: ImpactOptions) -> list[str]:
    """Returns what the resolution of the mask leaves open."""
    assert impact.roads
    pixel, found = impact.frame.pixel, []
    default = options.widths["road"]
    flooded, lost = impact.total.roads["roads_km"], sum(impact.total.roads["roads_not_observed_km"].values())
    narrow = [kind for kind in flooded if options.widths.get(kind, default) < WIDE * pixel and flooded[kind] > 0]
    if narrow:
        length = sum(flooded[kind] for kind in narrow)
        listed = ", ".join(f"{kind} {options.widths.get(kind, default):g} m" for kind in narrow[:6])
        found.append(
            f"the pixels of the mask are {pixel:.3g} m wide, wider than roads of {len(narrow)} classes ({listed}"
            f"{', …' if len(narrow) > 6 else ''}): water beside such a road and on it look the same, which holds for "
            f"{_km(length)} of {_km(sum(flooded.values()))} km under water"
        )
    if lost * 1000 > SMALL:
        found.append(f"{_km(lost)} km of road on the scene are not observed; they are neither counted as dry nor as "
                     "under water")  # fmt: skip
    return found


def _km(length: float) -> str:
    return f"{length:,.0f}" if length >= 100 else f"{length:.3g}"


def _add_buildings(impact: Impact, layer: Layer, scan: PolygonScan) -> None:
    import shapely

    flooded, unobserved = scan.flooded, scan.unobserved
    points = shapely.get_coordinates(shapely.point_on_surface(impact.frame.shapes_in_pixels(layer.geometries)))
    pairs = impact.pairs(points)
    on_scene = unobserved < 1
    impact.buildings = BuildingImpact(layer, flooded, unobserved, pairs)
    impact.count("buildings", on_scene | (flooded > 0), pairs)
    impact.count("buildings_touched", flooded > TOUCHED, pairs)
    impact.count("buildings_half", flooded > HALF, pairs)
    lost = (unobserved > TOUCHED) & (flooded <= TOUCHED)
    impact.count("buildings_not_observed", lost, pairs)
    if lost.any():
        impact.warnings.append(f"{layer.path}: {int(lost.sum())} of {len(layer)} buildings are not observed, in part "
                               "or altogether, and not touched where they are")  # fmt: skip


def _add_people(impact: Impact, people: People) -> None:
    names = ("people_on_scene", "people", "people_not_observed")
    impact.warnings += people.warnings()
    for name, number in zip(names, people.total, strict=True):
        impact.total.counts[name] = round(float(number), 1)
    for figures, numbers in zip(impact.by_district, people.by_district.T, strict=bool(impact.districts)):
        figures.counts |= {name: round(float(number), 1) for name, number in zip(names, numbers, strict=True)}


def _add_places(
    impact: Impact, layer: Layer, found: _Places, depots: Layer | None, options: ImpactOptions, inputs: Inputs
) -> None:
    import shapely

    reach = None
    if (roads := impact.roads) and inputs.places:
        points = None
        if depots is not None:
            points = shapely.get_coordinates(shapely.point_on_surface(depots.geometries))
        reach = reach_places(
            roads.network, roads.cut, roads.unobserved, found.degrees, points, options.snap_distance,
            (inputs.places, inputs.depots),
        )  # fmt: skip
        impact.warnings += reach.warnings
        if reach.over_unobserved.any():
            impact.warnings.append(f"{inputs.places}: {int(reach.over_unobserved.sum())} of {len(layer)} places are "
                                   "reached only by roads that are not observed or not on the scene")  # fmt: skip
    pixels = np.where(np.isfinite(found.pixels), found.pixels, NOWHERE)
    pairs = impact.pairs(pixels)
    under_water = found.values == FLOODED
    impact.places = PlaceImpact(layer, _names(layer, options), found.degrees, under_water, reach, pairs)
    impact.count("places", np.ones(len(layer), bool), pairs)
    impact.count("places_under_water", under_water, pairs)
    if reach:
        impact.count("places_cut_off", reach.cut_off, pairs)
        impact.count("places_with_detour", reach.after - reach.before > 1, pairs)


def place_records(places: PlaceImpact) -> list[dict[str, Any]]:
    """Returns what is known of each place, as JSON; null: it is not known."""
    reach = places.reach
    found = []
    for number, name in enumerate(places.names):
        longitude, latitude = places.points[number].round(7).tolist()
        record: dict[str, Any] = {"name": name, "longitude": longitude, "latitude": latitude}
        record["under_water"] = bool(places.under_water[number])
        if reach:
            known = bool(reach.on_network[number])
            before, after = (_kilometres(one[number]) for one in (reach.before, reach.after))
            detour = None if before is None or after is None else round(after - before, 6)
            record |= {"cut_off": bool(reach.cut_off[number]) if known else None}
            record |= {"over_unobserved": bool(reach.over_unobserved[number]) if known else None}
            record |= {"distance_before_km": before, "distance_km": after, "detour_km": detour}
        found.append(record)
    return found


def _kilometres(metres: float) -> float | None:
    return None if np.isnan(metres) else round(float(metres) / 1000, 6)
