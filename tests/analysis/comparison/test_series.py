"""`flood-seg flood-series` against hand-computed rasters and another way to warp."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.warp import reproject
from scipy.ndimage import gaussian_filter

from flood_seg.cli.main import main
from tests.analysis.conftest import UTM, write_result

DAY = datetime(2026, 7, 14, 10, tzinfo=UTC)
SQUARE = 100 / 0.9996**2  # m² of a pixel of 10 m at the central meridian of UTM
NONE = 255


def run(out: Path, *arguments: str | Path) -> int:
    try:
        main(["flood-series", "--results", *map(str, arguments), "--out", str(out)])
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def load(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "series.json").read_text())


def test_dates_of_one_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In any order; two results of one day are one date, on which water in one of them is water."""
    days = {
        "c": (DAY + timedelta(days=2), [[0, 0, 1, NONE], [0, 1, 1, NONE]]),
        "a": (DAY, [[1, 0, 0, NONE], [0, 0, 0, NONE]]),
        "b1": (DAY + timedelta(days=1), [[1, 1, NONE, NONE], [0, 0, NONE, NONE]]),
        "b2": (DAY + timedelta(days=1, hours=1), [[NONE, 0, 1, NONE], [1, 0, 0, NONE]]),
    }
    folders = [write_result(tmp_path / name, np.array(mask), time=time) for name, (time, mask) in days.items()]
    out = tmp_path / "series"
    assert run(out, *folders) == 0
    with rasterio.open(out / "maximum.tif") as layer:
        assert layer.read(1).tolist() == [[1, 1, 1, NONE], [1, 1, 1, NONE]]
        assert (layer.crs, layer.transform) == (UTM["crs"], UTM["transform"])
        assert layer.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    with rasterio.open(out / "count.tif") as layer:
        never = layer.nodata
        assert layer.read(1).tolist() == [[2, 1, 2, never], [1, 1, 1, never]]
        assert layer.read(2).tolist() == [[3, 3, 3, never], [3, 3, 3, never]]
        assert layer.descriptions == ("dates under water", "observations")
    found = load(out)
    assert [row["flooded"]["pixels"] for row in found["dates"]] == [1, 4, 3]
    areas = [row["flooded"]["area_m2"] for row in found["dates"]]
    assert areas == pytest.approx([SQUARE, 4 * SQUARE, 3 * SQUARE], 1e-4)
    assert [row["observed_share"] for row in found["dates"]] == [1, 1, 1]  # of what was ever observed
    assert [len(row["results"]) for row in found["dates"]] == [1, 2, 1]
    assert found["maximum"]["flooded"]["pixels"] == 6
    assert found["peak"] == "2026-07-15T10:00:00Z"
    assert (found["meaning"], found["warnings"]) == ("all water", [])
    rows = list(csv.DictReader((out / "series.csv").open()))
    assert [row["flooded_pixels"] for row in rows] == ["1", "4", "3"]
    assert [float(row["flooded_m2"]) for row in rows] == areas
    with Image.open(out / "series.png") as plot:
        assert plot.size[0] > 500
    assert "Ever flooded" in capsys.readouterr().out


def test_what_was_not_observed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = write_result(tmp_path / "whole", np.ones((10, 10), int), time=DAY)
    half = np.ones((10, 10), int)
    half[:, 5:] = NONE
    part = write_result(tmp_path / "part", half, time=DAY + timedelta(days=1))
    assert run(tmp_path / "series", whole, part) == 0
    assert [row["observed_share"] for row in load(tmp_path / "series")["dates"]] == [1, 0.5]
    assert "1 of 2 dates observed less than 95%" in load(tmp_path / "series")["warnings"][0]
    assert "lower bounds" in capsys.readouterr().err


def test_flood_without_permanent_water(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [write_result(tmp_path / name, np.ones((2, 3), int), time=DAY + timedelta(days=day))
               for day, name in enumerate("ab")]  # fmt: skip
    for folder, flood in zip(folders, ([[2, 2, 0], [1, 0, 0]], [[2, 0, 1], [1, 0, NONE]]), strict=True):
        with rasterio.open(folder / "flood.tif", "w", driver="GTiff", height=2, width=3, count=1, dtype="uint8",
                           nodata=NONE, **UTM) as out:  # fmt: skip
            out.write(np.array(flood, np.uint8), 1)
    assert run(tmp_path / "series", *folders) == 0
    with rasterio.open(tmp_path / "series" / "maximum.tif") as layer:
        assert layer.read(1).tolist() == [[2, 2, 1], [1, 0, 0]]
    found = load(tmp_path / "series")
    assert [row["permanent_water"]["pixels"] for row in found["dates"]] == [2, 1]
    assert found["meaning"] == "water without permanent water"
    other = write_result(tmp_path / "c", np.ones((2, 3), int), time=DAY + timedelta(days=5))
    assert run(tmp_path / "mixed", *folders, other) == 0
    assert "flooded means different things" in capsys.readouterr().err


def test_other_grids_are_warped_to_the_finest(tmp_path: Path) -> None:
    def lakes(height: int, width: int, seed: int) -> np.ndarray:
        return (gaussian_filter(np.random.default_rng(seed).normal(0, 1, (height, width)), 4) > 0).astype(np.uint8)

    fine = lakes(60, 70, 0)
    place = {"crs": "EPSG:32633", "transform": from_origin(28_000, 5_015_000, 23, 23)}  # another zone, 10 km wide
    coarse = lakes(40, 50, 1)
    first = write_result(tmp_path / "fine", fine, time=DAY, transform=from_origin(499_700, 4_999_700, 10, 10))
    second = write_result(tmp_path / "coarse", coarse, time=DAY + timedelta(days=1), crs=place["crs"],
                          transform=from_origin(*to_zone_33(499_800, 4_999_800), 23, 23))  # fmt: skip
    place["transform"] = from_origin(*to_zone_33(499_800, 4_999_800), 23, 23)
    out = tmp_path / "series"
    assert run(out, first, second) == 0
    with rasterio.open(out / "count.tif") as layer:
        flooded, observed = layer.read()
        shape, transform = layer.shape, layer.transform
        assert layer.crs == UTM["crs"]
        assert abs(transform.a) == 10
        assert (transform.c - 499_700) % 10 == (transform.f - 4_999_700) % 10 == 0
    expected = []
    for values, source in ((fine, {"crs": UTM["crs"], "transform": from_origin(499_700, 4_999_700, 10, 10)}),
                           (coarse, place)):  # fmt: skip
        found = np.full(shape, NONE, np.uint8)
        reproject(values, found, src_crs=source["crs"], src_transform=source["transform"], dst_crs=UTM["crs"],
                  dst_transform=transform, resampling=Resampling.nearest, init_dest_nodata=False)  # fmt: skip
        expected.append(found)
    seen = sum((one != NONE).astype(int) for one in expected)
    assert (np.where(observed == 65535, 0, observed) == seen).all()
    assert (np.where(seen > 0, flooded, 0) == sum((one == 1).astype(int) for one in expected)).all()
    assert {0, 1, 2} == set(np.unique(seen))
    found = load(out)
    assert found["dates"][0]["flooded"]["pixels"] == fine.sum()
    size = float(found["dates"][1]["flooded"]["area_m2"])
    assert size == pytest.approx(coarse.sum() * 23**2 / 1.0014**2, rel=0.02)  # the scale at the edge of zone 33
    assert run(tmp_path / "wide", first, second, "series.resolution=20") == 0
    with rasterio.open(tmp_path / "wide" / "maximum.tif") as layer:
        assert layer.transform.a == 20


def to_zone_33(x: float, y: float) -> tuple[float, float]:
    from pyproj import Transformer

    return Transformer.from_crs(UTM["crs"], "EPSG:32633", always_xy=True).transform(x, y)


def test_wrong_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.ones((4, 4), int)
    one = write_result(tmp_path / "one", mask, time=DAY)
    same = write_result(tmp_path / "same", mask, time=DAY + timedelta(hours=2))
    far = write_result(tmp_path / "far", mask, time=DAY + timedelta(days=1), transform=from_origin(0, 0, 10, 10))
    photo = write_result(tmp_path / "photo", mask, time=DAY + timedelta(days=1), crs=None)
    for folders, message in [((one,), "1 result of one date"), ((one, same), "2 results of one date"),
                             ((one, far), "lies elsewhere"), ((one, photo), "is not georeferenced"),
                             ((one, tmp_path / "none"), "is not a folder")]:  # fmt: skip
        assert run(tmp_path / "series", *folders) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "series").exists()


def test_unknown_times_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of files; of one day they are two dates, since they may have been copied together."""
    source = {"flood_seg:datetime_source": "modification time of the file"}
    mask = np.ones((4, 4), int)
    folders = [write_result(tmp_path / name, mask, time=DAY + timedelta(hours=number), crs=None, **source)
               for number, name in enumerate("ab")]  # fmt: skip
    assert run(tmp_path / "series", *folders) == 0
    assert "2 of 2 dates are those of files" in capsys.readouterr().err
    assert load(tmp_path / "series")["dates"][0]["flooded"] == {"pixels": 16, "area_m2": None}
