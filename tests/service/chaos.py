"""Kills service, workers, steps and Redis at random moments while jobs run, and checks that each job ends once, right.

    python -m tests.service.chaos --jobs 20 --kills 30 --seed 0

Redis is part of it where `redis-server` is installed; the queue is SQLite otherwise.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.service.posting import checksums, noise, run_map, smoothing
from tests.service.running import Running

SIZES = ((300, 400), (560, 700), (900, 640), (2100, 600))  # of the scenes; the last one has two blocks
WORKERS = 2
FINISHED = ("successful", "failed", "dismissed")


class Chaos:
    """A service with its workers and its Redis."""

    def __init__(self, folder: Path, model: Path, seed: int) -> None:
        self.folder, self._model, self._random = folder, model, random.Random(seed)
        self.killed: Counter[str] = Counter()
        self._port, self._redis = 0, None
        if shutil.which("redis-server"):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._port = free.getsockname()[1]
            self._start_redis()
        self._start_service()

    def _start_redis(self) -> None:
        words = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._redis = subprocess.Popen(words, cwd=self.folder, **quiet)

    def _start_service(self) -> None:
        queue = f"redis://127.0.0.1:{self._port}/0" if self._port else "sqlite"
        words = [f"serve.jobs.workers={WORKERS}", "serve.jobs.attempts=1000", f"serve.jobs.queue={queue}"]
        self.service = Running(self.folder, "--model", str(self._model), "serve.limits.rate=0", *words)
        self.service.wait_ready()

    def kill(self) -> None:
        """Kills something, and starts again what nothing else would."""
        victim = self._random.choice(["service", "worker", "worker", "step", "redis"])
        if victim == "redis" and self._redis:
            self._redis.kill()
            self._redis.wait()
            time.sleep(self._random.uniform(0, 2))
            self._start_redis()
        elif victim == "service":
            self.service.stop(signal.SIGKILL)
            self._start_service()
        else:
            children = psutil.Process(self.service.process.pid).children(recursive=True)
            word = "worker" if victim == "worker" else "flood_seg.service.jobs.child"
            found = [one for one in children if word in _words(one)]
            if not found:
                return
            with suppress(psutil.Error):
                self._random.choice(found).kill()
        self.killed[victim] += 1

    def post(self, scene: Path, key: str) -> str:
        """Posts a job until it is accepted, as a client does whose connection breaks."""
        while True:
            with suppress(httpx.TransportError):
                files = {"scene": (scene.name, scene.read_bytes())}
                headers = {"Idempotency-Key": key}
                answer = httpx.post(f"{self.service.url}/jobs", files=files, headers=headers, timeout=60)
                if answer.status_code in (200, 201):
                    return str(answer.json()["id"])
                if answer.status_code != 503:
                    raise AssertionError(answer.text)
            time.sleep(0.2)

    def jobs(self) -> list[dict[str, Any]]:
        """Returns all jobs, as soon as the service answers."""
        while True:
            with suppress(httpx.TransportError):
                return list(httpx.get(f"{self.service.url}/jobs?limit=1000", timeout=60).json()["jobs"])
            time.sleep(0.2)

    def stop(self) -> None:
        self.service.stop()
        if self._redis:
            self._redis.kill()
            self._redis.wait()


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def run(jobs: int, kills: int, seed: int, pause: float) -> dict[str, Any]:
    """Runs jobs, kills meanwhile, and checks everything; returns what has happened."""
    folder = Path(tempfile.mkdtemp())
    model = smoothing(folder)
    scenes = [noise(folder / f"{number}" / "scene.tif", *size, seed=number) for number, size in enumerate(SIZES)]
    expected = []
    for scene in scenes:
        out = run_map(folder, model, "--image", str(scene))
        expected.append(checksums(out))
        shutil.rmtree(out)
    print("expected files are made", flush=True)
    (folder / "run").mkdir()
    begun, dice = time.monotonic(), random.Random(seed)
    chaos = Chaos(folder / "run", model, seed)
    try:
        scene_of = {
            chaos.post(scenes[number % len(scenes)], f"job {number}"): number % len(scenes) for number in range(2)
        }
        posted = 2
        while sum(chaos.killed.values()) < kills or posted < jobs:
            time.sleep(dice.uniform(0, 2 * pause))
            if sum(chaos.killed.values()) < kills:
                chaos.kill()
            if posted < jobs and sum(chaos.killed.values()) * jobs >= posted * kills:  # spread over the kills
                scene_of[chaos.post(scenes[posted % len(scenes)], f"job {posted}")] = posted % len(scenes)
                posted += 1
        last, found = time.monotonic(), chaos.jobs()
        while any(job["status"] not in FINISHED for job in found):
            assert time.monotonic() < last + 1800, found
            time.sleep(1)
            found = chaos.jobs()
        assert {job["id"] for job in found} == set(scene_of), "a job was lost or is there twice"
        assert len(scene_of) == jobs
        for job in found:
            place = chaos.folder / "work" / "jobs" / job["id"]
            assert job["status"] == "successful", job
            states = [json.loads(path.read_bytes())["status"] for path in (place / "state").glob("*.json")]
            assert sum(status in FINISHED for status in states) == 1, states
            files = {name: digest for name, digest in checksums(place / "results").items() if name != "map.html"}
            wanted = {name: digest for name, digest in expected[scene_of[job["id"]]].items() if name != "map.html"}
            assert files == wanted, (job["id"], files)
            assert not (place / "work").exists()
        left = [path.name for path in (chaos.folder / "work" / "jobs").iterdir() if len(path.name) != 26]
        assert set(left) <= {".keys"}, left
    finally:
        chaos.stop()
    print(f"kept: {folder}" if sys.exc_info()[0] else f"{jobs} jobs are right", flush=True)
    shutil.rmtree(folder)
    return {
        "jobs": jobs, "killed": dict(chaos.killed), "attempts": sum(job["attempts"] for job in found),
        "seconds": round(time.monotonic() - begun),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=4.0, help="seconds between kills, on average")
    given = parser.parse_args()
    print(json.dumps(run(given.jobs, given.kills, given.seed, given.pause)), flush=True)
