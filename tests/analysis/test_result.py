"""Results of `flood-seg map` as analyses see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from flood_seg.analysis.result import DRY, FLOODED, PERMANENT, UNOBSERVED, MapResult, open_results
from flood_seg.errors import FloodSegError
from tests.analysis.conftest import UTM, write_result
from tests.conftest import make_spec

MASK = np.array([[0, 1, 1], [255, 0, 1]], np.uint8)


def values(result: MapResult, rows: int = 1) -> np.ndarray:
    return np.concatenate([strip for _, strip in result.flood.strips(rows)])


def test_all_water_is_flood_where_nothing_else_is_known(tmp_path: Path) -> None:
    result = MapResult.open(write_result(tmp_path / "map", MASK))
    assert values(result).tolist() == [[DRY, FLOODED, FLOODED], [UNOBSERVED, DRY, FLOODED]]
    assert (result.name, result.height, result.width, result.water) == ("map", 2, 3, 1)
    assert result.ground is not None
    assert result.time.year == 2026


@pytest.mark.parametrize(
    ("name", "layer", "expected"),
    [
        ("flood.tif", [[0, 1, 2], [255, 0, 2]], [[DRY, FLOODED, PERMANENT], [UNOBSERVED, DRY, PERMANENT]]),
        ("change.tif", [[2, 1, 3], [255, 0, 3]], [[DRY, FLOODED, PERMANENT], [UNOBSERVED, DRY, PERMANENT]]),
    ],
)
def test_water_that_is_not_flood(name: str, layer: list[list[int]], expected: list[list[int]], tmp_path: Path) -> None:
    folder = write_result(tmp_path / "map", MASK)
    profile = {"driver": "GTiff", "height": 2, "width": 3, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(folder / name, "w", **profile, **UTM) as out:
        out.write(np.array(layer, np.uint8), 1)
    assert values(MapResult.open(folder)).tolist() == expected


def test_the_class_that_is_water(tmp_path: Path) -> None:
    spec = make_spec(task="multiclass", class_names=("background", "roof", "water"), label_values=(0, 1, 2))
    assert MapResult.open(write_result(tmp_path / "a", MASK, spec=spec)).water == 2
    assert MapResult.open(tmp_path / "a", "roof").water == 1
    other = make_spec(task="multiclass", class_names=("background", "roof", "tree"), label_values=(0, 1, 2))
    for folder, chosen in ((write_result(tmp_path / "b", MASK, spec=other), None), (tmp_path / "a", "lake")):
        with pytest.raises(FloodSegError, match="class"):
            MapResult.open(folder, chosen)


def test_archives_are_all_of_their_scenes(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_result(tmp_path / "archive" / name, MASK)
    (tmp_path / "archive" / "collection.json").write_text("{}")
    single = write_result(tmp_path / "c", MASK)
    assert [result.name for result in open_results([tmp_path / "archive", single])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no item.json"), ("{", "damaged"), ("[]", "damaged"), ("{}", "not written by")]
)
def test_folders_that_are_no_results(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "item.json").write_text(content)
    with pytest.raises(FloodSegError, match=message):
        MapResult.open(tmp_path)


def test_missing_and_remote_folders(tmp_path: Path) -> None:
    with pytest.raises(FloodSegError, match="is not a folder"):
        MapResult.open(tmp_path / "nothing")
    with pytest.raises(FloodSegError, match="copy the results"):
        MapResult.open(Path("s3://bucket/maps"))
