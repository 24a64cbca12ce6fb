"""Measures throughput of the embedded Triton server with 8 clients, and of the same engine in a loop; prints JSON.

python benchmarks/served.py MODEL [key=value ...]
"""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from flood_seg.benchmarking.load import measure_load
from flood_seg.config.compose import compose
from flood_seg.config.schema import InferConfig
from flood_seg.inference.backends.contract import Backend
from flood_seg.inference.engines import choose_engine, open_backend, parse_engine

NAME, ROUNDS, SECONDS, CLIENTS = "flood_area_segmentation", 3, 6.0, 8


def free_ports() -> list[int]:
    """Returns three free ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def plain_loop(backend: Backend, image: np.ndarray) -> float:
    """Returns the images per second of the engine, one image at a time."""
    end, count, started = time.perf_counter() + SECONDS, 0, time.perf_counter()
    while time.perf_counter() < end:
        backend.run(image)
        count += 1
    return count / (time.perf_counter() - started)


def main() -> None:
    """Runs several rounds and prints medians."""
    model, *overrides = sys.argv[1:]
    backend = open_backend(compose("infer", choose_engine(overrides, model)[0], InferConfig).backend, model, warmup=2)
    image = np.random.default_rng(0).standard_normal((1, 3, 512, 512), np.float32)
    command = [str(Path(sys.executable).with_name("flood-seg")), "triton-server"]
    ports = dict(zip(("http", "grpc", "metrics"), free_ports(), strict=True))
    settings = [f"triton.{name}_port={port}" for name, port in ports.items()]
    options = ["--model-path", str(Path(model).resolve()), "triton.runtime=embedded", *settings, *overrides]
    loop = list[float]()
    served: dict[str, list[float]] = {"http": [], "grpc": []}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, "--detach", *options], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        try:
            for _ in range(ROUNDS):
                loop.append(plain_loop(backend, image))
                for protocol, rates in served.items():
                    engine = parse_engine(f"{protocol}://127.0.0.1:{ports[protocol]}/{NAME}")
                    (load,) = measure_load(engine, (512, 512), [CLIENTS], SECONDS)
                    rates.append(load.throughput)
        finally:
            subprocess.run([*command, "--stop"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    print(json.dumps({"loop": statistics.median(loop)} | {k: statistics.median(v) for k, v in served.items()}))


if __name__ == "__main__":
    main()
