"""From a valley whose truth is known to its situation report: the analyses agree with it and with each other."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import rasterio

from flood_seg.cli.main import main
from tests.analysis.conftest import write_result
from tests.analysis.report.test_report import Page

LAYERS = ("roads", "buildings", "places", "depots", "districts")
PIXEL = 4.0  # m²


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valley, the map that a perfect model would make of its flood, and what follows from it."""
    folder = tmp_path_factory.mktemp("chain")
    valley = folder / "valley"
    size = [f"datamodule.sample.{key}" for key in ("height=750", "width=750", "ground_sample_distance=2")]
    main(["data", "sample", "--out", str(valley), "datamodule=valley", *size])
    water = {}
    for name in ("before", "flood"):
        with rasterio.open(valley / "masks" / f"{name}.tif") as dataset:
            water[name] = dataset.read(1) > 0
            place = {"crs": dataset.crs.to_string(), "transform": dataset.transform}
    truth, normal = water["flood"], water["before"]
    write_result(folder / "map", truth, truth.astype(float), **place)
    with rasterio.open(folder / "map" / "mask.tif") as mask:
        profile = mask.profile
    with rasterio.open(folder / "map" / "flood.tif", "w", **profile) as out:
        out.write(truth.astype("uint8") + (truth & normal), 1)
    layers = {name: str(valley / "layers" / f"{name}.gpkg") for name in (*LAYERS, "validation")}
    results, impact = ["--results", str(folder / "map")], str(folder / "impact")
    main(["flood-area", *results, "--districts", layers["districts"], "--validation", layers["validation"]])
    given = [part for name in LAYERS for part in (f"--{name}", layers[name])]
    people = str(valley / "layers" / "population.tif")
    main(["impact", "--flood", str(folder / "map"), "--out", impact, "--population", people, *given])
    options = ["report.language=ru", "report.formats=[html,csv]"]
    main(["report", *results, "--impact", impact, "--out", str(folder / "sitrep"), *options])
    (folder / "truth.json").write_text(json.dumps({"flooded": float((truth & ~normal).sum() * PIXEL)}))
    return folder


def test_the_area_is_the_true_one(chain: Path) -> None:
    with (chain / "sitrep" / "sitrep.csv").open(encoding="utf-8") as file:
        rows = {row["name"]: {key: float(value or "nan") for key, value in row.items() if key != "name"}
                for row in csv.DictReader(file)}  # fmt: skip
    true = json.loads((chain / "truth.json").read_text())["flooded"]
    total = rows.pop("all")
    assert total["flooded_m2"] == pytest.approx(true, rel=0.005), "a grid of UTM is 0.08 % off the ellipsoid here"
    assert total["flooded_low_95_m2"] <= true <= total["flooded_high_95_m2"]
    assert sum(row["flooded_m2"] for row in rows.values()) == pytest.approx(total["flooded_m2"], rel=0.01)
    assert sum(row["people"] for row in rows.values()) == pytest.approx(total["people"], abs=1)
    assert total["land_m2"] + total["permanent_m2"] + total["not_observed_m2"] == pytest.approx(1500**2, rel=0.005)


def test_the_hamlet_on_the_rise_is_cut_off_and_the_south_is_reached_by_a_detour(chain: Path) -> None:
    places = {row[1]: row[2] for row in Page(chain / "sitrep" / "sitrep.html").rows if len(row) == 4}
    assert places["Holm"] == "отрезан"
    assert places["Millbrook"].startswith("отрезан")
    assert places["Southmead"].startswith("объезд длиннее на")
    assert "Highfield" not in places


def test_all_that_the_analyses_say_of_limits_is_translated(chain: Path) -> None:
    items = re.findall(r'id="limits">.*?</ul>', (chain / "sitrep" / "sitrep.html").read_text("utf-8"), re.DOTALL)[0]
    sentences = re.findall(r"<li>(.*?)</li>", items)
    assert len(sentences) >= 7
    assert not [one for one in sentences if not re.search("[а-я]", one)]
