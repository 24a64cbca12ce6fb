"""Closed-loop load test of a server: each client sends its next request when it has received the last response."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.inference.engines import open_backend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.inference.backends.contract import Backend
    from flood_seg.inference.engines import Engine

KNEE_THROUGHPUT = 0.95  # share of the highest throughput


@dataclass(frozen=True)
class Load:
    """The result for a number of concurrent clients.

    Attributes:
        clients: number of concurrent clients.
        throughput: images per second, of all clients.
        p50: median latency in milliseconds.
        p95: 95th percentile of the latency in milliseconds.
        knee: whether this is the smallest number of clients with at least 95 % of the highest throughput.
    """

    clients: int
    throughput: float
    p50: float
    p95: float
    knee: bool = False


def measure_load(engine: Engine, size: tuple[int, int], clients: Sequence[int], seconds: float) -> list[Load]:
    """Measures a server at several numbers of clients, each for some seconds after a warm-up.

    The images are noise of `size`, height and width in pixels.

    Raises:
        ServerError: a request failed.
    """
    backend = open_backend(engine.node(), engine.model)
    image = np.random.default_rng(0).standard_normal((1, len(backend.spec.bands), *size), np.float32)
    loads = [_measure(backend, image, count, seconds) for count in clients]
    best = max(load.throughput for load in loads)
    knee = next(load for load in loads if load.throughput >= KNEE_THROUGHPUT * best)
    return [replace(load, knee=load is knee) for load in loads]


def _measure(backend: Backend, image: np.ndarray, clients: int, seconds: float) -> Load:
    latencies: list[float] = []
    failures: list[BaseException] = []
    begin = time.perf_counter() + 0.2 * seconds  # warm-up until then
    end = begin + seconds

    def client() -> None:
        try:
            while (started := time.perf_counter()) < end:
                backend.run(image)
                if begin <= (done := time.perf_counter()) < end:
                    latencies.append(done - started)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    ordered = sorted(latencies) or [seconds]
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return Load(clients, len(latencies) / seconds, statistics.median(ordered) * 1e3, p95 * 1e3)
