"""Measures `flood-seg serve` against the same model in this process, one image of 1000 px; prints JSON.

python benchmarks/service.py MODEL [--minutes M] [key=value ...]

The load comes from this process. What is compared is measured in turns, so that other load of the machine hits both.
"""

import argparse
import http.client
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import psutil

from flood_seg import Model, load_model
from flood_seg.config.compose import compose
from flood_seg.config.schema import InferConfig
from flood_seg.inference.engines import choose_engine, open_backend
from flood_seg.synthetic.scene import draw_scene

ROUNDS, REQUESTS, SECONDS, CLIENTS, MANY, STARTS = 5, 20, 5.0, 8, 64, 5


@contextmanager
def service(*words: str) -> Iterator[tuple[str, subprocess.Popen[str], float]]:
    """Yields the host and port of a running service, its process, and the seconds until it was ready."""
    command = [str(Path(sys.executable).with_name("flood-seg")), "serve", "--port", "0", "serve.jobs.workers=0"]
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen([*command, *words], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout
            address = next(found[1] for line in process.stdout if (found := re.search(r"Ready at (\S+);", line)))
            yield urlsplit(address).netloc, process, time.perf_counter() - started
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


class Client:
    """A connection that stays open."""

    def __init__(self, host: str, photo: bytes) -> None:
        boundary = "b" * 24
        disposition = 'Content-Disposition: form-data; name="image"; filename="photo.jpg"'
        head = f"--{boundary}\r\n{disposition}\r\nContent-Type: image/jpeg\r\n\r\n"
        self._body = head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
        self._headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        self._connection = http.client.HTTPConnection(host, timeout=120)

    def predict(self) -> tuple[int, float, float]:
        """Returns the status of a prediction, its seconds, and the seconds after which another try is welcome."""
        started = time.perf_counter()
        self._connection.request("POST", "/predict", self._body, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - started, float(answer.getheader("Retry-After", "0"))


def load(host: str, photo: bytes, clients: int, seconds: float) -> tuple[float, list[float], list[tuple[int, float]]]:
    """Lets clients ask again and again; returns the duration, the seconds of each mask, and what was refused."""
    end, lock = time.perf_counter() + seconds, threading.Lock()
    accepted, refused = list[float](), list[tuple[int, float]]()

    def ask() -> None:
        client = Client(host, photo)
        while time.perf_counter() < end:
            status, took, retry = client.predict()
            with lock:
                if status == 200:
                    accepted.append(took)
                else:
                    refused.append((status, retry))
            time.sleep(min(retry, max(0.0, end - time.perf_counter())))

    started = time.perf_counter()
    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, accepted, refused


def own_loop(model: Model, photo: bytes, count: int) -> list[float]:
    """Returns the seconds of predictions in this process."""
    found = []
    for _ in range(count):
        started = time.perf_counter()
        model.predict(photo).shares  # noqa: B018 - computed here, as the service does
        found.append(time.perf_counter() - started)
    return found


def one_client(host: str, model: Model, photo: bytes) -> dict[str, float]:
    """Returns the median seconds of a prediction in this process and by the service, in turns."""
    here, there = list[float](), list[float]()
    for number in range(ROUNDS + 1):
        local, client = own_loop(model, photo, REQUESTS), Client(host, photo)  # an idle connection is closed
        remote = [client.predict()[1] for _ in range(REQUESTS)]
        if number:  # the first round warms up
            here += local
            there += remote
    return {"predict": statistics.median(here), "served": statistics.median(there)}


def several_clients(host: str, model: Model, photo: bytes, backend_loop: Iterator[float]) -> dict[str, float]:
    """Returns images per second of the engine alone, of predictions here, and of the service; and its latencies."""
    engine, here, there, took = list[float](), list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        engine.append(next(backend_loop))
        end, count, started = time.perf_counter() + SECONDS, 0, time.perf_counter()
        while time.perf_counter() < end:
            own_loop(model, photo, 1)
            count += 1
        here.append(count / (time.perf_counter() - started))
        seconds, accepted, refused = load(host, photo, CLIENTS, SECONDS)
        assert not refused, refused
        there.append(len(accepted) / seconds)
        took += accepted
    return {
        "engine": statistics.median(engine), "loop": statistics.median(here), "rate": statistics.median(there),
        "p95": float(np.quantile(took, 0.95)),
    }  # fmt: skip


def engine_alone(model: str, overrides: list[str]) -> Iterator[float]:
    """Yields the images per second of the engine alone, of an image that is prepared already."""
    config = compose("infer", choose_engine(overrides, model)[0], InferConfig)
    backend = open_backend(config.backend, model, warmup=2)
    spec = backend.spec
    image = np.random.default_rng(0).standard_normal((1, len(spec.bands), spec.height, spec.width), np.float32)
    while True:
        end, count, started = time.perf_counter() + SECONDS, 0, time.perf_counter()
        while time.perf_counter() < end:
            backend.run(image)
            count += 1
        yield count / (time.perf_counter() - started)


def many_clients(host: str, process: subprocess.Popen[str], photo: bytes, minutes: float) -> dict[str, object]:
    """Returns what was answered to many clients at once, and the memory of the service meanwhile."""
    memory, done, watched = list[float](), threading.Event(), psutil.Process(process.pid)

    def watch() -> None:
        while not done.wait(0.5):
            memory.append(watched.memory_info().rss / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, accepted, refused = load(host, photo, MANY, 60 * minutes)
    done.set()
    watcher.join()
    settled = memory[len(memory) // 4 :]
    return {
        "minutes": seconds / 60, "accepted": len(accepted), "refused": len(refused),
        "statuses": sorted({status for status, _ in refused}),
        "without_retry_after": sum(retry < 1 for _, retry in refused),
        "p50": float(np.quantile(accepted, 0.5)), "p99": float(np.quantile(accepted, 0.99)),
        "rate": len(accepted) / seconds, "memory_mb": statistics.median(settled),
        "memory_change": max(settled) / min(settled) - 1 if settled else math.nan,
    }  # fmt: skip


def cold_starts(words: list[str]) -> float:
    """Returns the median seconds from the start of the command to its readiness."""
    found = []
    for _ in range(STARTS + 1):
        with service(*words) as (_, _, seconds):
            found.append(seconds)
    return statistics.median(found[1:])


def main() -> None:
    """Runs all measurements."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--minutes", type=float, default=2.0)
    options = parser.parse_args()
    model, words = options.model, ["--model", str(Path(options.model).resolve()), *options.overrides]
    photo: bytes = cv2.imencode(".jpg", draw_scene(0, 667, 1000)[0][:, :, ::-1])[1].tobytes()
    before = os.getloadavg()[0]
    result: dict[str, object] = {"cold_start": cold_starts(words)}
    local = load_model(model)
    with service(*words, "serve.limits.rate=0") as (host, process, _):
        result |= one_client(host, local, photo)
        result |= {"eight": several_clients(host, local, photo, engine_alone(model, options.overrides))}
        if options.minutes:
            result |= {"many": many_clients(host, process, photo, options.minutes)}
    print(json.dumps(result | {"load_before": before}))


if __name__ == "__main__":
    main()
