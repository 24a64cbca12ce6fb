"""Scenes as jobs: from an upload to files that the command line would have made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio

from tests.scenes.conftest import write_scene
from tests.service.posting import (
    checksums,
    new_job,
    noise,
    post_job,
    read_job,
    record,
    run_map,
    smoothing,
    wait_for,
    wait_successful,
)
from tests.service.running import Running, running_service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return smoothing(folder)


@pytest.fixture(scope="module")
def server(folder: Path, model: Path) -> Iterator[Running]:
    data = folder / "data"
    (data / "sub").mkdir(parents=True)
    noise(data / "sub" / "there.tif", 130, 150)
    with running_service(folder / "run", "--model", str(model), f"serve.security.data_dir={data}") as service:
        yield service


@pytest.fixture(scope="module")
def truth(folder: Path) -> Path:
    """A label raster of random blots, which is not known in a corner."""
    labels = (np.random.default_rng(1).random((56, 60)) > 0.5).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    labels[510:, 500:] = 255
    return write_scene(folder / "labels.tif", labels[:, :, None], nodata=255)


@pytest.fixture(scope="module")
def done(server: Running, folder: Path, truth: Path) -> dict:
    """A successful job with options of its own, and the truth; its rasters have overviews."""
    scene, options = noise(folder / "Śmall scene.tif", 560, 600), {"min_area": 5, "vectors": ["gpkg", "geojson"]}
    asked = {"name": "A river", "threshold": "0.4", "options": json.dumps(options)}
    return wait_successful(server.url, new_job(server.url, data=asked, scene=scene, truth=truth)["id"])


def test_the_files_are_those_of_the_command_line(server: Running, done: dict, folder: Path, model: Path) -> None:
    words = ("threshold=0.4", "map.min_area=5", "map.vectors=[gpkg,geojson]")
    expected = run_map(folder, model, "--image", str(folder / "Śmall scene.tif"), *words)
    results = server.folder / "work" / "jobs" / done["id"] / "results"
    found = checksums(results)
    names = {"mask.tif", "probability.tif", "areas.gpkg", "areas.geojson"}
    assert names <= set(found)
    assert {name: found[name] for name in names} == {name: checksums(expected)[name] for name in names}
    assert record(results) == record(expected)
    assert done["results"]["map"]["shares"] == record(expected)["flood_seg:shares"]
    assert (done["name"], done["progress"], done["attempts"], done["problem"]) == ("A river", 1, 1, None)
    assert not (server.folder / "work" / "jobs" / done["id"] / "work").exists()


def test_files_have_ranges_and_tags(server: Running, done: dict) -> None:
    with httpx.Client(base_url=f"{server.url}/jobs/{done['id']}") as client:
        listed = {file["name"]: file for file in client.get("/files").json()["files"]}
        assert set(listed) == {
            "truth.json",
            "differences.tif",
            "truth.tif",
            "areas.geojson",
            "areas.gpkg",
            "item.json",
            "map.html",
            "mask.tif",
            "probability.tif",
        }
        whole = client.get("/files/mask.tif")
        content = (server.folder / "work/jobs" / done["id"] / "results/mask.tif").read_bytes()
        assert whole.content == content
        assert listed["mask.tif"]["size"] == len(content)
        assert whole.headers["content-type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
        assert whole.headers["content-disposition"] == "attachment; filename*=utf-8''A%20river-mask.tif"
        assert "last-modified" in whole.headers
        part = client.get("/files/mask.tif", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
        same = {"If-None-Match": whole.headers["etag"]}
        assert client.get("/files/mask.tif", headers=same).status_code == 304
        other = client.get("/files/mask.tif", headers={"Range": "bytes=10-19", "If-Range": '"another"'})
        assert (other.status_code, other.content) == (200, content)
        beyond = client.get("/files/mask.tif", headers={"Range": f"bytes={len(content)}-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
        for ignored in ("lines=1", "bytes=", "bytes=" + "1-11111" * 40 + "x", f"bytes={'9' * 5000}-"):
            assert client.get("/files/mask.tif", headers={"Range": ignored}).content == content
        assert client.head("/files/mask.tif").headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    ("ranges", "status", "parts"),
    [
        ("bytes=-0", 416, ""), ("bytes=900000000-,-0", 416, ""), ("bytes=5-2", 200, ""), ("bytes=", 200, ""),
        ("bytes=" + "9" * 5000 + "-", 200, ""), ("bytes=0-" + "9" * 5000, 200, ""),
        ("bytes=0-1, 900000000-", 206, "bytes 0-1/"), ("bytes=,3-4,,", 206, "bytes 3-4/"),
        ("bytes=" + "1-111" * 400 + "x", 200, ""),  # a pattern of all ranges would take for ever
        ("bytes=" + "0-0," * 3000, 200, ""),
    ],
    ids=range(10),
)  # fmt: skip
def test_odd_ranges_are_left_out_or_refused(server: Running, done: dict, ranges: str, status: int, parts: str) -> None:
    answer = httpx.get(f"{server.url}/jobs/{done['id']}/files/mask.tif", headers={"Range": ranges}, timeout=10)
    assert answer.status_code == status
    assert answer.headers.get("content-range", "").startswith(parts)
    if status == 416:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "name",
    ["..%2Fjob.json", "%2e%2e/job.json", "..%2f..%2f..%2fqueue.txt", "mask.tif%00", ".blocks", "no.tif", "a" * 3000],
)
def test_no_file_beside_the_results_is_told(server: Running, done: dict, name: str) -> None:
    answer = httpx.get(f"{server.url}/jobs/{done['id']}/files/{name}")
    assert answer.status_code == 404
    assert str(server.folder) not in answer.text


def test_events_end_with_the_job_which_is_removed_with_its_files(server: Running, folder: Path) -> None:
    job = new_job(server.url, scene=noise(folder / "events.tif", 100, 120))
    states = []
    with httpx.stream("GET", f"{server.url}/jobs/{job['id']}/events", timeout=120) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in events.iter_lines():
            if line.startswith("event:"):
                kind = line.partition(":")[2].strip()
            if line.startswith("data:"):
                assert kind == "state"
                states.append(json.loads(line.partition(":")[2]))
    assert [state["progress"] for state in states] == sorted(state["progress"] for state in states)
    assert states[-1]["status"] == "successful"
    assert states[-1] == read_job(server.url, job["id"])
    assert httpx.delete(f"{server.url}/jobs/{job['id']}").status_code == 204
    for path in ("", "/files", "/files/mask.tif", "/events"):
        assert httpx.get(f"{server.url}/jobs/{job['id']}{path}").status_code == 404
    assert httpx.delete(f"{server.url}/jobs/{job['id']}").status_code == 404
    assert not any(job["id"] in path.name for path in (server.folder / "work" / "jobs").iterdir())


def test_a_damaged_scene_is_refused_and_one_that_fails_harms_no_other(server: Running, folder: Path) -> None:
    text = folder / "text.tif"
    text.write_text("no image")
    answer = post_job(server.url, scene=text)
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
    assert str(server.folder) not in answer.text
    whole = noise(folder / "whole.tif", 600, 600)
    cut = folder / "cut.tif"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])  # its header is whole, most tiles are not
    bad, good = new_job(server.url, scene=cut), new_job(server.url, data={"path": "sub/there.tif"})
    failed = wait_for(server.url, bad["id"])
    assert (failed["status"], failed["problem"]["status"]) == ("failed", 422)
    assert failed["problem"]["detail"].startswith("inputs/scene.tif: ")
    assert str(server.folder) not in str(failed)
    assert good["inputs"] == {"scene": "there.tif"}
    wait_successful(server.url, good["id"])
    results = [file for file in (server.folder / "work/jobs" / good["id"] / "results").rglob("*") if file.is_file()]
    assert not [file.name for file in results if str(folder).encode() in file.read_bytes()]


def test_no_path_elsewhere_is_read(server: Running) -> None:
    (server.folder / "secret.tif").touch()
    for path in (
        "../run/secret.tif",
        "/etc/passwd",
        "sub/none.tif",
        "http://127.0.0.1:1/x.tif",
        "https://example.org/x.tif",
    ):
        answer = post_job(server.url, data={"path": path})
        assert answer.status_code in (403, 415, 422), (path, answer.text)
        assert str(server.folder.parent) not in answer.text


def test_the_same_request_is_the_same_job(server: Running, folder: Path) -> None:
    scene, key = noise(folder / "once.tif", 90, 90), {"Idempotency-Key": "a key"}
    first = post_job(server.url, headers=key, scene=scene)
    again = post_job(server.url, headers=key, scene=scene)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == again.headers["location"] == f"/jobs/{first.json()['id']}"
    other = post_job(server.url, headers=key, data={"threshold": "0.7"}, scene=scene)
    assert (other.status_code, other.json()["detail"]) == (
        422, "this Idempotency-Key is of another request; choose a new one")  # fmt: skip
    for status in (200, 204):  # is dismissed, then removed
        assert httpx.delete(f"{server.url}/jobs/{first.json()['id']}").status_code == status
    last = post_job(server.url, headers=key, scene=scene)
    assert last.status_code == 201
    assert httpx.delete(f"{server.url}/jobs/{last.json()['id']}").json()["status"] == "dismissed"


def test_jobs_are_listed_the_newest_first(server: Running, done: dict) -> None:
    everything = httpx.get(f"{server.url}/jobs").json()
    ids = [job["id"] for job in everything["jobs"]]
    assert ids == sorted(ids, reverse=True)
    assert done["id"] in ids
    page = httpx.get(f"{server.url}/jobs", params={"status": "successful", "limit": 1, "offset": 1}).json()
    assert len(page["jobs"]) == 1
    assert page["total"] == sum(job["status"] == "successful" for job in everything["jobs"])
    assert httpx.get(f"{server.url}/jobs", params={"status": "done"}).status_code == 422


def test_the_truth_is_compared_with_the_mask(server: Running, done: dict, truth: Path) -> None:
    results = server.folder / "work" / "jobs" / done["id"] / "results"
    with rasterio.open(results / "mask.tif") as one, rasterio.open(truth) as other:
        mask, label = one.read(1), other.read(1)
    known = label != 255
    hits, missed = int((mask & label & known).sum()), int(((mask == 0) & (label == 1)).sum())
    alarms = int(((mask == 1) & (label == 0)).sum())
    found = done["results"]["truth"]
    assert found["pixels"] == {
        "water_right": hits, "land_right": int(known.sum()) - hits - missed - alarms, "missed": missed,
        "false_alarm": alarms, "not_compared": 50 * 100,
    }  # fmt: skip
    assert found["iou"] == pytest.approx(hits / (hits + missed + alarms), abs=1e-6)
    with rasterio.open(results / "differences.tif") as differences:
        values = differences.read(1)
    expected = np.where(label == mask, 0, np.where(label == 1, 1, 2))
    np.testing.assert_array_equal(values, np.where(known, expected, 255))
    with rasterio.open(results / "truth.tif") as truth:
        np.testing.assert_array_equal(truth.read(1), np.where(known, label == 1, 255))
