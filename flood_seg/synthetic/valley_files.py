"""Writes a valley: its pictures before and in a flood, their water, and the vector layers of the same land."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.files import atomic_path
from flood_seg.imaging.bands import RGB
from flood_seg.imaging.gdal import utm_32n, write_geotiff
from flood_seg.synthetic.valley import ValleyPainter
from flood_seg.synthetic.valley_plan import Valley

if TYPE_CHECKING:
    from pathlib import Path

    from shapely import Geometry

    from flood_seg.config.schema import SampleConfig

DATES = {"before": datetime(2026, 6, 3, 9, 40, tzinfo=UTC), "flood": datetime(2026, 7, 14, 10, 20, tzinfo=UTC)}
POPULATION_CELL = 50.0  # metres
DEPOT, HAMLET = "Highfield", "Holm"
POINTS = 300  # random places whose true class is known, for the interval of the flooded area


def write_valley(folder: Path, config: SampleConfig, origin: tuple[float, float]) -> None:
    """Draws a valley at two dates into images/ and masks/, and writes its vector layers into layers/.

    Args:
        folder: of the files.
        config: its size and its seed; the size of a pixel is known.
        origin: x and y of the north-west corner in UTM zone 32N.
    """
    distance = config.ground_sample_distance
    assert distance
    valley = Valley(config.seed, config.width * distance, config.height * distance)
    painter, place = ValleyPainter(valley, distance), utm_32n(*origin, distance)
    water = dict[str, np.ndarray]()
    for name, time in DATES.items():
        picture = painter.draw(flood=name == "flood")
        water[name] = picture.water
        write_geotiff(folder / "images" / f"{name}.tif", picture.image, place, None, RGB, time=time)
        mask = picture.water.astype(np.uint8)[..., None] * np.uint8(255)
        write_geotiff(folder / "masks" / f"{name}.tif", mask, place, None, (), {0: (0, 0, 0), 255: (30, 144, 255)})
    layers = folder / "layers"
    truth = {"validation": _validation(water, distance, config.seed)}
    for name, (shapes, fields) in (_layers(valley) | truth).items():
        _write_layer(layers / f"{name}.gpkg", shapes, fields, origin)
    _write_population(layers / "population.tif", valley, origin)


def _layers(valley: Valley) -> dict[str, tuple[list[Geometry], dict[str, list[Any]]]]:
    """Returns the shapes of each layer, and their fields by name."""
    roads, houses, places = valley.roads, valley.houses, valley.places
    kinds = ["hamlet" if name == HAMLET else "village" for name in places]
    return {
        "roads": (
            [road.line for road in roads],
            {"class": [road.kind for road in roads], "name": [road.name for road in roads],
             "bridge": ["yes" if road.bridge else "no" for road in roads],
             "layer": [int(road.bridge) for road in roads]},
        ),
        "buildings": (
            [house.outline for house in houses],
            {"kind": [house.kind for house in houses], "people": [house.people for house in houses]},
        ),
        "districts": (list(valley.districts.values()), {"name": list(valley.districts)}),
        "places": (list(places.values()), {"name": list(places), "kind": kinds}),
        "depots": ([places[DEPOT]], {"name": [f"Fire station {DEPOT}"], "kind": ["fire station"]}),
        "permanent_water": ([valley.river, valley.lake], {"name": ["River", "Lake"]}),
    }  # fmt: skip


def _validation(
    water: dict[str, np.ndarray], distance: float, seed: int
) -> tuple[list[Geometry], dict[str, list[Any]]]:
    """Returns random points, and what is true there in the flood, as if each had been visited."""
    import shapely

    random = np.random.default_rng([seed, 11])
    height, width = water["flood"].shape
    rows, columns = random.integers(0, height, POINTS), random.integers(0, width, POINTS)
    before, flooded = water["before"][rows, columns], water["flood"][rows, columns]
    classes = np.where(before, "permanent", np.where(flooded, "flooded", "dry"))
    points = shapely.points((columns + 0.5) * distance, (rows + 0.5) * distance)
    return list(points), {"class": classes.tolist()}


def _write_layer(path: Path, shapes: list[Geometry], fields: dict[str, list[Any]], origin: tuple[float, float]) -> None:
    import shapely
    from pyogrio.raw import write

    west, north = origin
    placed = shapely.transform(np.array(shapes), lambda points: points * (1, -1) + (west, north))
    columns = [np.array(values, None if isinstance(values[0], int) else object) for values in fields.values()]
    with atomic_path(path) as temporary:
        write(temporary, shapely.to_wkb(placed), columns, list(fields), layer=path.stem, driver="GPKG",
              geometry_type=str(placed[0].geom_type), crs="EPSG:32632")  # fmt: skip


def _write_population(path: Path, valley: Valley, origin: tuple[float, float]) -> None:
    """Writes people per cell, counted at the middle of the houses."""
    rows, columns = (max(1, int(-(-side // POPULATION_CELL))) for side in (valley.height, valley.width))
    people = np.zeros((rows, columns, 1), np.float32)
    for house in valley.houses:
        middle = house.outline.centroid
        people[int(middle.y // POPULATION_CELL), int(middle.x // POPULATION_CELL), 0] += house.people
    write_geotiff(path, people, utm_32n(*origin, POPULATION_CELL), -1.0, ["people"])
