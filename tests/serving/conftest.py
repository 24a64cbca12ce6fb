"""A real Triton server, embedded, as a user starts it: a process of its own on free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import TritonConfig, TritonServerConfig
from flood_seg.serving.repository import write_repository
from flood_seg.serving.server import _plan
from tests.inference.conftest import red_spec, write_model

pytest.importorskip("pytriton", reason="nvidia-pytriton is for Linux on x86-64")


STARTED: list[subprocess.Popen] = []
# Triton takes 3 s to end, 11 with a client connected; where that is not what is tested, it is killed.
AT_ONCE = "triton.stop_timeout=1"


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """Ends the servers of a test that failed before it could; the session's own began before it."""
    before = len(STARTED)
    yield
    for process in STARTED[before:]:
        process.kill()


def free_ports(count: int = 3) -> list[int]:
    """Ports that nothing listens on; they were all open at once, so they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@dataclass
class Started:
    """A `flood-seg triton-server` process and where it serves."""

    process: subprocess.Popen
    http: int
    grpc: int
    metrics: int
    folder: Path


def options(ports: list[int]) -> list[str]:
    names = ("http_port", "grpc_port", "metrics_port")
    return ["triton.runtime=embedded", *(f"triton.{name}={port}" for name, port in zip(names, ports, strict=True))]


def serve(folder: Path, model: Path, *arguments: str, ports: list[int] | None = None) -> Started:
    """Starts a server and waits for the lines that say that it serves, or for its end."""
    ports = ports or free_ports()
    command = [sys.executable, "-m", "flood_seg", "triton-server", "--model-path", str(model), *options(ports)]
    process = subprocess.Popen(
        [*command, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    STARTED.append(process)
    started = Started(process, *ports, folder)
    process.first_line = process.stdout.readline()  # type: ignore[attr-defined]
    return started


def embedded_config(repository: Path, **changes: object) -> TritonConfig:
    """The embedded server of a repository, on free ports."""
    ports = dict(zip(("http_port", "grpc_port", "metrics_port"), free_ports(), strict=True))
    settings = {"runtime": "embedded", "repository": str(repository), "stop_timeout": 1}
    return defaults(TritonConfig, **(ports | settings | changes))  # type: ignore[arg-type]


def write_served(config: TritonConfig, model: Path) -> Path:
    """Writes the model repository as `flood-seg triton-server` does; returns the model's folder in it."""
    whole = compose("triton_server", [f"triton.repository={config.repository}"], TritonServerConfig)
    return write_repository(
        Path(config.repository), config.model_name, model, *_plan(config, model, whole.backend, "embedded")
    )


def has_ended(pid: int, seconds: float = 20) -> bool:
    """Whether a process ends within that time; a zombie has."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def children(pid: int) -> list[int]:
    """The process ids of all that descends from a process."""
    direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return direct + [deeper for child in direct for deeper in children(child)]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The model of `write_model` (64 x 64), served for all tests of the session."""
    folder = tmp_path_factory.mktemp("triton")
    started = serve(folder, write_model(folder / "red.onnx", red_spec()), "triton.queue_delay_us=50000", AT_ONCE)
    STARTED.remove(started.process)
    if started.process.poll() is not None:
        pytest.fail(started.process.stderr.read())
    yield started
    os.kill(started.process.pid, signal.SIGTERM)
    assert started.process.wait(30) == 0
