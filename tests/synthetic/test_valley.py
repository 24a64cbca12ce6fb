"""The synthetic valley: its pictures, the water on them, and the layers of the same land."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pyogrio.raw import read
from rasterio.features import rasterize

from flood_seg.cli.main import main
from flood_seg.errors import ConfigError
from flood_seg.inference.models import bundled_model
from flood_seg.synthetic.valley_plan import Valley


@pytest.fixture(scope="module")
def valley(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valley")
    main(["data", "sample", "--out", str(folder), "datamodule=valley"])
    return folder


def layer(folder: Path, name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    about, _, shapes, fields = read(folder / "layers" / f"{name}.gpkg")
    assert about["crs"] == "EPSG:32632"
    return shapely.from_wkb(shapes), dict(zip(about["fields"], fields, strict=True))


def water(folder: Path, name: str) -> np.ndarray:
    with rasterio.open(folder / "masks" / f"{name}.tif") as dataset:
        return dataset.read(1) > 0


def burnt(folder: Path, shapes: np.ndarray) -> np.ndarray:
    with rasterio.open(folder / "masks" / "flood.tif") as dataset:
        return rasterize(list(shapes), dataset.shape, transform=dataset.transform) > 0


def test_both_dates_show_the_same_place_at_their_times(valley: Path) -> None:
    opened = [rasterio.open(valley / "images" / f"{name}.tif") for name in ("before", "flood")]
    before, flood = opened
    assert before.bounds == flood.bounds and before.crs.to_epsg() == 32632 and before.res == (1, 1)
    times = [dataset.tags()["TIFFTAG_DATETIME"] for dataset in opened]
    assert times == ["2026:06:03 09:40:00", "2026:07:14 10:20:00"]
    assert before.read().std() > 20


def test_a_flood_covers_what_was_water_and_more(valley: Path) -> None:
    before, flood = water(valley, "before"), water(valley, "flood")
    assert (flood[before]).mean() > 0.99
    assert 0.05 < before.mean() < 0.15 and 0.3 < flood.mean() < 0.5


def test_permanent_water_is_the_water_before(valley: Path) -> None:
    shapes, fields = layer(valley, "permanent_water")
    assert fields["name"].tolist() == ["River", "Lake"]
    permanent, before = burnt(valley, shapes), water(valley, "before")
    assert not (before & ~permanent).any()
    assert (permanent & ~before).sum() < 0.1 * permanent.sum()  # bridges and crowns


def test_roofs_and_bridges_are_dry_and_people_live_in_houses(valley: Path) -> None:
    houses, fields = layer(valley, "buildings")
    assert not water(valley, "flood")[burnt(valley, houses)].any()
    roads, about = layer(valley, "roads")
    bridges = roads[about["bridge"] == "yes"]
    assert len(bridges) == 2 and about["layer"][about["bridge"] == "yes"].tolist() == [1, 1]
    assert not water(valley, "flood")[burnt(valley, shapely.buffer(bridges, 1, cap_style="flat"))].any()
    with rasterio.open(valley / "layers" / "population.tif") as dataset:
        assert dataset.read(1).sum() == fields["people"].sum() > 100
    assert fields["people"][fields["kind"] == "barn"].sum() == 0


def reachable(roads: np.ndarray, start: shapely.Point) -> set[tuple[float, float]]:
    """The ends of roads that lead to a start over ends that are equal, coordinate by coordinate."""
    known, found = {start.coords[0]}, True
    while found:
        found = False
        for road in roads:
            ends = {road.coords[0], road.coords[-1]}
            if ends & known and not ends <= known:
                known |= ends
                found = True
    return known


def test_a_hamlet_is_cut_off_by_the_flood_alone(valley: Path) -> None:
    roads, _ = layer(valley, "roads")
    places, about = layer(valley, "places")
    depot = layer(valley, "depots")[0][0]
    assert {place.coords[0] for place in places} <= reachable(roads, depot)
    flood = water(valley, "flood")
    dry = [road for road in roads if not (flood & burnt(valley, np.array([road.buffer(2)]))).sum() > 50]
    cut = {name for name, place in zip(about["name"], places, strict=True)
           if place.coords[0] not in reachable(np.array(dry), depot)}  # fmt: skip
    assert "Holm" in cut and not cut & {"Highfield", "Southmead", "Weirside"}


def test_districts_cover_the_valley_without_overlap(valley: Path) -> None:
    districts, fields = layer(valley, "districts")
    assert len(set(fields["name"])) == 4
    assert shapely.area(districts).sum() == pytest.approx(1500**2, rel=1e-3)
    assert shapely.union_all(districts).area == pytest.approx(shapely.area(districts).sum(), rel=1e-3)


def ious(folder: Path, out: Path) -> Iterator[float]:
    for name in ("before", "flood"):
        main(["map", "--model", str(bundled_model()), "--image", str(folder / "images" / f"{name}.tif"), "--out",
              str(out / name), "map.scale=0.35", "map.page=false", "map.vectors=[]"])  # fmt: skip
        with rasterio.open(out / name / "mask.tif") as dataset:
            found, true = dataset.read(1) == 1, water(folder, name)
        yield (found & true).sum() / (found | true).sum()


def test_the_bundled_model_finds_its_water(valley: Path, tmp_path: Path) -> None:
    before, flood = ious(valley, tmp_path)
    print(f"IoU before {before:.3f}, flood {flood:.3f}")
    assert before > 0.75 and flood > 0.9


def test_validation_points_tell_the_truth(valley: Path) -> None:
    points, fields = layer(valley, "validation")
    assert len(points) == 300
    for name, expected in (("before", ["permanent"]), ("flood", ["permanent", "flooded"])):
        with rasterio.open(valley / "masks" / f"{name}.tif") as dataset:
            seen = [int(value[0]) for value in dataset.sample(shapely.get_coordinates(points))]
        assert [value > 0 for value in seen] == np.isin(fields["class"], expected).tolist()


def test_a_seed_plans_the_same_valley_again() -> None:
    def plan(seed: int) -> list[shapely.Geometry]:
        made = Valley(seed, 900.0, 700.0)
        return [made.river, *(road.line for road in made.roads), *(house.outline for house in made.houses)]

    assert plan(3) == plan(3) and plan(3) != plan(4)


@pytest.mark.parametrize(
    ("override", "message"),
    [("count=3", "two pictures"), ("ground_sample_distance=null", "needs one"), ("height=200", "too small")],
)
def test_what_is_no_valley(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        from flood_seg.verbs.data.create import sample

        sample(["datamodule=valley", f"datamodule.sample.{override}"], out=tmp_path)
