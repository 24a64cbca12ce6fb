"""Scenes as jobs: from an upload to files that the command line would have made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio

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
    wait_until,
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
def done(server: Running, folder: Path) -> dict:
    """A successful job with options of its own."""
    scene = noise(folder / "Śmall scene.tif", 200, 300)
    asked = {
        "name": "A river",
        "threshold": "0.4",
        "options": json.dumps({"min_area": 5, "vectors": ["gpkg", "geojson"]}),
    }
    return wait_successful(server.url, new_job(server.url, data=asked, scene=scene)["id"])


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
    with httpx.Client(base_url=f"{server.url}/jobs/{done['id']}/files") as client:
        listed = {file["name"]: file for file in client.get("").json()["files"]}
        assert set(listed) == {"areas.geojson", "areas.gpkg", "item.json", "map.html", "mask.tif", "probability.tif"}
        whole = client.get("/mask.tif")
        content = (server.folder / "work/jobs" / done["id"] / "results/mask.tif").read_bytes()
        assert whole.content == content
        assert listed["mask.tif"]["size"] == len(content)
        assert whole.headers["content-type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
        assert whole.headers["content-disposition"] == 'attachment; filename="A%20river-mask.tif"' or (
            "A%20river-mask.tif" in whole.headers["content-disposition"])  # fmt: skip
        assert "last-modified" in whole.headers
        part = client.get("/mask.tif", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
        same = {"If-None-Match": whole.headers["etag"]}
        assert client.get("/mask.tif", headers=same).status_code == 304
        other = client.get("/mask.tif", headers={"Range": "bytes=10-19", "If-Range": '"another"'})
        assert (other.status_code, other.content) == (200, content)
        beyond = client.get("/mask.tif", headers={"Range": f"bytes={len(content)}-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
        assert client.get("/mask.tif", headers={"Range": "lines=1"}).content == content
        assert client.head("/mask.tif").headers["content-length"] == str(len(content))


@pytest.mark.parametrize(
    "name",
    ["..%2Fjob.json", "%2e%2e/job.json", "..%2f..%2f..%2fqueue.txt", "mask.tif%00", ".blocks", "no.tif", "a" * 3000],
)
def test_no_file_beside_the_results_is_told(server: Running, done: dict, name: str) -> None:
    answer = httpx.get(f"{server.url}/jobs/{done['id']}/files/{name}")
    assert answer.status_code == 404
    assert str(server.folder) not in answer.text


def test_events_end_with_the_job(server: Running, folder: Path) -> None:
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
    assert httpx.get(f"{server.url}/jobs/{job['id'][:-1]}0/events").status_code == 404


def test_a_damaged_scene_is_refused_and_one_that_fails_harms_no_other(server: Running, folder: Path) -> None:
    text = folder / "text.tif"
    text.write_text("no image")
    answer = post_job(server.url, scene=text)
    assert (answer.status_code, answer.headers["content-type"]) == (415, "application/problem+json")
    assert str(server.folder) not in answer.text
    whole = noise(folder / "whole.tif", 600, 600)
    cut = folder / "cut.tif"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])  # its header is whole, most tiles are not
    answers = [post_job(server.url, scene=path) for path in (cut, whole)]
    bad, good = (answer.json() for answer in answers)
    assert answers[1].status_code == 201
    if answers[0].status_code == 201:
        failed = wait_for(server.url, bad["id"])
        assert (failed["status"], failed["problem"]["status"]) == ("failed", 422)
        assert "scene.tif" in failed["problem"]["detail"] or "block" in failed["problem"]["detail"]
        assert "/" not in failed["problem"]["detail"].replace("inputs/scene.tif", "")
    else:
        assert answers[0].status_code in (415, 422), answers[0].text
    wait_successful(server.url, good["id"])


def test_a_path_below_the_data_folder_is_read_and_none_elsewhere(server: Running) -> None:
    job = new_job(server.url, data={"path": "sub/there.tif"})
    assert job["inputs"] == {"scene": "there.tif"}
    wait_successful(server.url, job["id"])
    for path in (
        "../run/work/queue.txt",
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
    wait_successful(server.url, first.json()["id"])
    assert httpx.delete(f"{server.url}/jobs/{first.json()['id']}").status_code == 204
    assert post_job(server.url, headers=key, scene=scene).status_code == 201


def test_jobs_are_listed_the_newest_first(server: Running, done: dict) -> None:
    everything = httpx.get(f"{server.url}/jobs").json()
    ids = [job["id"] for job in everything["jobs"]]
    assert ids == sorted(ids, reverse=True)
    assert done["id"] in ids
    page = httpx.get(f"{server.url}/jobs", params={"status": "successful", "limit": 1, "offset": 1}).json()
    assert len(page["jobs"]) == 1
    assert page["total"] == sum(job["status"] == "successful" for job in everything["jobs"])
    assert httpx.get(f"{server.url}/jobs", params={"status": "done"}).status_code == 422


def test_a_finished_job_is_removed_with_its_files(server: Running, folder: Path) -> None:
    job = new_job(server.url, scene=noise(folder / "gone.tif", 90, 100))["id"]
    wait_successful(server.url, job)
    assert httpx.delete(f"{server.url}/jobs/{job}").status_code == 204
    for path in ("", "/files", "/files/mask.tif", "/events"):
        assert httpx.get(f"{server.url}/jobs/{job}{path}").status_code == 404
    assert httpx.delete(f"{server.url}/jobs/{job}").status_code == 404
    jobs = server.folder / "work" / "jobs"
    wait_until(lambda: not any(job in path.name for path in jobs.iterdir()))


def test_the_truth_is_compared_with_the_mask(server: Running, folder: Path) -> None:
    scene = noise(folder / "compared.tif", 128, 192)
    first = new_job(server.url, scene=scene)
    wait_successful(server.url, first["id"])
    with rasterio.open(server.folder / "work/jobs" / first["id"] / "results/mask.tif") as mask:
        truth, profile = mask.read(1), mask.profile
    truth[:10, :20] = 1 - truth[:10, :20]  # 200 pixels are wrong
    wrong_water = int(truth[:10, :20].sum())  # missed by the mask
    truth[100:, :] = 255  # and 28 × 192 are not known
    water = int((truth == 1).sum())
    path = folder / "truth.tif"
    plain = {key: profile[key] for key in ("height", "width", "count", "dtype", "nodata", "crs", "transform")}
    with rasterio.open(path, "w", driver="GTiff", **plain) as out:
        out.write(truth, 1)
    job = wait_successful(server.url, new_job(server.url, scene=scene, truth=path)["id"])
    found, hits = job["results"]["truth"], water - wrong_water
    assert found["pixels"] == {
        "water_right": hits, "land_right": 100 * 192 - hits - 200, "missed": wrong_water,
        "false_alarm": 200 - wrong_water, "not_compared": 28 * 192,
    }  # fmt: skip
    assert found["iou"] == pytest.approx(hits / (hits + 200), abs=1e-6)
    with rasterio.open(server.folder / "work/jobs" / job["id"] / "results/differences.tif") as differences:
        values = differences.read(1)
    expected = np.zeros((128, 192), np.uint8)
    expected[:10, :20] = np.where(truth[:10, :20] == 1, 1, 2)
    expected[100:] = 255
    np.testing.assert_array_equal(values, expected)
