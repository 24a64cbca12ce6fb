"""The collection and the index of an archive, read by pystac and by pyarrow."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pystac
import pytest

from flood_seg.errors import DataError
from flood_seg.products import archive
from flood_seg.products.archive import add_to_archive, is_archive, membership


def record(name: str, x: float = 7.0, day: int = 1, water: float = 10.0, created: int = 0) -> dict[str, Any]:
    ring = [[x, 50.0], [x + 0.1, 50.0], [x + 0.1, 50.1], [x, 50.1], [x, 50.0]]
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "bbox": [x, 50.0, x + 0.1, 50.1],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": f"2026-01-{day:02}T00:00:00Z", "created": f"2026-02-01T00:00:{created:02}Z",
            "flood_seg:area_m2": {"background": 90.0, "water": water}, "flood_seg:failed_blocks": {},
            "flood_seg:unobserved_share": 0.0, "flood_seg:model_spec": "{}", "flood_seg:warnings": [],
        },
        "assets": {"mask_tif": {"href": "./mask.tif", "roles": ["data"]}, "scene": {"href": "s3://b/s.tif"}},
    } | membership("maps")  # fmt: skip


def write(place: Path, *records: dict[str, Any]) -> dict[str, dict[str, Any]]:
    for one in records:
        (place / one["id"]).mkdir(parents=True, exist_ok=True)
        (place / one["id"] / "item.json").write_text(json.dumps(one))
    return {one["id"]: one for one in records}


def test_collection_and_index(tmp_path: Path) -> None:
    place = tmp_path / "maps"
    assert not is_archive(place)
    add_to_archive(place, write(place, record("a"), record("b", 8, 3, 55.5)))
    add_to_archive(place, write(place, record("c", 9, 2, 7)))
    assert is_archive(place)
    collection = pystac.Collection.from_file(place / "collection.json")
    assert collection.id == "maps"
    assert collection.extent.spatial.bboxes == [[7.0, 50.0, 9.1, 50.1]]
    assert [str(when)[:10] for when in collection.extent.temporal.intervals[0]] == ["2026-01-01", "2026-01-03"]
    items = list(collection.get_items())
    assert [item.id for item in items] == ["a", "b", "c"]
    assert items[1].get_collection().id == "maps"
    assert Path(items[1].assets["mask_tif"].get_absolute_href()) == place / "b" / "mask.tif"
    table = pq.read_table(place / "index.parquet")
    assert {b"geo", b"stac-geoparquet"} <= set(pq.read_metadata(place / "index.parquet").metadata)
    wet = pc.field(("flood_seg:area_m2", "water")) > 9
    west = pc.field(("bbox", "xmin")) < 8.05
    assert table.filter(wet & west)["id"].to_pylist() == ["a", "b"]
    assert table["flood_seg:unobserved_share"].to_pylist() == [0, 0, 0]
    assert table["assets"].to_pylist()[1]["mask_tif"]["href"] == "./b/mask.tif"
    assert "flood_seg:model_spec" not in table.column_names


def test_items_are_replaced_and_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_to_archive(tmp_path, write(tmp_path, record("a"), record("b")))
    for item in tmp_path.glob("*/item.json"):
        item.unlink()
    changed = {"b": record("b", water=77, created=1), "c": record("c") | {"geometry": None, "bbox": None}}
    add_to_archive(tmp_path, changed)
    rows = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert {row["id"]: row["flood_seg:area_m2"]["water"] for row in rows} == {"a": 10, "b": 77}  # c has no place
    assert len(json.loads((tmp_path / "collection.json").read_text())["links"]) == 4
    monkeypatch.setattr(archive, "_write", None)
    add_to_archive(tmp_path, {"b": record("b", water=77, created=1)})  # as it is


def test_a_lost_index_is_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_to_archive(tmp_path, write(tmp_path, record("a"), record("b")))
    (tmp_path / "index.parquet").unlink()
    add_to_archive(tmp_path, write(tmp_path, record("c")))
    assert sorted(pq.read_table(tmp_path / "index.parquet")["id"].to_pylist()) == ["a", "b", "c"]
    (tmp_path / "index.parquet").write_bytes(b"PAR1 no table")
    add_to_archive(tmp_path, write(tmp_path, record("d")))
    assert "it is made anew" in capsys.readouterr().err
    assert pq.read_table(tmp_path / "index.parquet").num_rows == 4
    (tmp_path / "collection.json").write_text("[]")
    with pytest.raises(DataError, match="is damaged"):
        add_to_archive(tmp_path, {"a": record("a")})


def test_one_more_of_many(tmp_path: Path) -> None:
    add_to_archive(tmp_path, {f"s{number}": record(f"s{number}", number / 100) for number in range(3000)})
    started = time.perf_counter()
    add_to_archive(tmp_path, {"new": record("new")})
    assert time.perf_counter() - started < 10
    assert pq.read_metadata(tmp_path / "index.parquet").num_rows == 3001
