"""The stack without containers: a service with keys, Redis, a worker, and Prometheus with the files of deploy/."""

from __future__ import annotations

import io
import json
import math
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
import yaml
from PIL import Image
from rasterio.transform import from_origin

from tests.deploy.test_files import DASHBOARD, PROMETHEUS
from tests.service.running import running_service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed"),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(*command: str, folder: Path) -> Iterator[None]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def add_key(folder: Path, name: str, role: str) -> str:
    command = [sys.executable, "-m", "flood_seg", "serve", "--add-key", name, "--role", role, "serve.work_dir=work"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def prometheus_config(folder: Path, service: str, key: str) -> Path:
    """Writes the configuration of deploy/ for these addresses, which asks each second."""
    for file in ("alerts.yml", "prometheus.yml"):
        shutil.copy(PROMETHEUS / file, folder)
    config = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (folder / "key").write_text(f"{key}\n")
    job = config["scrape_configs"][0]
    job["authorization"]["credentials_file"] = str(folder / "key")
    job["static_configs"][0]["targets"] = [httpx.URL(service).netloc.decode()]
    config["scrape_configs"] = [job]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


def picture(height: int, width: int, low: int = 0, high: int = 255) -> np.ndarray:
    """Noise over a slope: uint8 [height, width, 3]."""
    noise = np.random.default_rng(0).integers(-20, 20, (height, width, 3))
    slope = np.linspace(low, high, width)[None, :, None]
    return np.clip(slope + noise, 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def scene(path: Path) -> Path:
    pixels = picture(700, 900)
    place = {"crs": "EPSG:32633", "transform": from_origin(400000, 5600000, 1, 1)}
    with rasterio.open(path, "w", "GTiff", 900, 700, 3, dtype="uint8", **place) as file:
        file.write(pixels.transpose(2, 0, 1))
    return path


def predict(client: httpx.Client) -> None:
    """Predictions of all kinds, and faults of callers."""
    usual, dark = jpeg(picture(400, 600)), jpeg(picture(300, 300, 0, 5))
    header = {"Content-Type": "image/jpeg"}
    for _ in range(6):
        assert client.post("/predict", content=usual, headers=header).status_code == 200
    assert client.post("/predict", content=dark, headers=header).json()["warnings"]
    files = [("images", (f"{number}.jpg", usual, "image/jpeg")) for number in range(3)]
    assert client.post("/predict/batch", files=files).status_code == 200
    assert client.post("/predict", content=b"no image", headers=header).status_code == 415
    assert client.get("/models/none").status_code == 404


def run_job(client: httpx.Client, folder: Path) -> None:
    """A scene as a job, until it is done."""
    content = scene(folder / "scene.tif").read_bytes()
    answer = client.post("/jobs", files={"scene": ("scene.tif", content, "image/tiff")})
    assert answer.status_code == 201, answer.text
    end = time.monotonic() + 150
    while (job := client.get(answer.headers["location"]).json())["finished"] is None:
        assert time.monotonic() < end, job
        time.sleep(0.3)
    assert job["status"] == "successful", job


def test_each_panel_of_the_dashboard_shows_data_after_a_short_load(tmp_path: Path) -> None:
    redis, web = free_port(), free_port()
    queue = f"serve.jobs.queue=redis://127.0.0.1:{redis}/0"
    for folder in ("service", "prometheus"):
        (tmp_path / folder).mkdir()
    keys = {name: add_key(tmp_path / "service", name, role) for name, role in
            (("prometheus", "read"), ("alice", "predict"))}  # fmt: skip
    alice = {"Authorization": f"Bearer {keys['alice']}"}
    words = ("serve.jobs.workers=0", queue, "serve.security.require_keys=true", "serve.log=json")
    store = ["--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    worker = [sys.executable, "-m", "flood_seg", "worker", "serve.work_dir=work", queue]
    with (
        running("redis-server", "--port", str(redis), "--bind", "127.0.0.1", *store, folder=tmp_path),
        running_service(tmp_path / "service", *words) as service,
        running(*worker, folder=tmp_path / "service"),
    ):
        config = prometheus_config(tmp_path / "prometheus", service.url, keys["prometheus"])
        storage = ("--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{web}")
        with (
            running("prometheus", f"--config.file={config}", *storage, folder=tmp_path / "prometheus"),
            httpx.Client(base_url=f"http://127.0.0.1:{web}/api/v1/") as prometheus,
            httpx.Client(base_url=service.url, timeout=60, headers=alice) as client,
        ):

            def ask(expression: str) -> list[float]:
                try:
                    answer = prometheus.get("query", params={"query": expression}).json()
                except (httpx.ConnectError, json.JSONDecodeError):
                    return []
                assert answer["status"] == "success", answer
                return [float(series["value"][1]) for series in answer["data"]["result"]]

            wait_for(lambda: ask('up{job="flood-seg"}') == [1.0], "Prometheus does not reach the service")
            started = time.monotonic()
            predict(client)
            run_job(client, tmp_path)
            predict(client)
            time.sleep(3)  # two scrapes more
            window = f"{time.monotonic() - started + 5:.0f}s"
            empty = []
            for panel in DASHBOARD["panels"]:
                for target in panel["targets"]:
                    expression = target["expr"]
                    for name, value in (("$__rate_interval", window), ("$route", ".+"), ("$class", "water")):
                        expression = expression.replace(name, value)
                    shown = ask(expression)
                    print(f"{panel['title']}: {shown[:6]}")
                    if not any(map(math.isfinite, shown)):
                        empty.append((panel["title"], expression))
            assert not empty
            assert sum(ask("flood_seg_images_total")) == 20
            assert sum(ask("flood_seg_shifted_images_total")) == 2
            assert ask('flood_seg_job_seconds_count{status="successful"}') == [1.0]
            rules = prometheus.get("rules").json()["data"]["groups"][0]["rules"]
            assert len(rules) == 8
            assert {rule["health"] for rule in rules} == {"ok"}
