"""What a form may ask for, and what is left behind of one that is refused: nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from flood_seg.service.jobs.intake.receive import receive_form
from flood_seg.service.jobs.records import Job, JobRequest, JobState, new_id
from flood_seg.service.jobs.run import now
from flood_seg.service.jobs.steps import own_place
from flood_seg.service.problems import Problem
from tests.service.loop import finish
from tests.service.posting import noise, post_job, smoothing, wait_until
from tests.service.running import Running, running_service


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without workers that takes few bytes."""
    folder = tmp_path_factory.mktemp("form")
    words = ("--model", str(smoothing(folder)), "serve.jobs.workers=0", "serve.limits.upload_gb=0.0005")
    with running_service(folder / "run", *words, "serve.jobs.quota_gb=0.0012") as service:
        yield service


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return noise(tmp_path / "scene.tif", 100, 100)


def files_of(server: Running) -> list[Path]:
    return list((server.folder / "work" / "jobs").iterdir()) if (server.folder / "work" / "jobs").is_dir() else []


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"threshold": "2"}, 422, "threshold"),
        ({"threshold": "high"}, 422, "threshold=high: give a number in [0, 1]"),
        ({"options": "{"}, 422, "options: is no JSON"),
        ({"options": "[1]"}, 422, "give a JSON object"),
        ({"options": "[" * 60_000}, 422, "options: is no JSON"),
        ({"options": '{"min_area": ' + "9" * 4000 + "}"}, 422, "int too large"),
        ({"options": '{"scale": "\\ud800"}'}, 422, r"map.scale=\ud800: give auto"),
        ({"options": json.dumps({"work_dir": "/tmp"})}, 422, "'work_dir' is not known; known are scale"),
        ({"options": json.dumps({"overlap": 0.9})}, 422, "map.overlap"),
        ({"options": json.dumps({"vectors": ["dxf"]})}, 422, "map.vectors"),
        ({"options": json.dumps({"scale": {"a": 1}})}, 422, "options: scale: give a number"),
        ({"options": json.dumps({"scale": "native map.page=false"})}, 422, "map.scale"),
        ({"model": "other"}, 404, "model other: is not served"),
        ({"path": "x.tif"}, 422, "scene: is given as a file and as path"),
        ({"before_path": "x.tif"}, 403, "data_dir is not set"),
        ({"colour": "red"}, 422, "field 'colour': is not known; known are scene"),
        ({"name": "x" * 70_000}, 413, "field name: is longer"),
    ],
)
def test_wrong_fields_are_one_line(
    server: Running, scene: Path, asked: dict[str, str], status: int, words: str
) -> None:
    answer = post_job(server.url, data=asked, scene=scene)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert files_of(server) == []


def test_files_of_other_kinds_are_refused(server: Running, scene: Path, tmp_path: Path) -> None:
    for name, words in (("roads.zip", "is an archive"), ("roads.shp", "GeoPackage"), ("roads.exe", "format")):
        (tmp_path / name).write_bytes(b"PK\3\4")
        answer = post_job(server.url, scene=scene, roads=tmp_path / name)
        assert answer.status_code == 415
        assert words in answer.json()["detail"]
    (tmp_path / "empty.tif").touch()
    assert post_job(server.url, scene=tmp_path / "empty.tif").json()["detail"] == "scene: the file is empty"
    assert post_job(server.url, truth=scene).json()["detail"].startswith("there is no scene")
    assert post_job(server.url, scene=scene, depots=scene).status_code == 422
    assert httpx.post(f"{server.url}/jobs", content=scene.read_bytes()).status_code == 415
    assert files_of(server) == []


def test_names_are_shown_and_never_used(server: Running, scene: Path) -> None:
    name = "../../../../etc/cron.d/x\r\n\x00.TIF"
    answer = httpx.post(f"{server.url}/jobs", files={"scene": (name, scene.read_bytes())}, timeout=60)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    folder = server.folder / "work" / "jobs" / job["id"]
    assert [path.name for path in (folder / "inputs").iterdir()] == ["scene.tif"]
    assert "/" not in job["name"]
    assert "\n" not in job["name"]
    assert httpx.delete(f"{server.url}/jobs/{job['id']}").json()["status"] == "dismissed"
    assert httpx.delete(f"{server.url}/jobs/{job['id']}").status_code == 204


def test_what_is_too_large_leaves_nothing(server: Running, scene: Path) -> None:
    large = scene.read_bytes() + bytes(600_000)
    answer = httpx.post(f"{server.url}/jobs", files={"scene": ("scene.tif", large)}, timeout=60)
    assert answer.status_code == 413
    kept = []
    for _ in range(3):  # of 400 kB each, until 1.2 MB are used up
        content = scene.read_bytes() + bytes(370_000)
        answer = httpx.post(f"{server.url}/jobs", files={"scene": ("scene.tif", content)}, timeout=60)
        kept += [answer.json()["id"]] if answer.status_code == 201 else []
    assert answer.status_code == 507, kept
    assert "quota" in answer.json()["detail"]
    assert len(kept) == 2
    for job in kept:
        httpx.delete(f"{server.url}/jobs/{job}")
        httpx.delete(f"{server.url}/jobs/{job}")
    assert files_of(server) == []


def test_an_upload_that_ends_early_leaves_nothing(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    head = b'--b\r\nContent-Disposition: form-data; name="scene"; filename="s.tif"\r\n\r\n'
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 400000\r\n\r\n" + head + bytes(200_000)
        )
        wait_until(lambda: bool(files_of(server)), 20)
    wait_until(lambda: not files_of(server), 20)
    damaged = httpx.post(f"{server.url}/jobs", content=head + b"x", timeout=60,
                         headers={"Content-Type": "multipart/form-data; boundary=b"})  # fmt: skip
    assert damaged.status_code == 400
    assert files_of(server) == []


def test_files_keep_the_suffix_of_their_format(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()

    head = b'--b\r\nContent-Disposition: form-data; name="roads"; filename="Roads.GeoParquet"'

    async def body() -> AsyncIterator[bytes]:
        yield head + b"\r\n\r\nPAR1\r\n--b--\r\n"

    full = Problem(HTTPStatus.INSUFFICIENT_STORAGE, "full")
    form = finish(receive_form("multipart/form-data; boundary=b", body(), tmp_path, 100, full, digests=False))
    assert (tmp_path / form.files["roads"].path).name == "roads.geoparquet"
    address = "https://host/roads.geoparquet?part=a.b"
    request = JobRequest(new_id(), now(), "alice", "scene", "default", {"roads": address})
    assert own_place(Job(tmp_path, request, JobState(), 0), "roads") == "inputs/roads.geoparquet"
