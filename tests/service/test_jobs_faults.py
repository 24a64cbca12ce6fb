"""Workers, services and queues that are killed: each job goes on and ends once, with the same files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.service.posting import (
    checksums,
    new_job,
    noise,
    post_job,
    read_job,
    run_map,
    smoothing,
    wait_for,
    wait_successful,
    wait_until,
)
from tests.service.running import Running, running_service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    return smoothing(folder)


@pytest.fixture(scope="module")
def large(folder: Path) -> Path:
    """A scene of three blocks."""
    return noise(folder / "large.tif", 4200, 1100)


@pytest.fixture(scope="module")
def expected(folder: Path, model: Path, large: Path) -> dict[str, str]:
    """The files of the command line that do not say what the input is called."""
    return plain(run_map(folder, model, "--image", str(large)))


def plain(results: Path) -> dict[str, str]:
    return {name: digest for name, digest in checksums(results).items() if name != "map.html"}


def results_of(service: Running, job: str) -> Path:
    return service.folder / "work" / "jobs" / job / "results"


def workers_of(service: Running) -> list[psutil.Process]:
    found = psutil.Process(service.process.pid).children()
    return [one for one in found if "worker" in one.cmdline()]


def steps_of(service: Running, job: str) -> list[psutil.Process]:
    """The processes of the steps of a job, by the folder that they run in."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(service.folder / "work" / "jobs" / job):
                found.append(process)
    return found


def wait_for_blocks(service: Running, job: str, count: int = 1) -> None:
    """Waits until some blocks of a scene are done."""
    work = service.folder / "work" / "jobs" / job / "work"
    wait_until(lambda: len(list(work.glob("*/results/.blocks/*.npz"))) >= count)


def is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_killed_worker_is_replaced_and_its_job_goes_on(
    folder: Path, model: Path, large: Path, expected: dict[str, str]
) -> None:
    with running_service(folder / "killed", "--model", str(model)) as service:
        job = new_job(service.url, scene=large)["id"]
        wait_for_blocks(service, job)
        (worker,), steps = workers_of(service), steps_of(service, job)
        assert steps
        worker.kill()
        wait_until(lambda: all(map(is_over, steps)), 10)  # it does not run on beside the next one
        done = wait_successful(service.url, job)
        assert done["attempts"] == 2
        assert plain(results_of(service, job)) == expected
        log = (results_of(service, job).parent / "log.txt").read_text("utf-8")
        assert log.count("Model ") == 2
        assert "begins anew" not in log


def test_a_killed_service_takes_its_workers_along_and_goes_on_later(
    folder: Path, model: Path, large: Path, expected: dict[str, str]
) -> None:
    with running_service(folder / "service", "--model", str(model)) as service:
        job = new_job(service.url, scene=large)["id"]
        wait_for_blocks(service, job)
        (worker,), steps = workers_of(service), steps_of(service, job)
        service.stop(signal.SIGKILL)
        wait_until(lambda: all(map(is_over, [worker, *steps])), 20)
    for file in (folder / "service" / "work").glob("queue.sqlite*"):
        file.unlink()
    with running_service(folder / "service", "--model", str(model)) as service:
        assert wait_successful(service.url, job)["attempts"] == 1  # the worker had handed it back
        assert plain(results_of(service, job)) == expected


def test_sigterm_hands_a_job_back(folder: Path, model: Path, large: Path, expected: dict[str, str]) -> None:
    with running_service(folder / "stopped", "--model", str(model)) as service:
        job = new_job(service.url, scene=large)["id"]
        wait_for_blocks(service, job)
        steps = steps_of(service, job)
        begun = time.monotonic()
        assert service.stop(signal.SIGTERM) == 0, service.output
        assert time.monotonic() - begun < 20
        assert all(map(is_over, steps))
        assert f"job {job}: handed back" in service.output
    with running_service(folder / "stopped", "--model", str(model)) as service:
        assert wait_successful(service.url, job)["attempts"] == 1
        assert plain(results_of(service, job)) == expected
        assert "Traceback" not in service.output


def test_a_dismissed_job_ends_and_leaves_nothing(folder: Path, model: Path, large: Path) -> None:
    with running_service(folder / "dismissed", "--model", str(model)) as service:
        job, small = new_job(service.url, scene=large)["id"], noise(folder / "small.tif", 100, 100)
        wait_for_blocks(service, job)
        steps = steps_of(service, job)
        answer = httpx.delete(f"{service.url}/jobs/{job}")
        assert (answer.status_code, answer.json()["status"]) == (200, "dismissed")
        wait_until(lambda: all(map(is_over, steps)), 10)
        place = results_of(service, job).parent
        wait_until(lambda: not (place / "work").exists(), 10)
        assert not (place / "results").exists()
        wait_successful(service.url, new_job(service.url, scene=small)["id"])
        assert read_job(service.url, job)["status"] == "dismissed"


def test_a_job_that_always_loses_its_worker_fails(folder: Path, model: Path, large: Path) -> None:
    with running_service(folder / "always", "--model", str(model), "serve.jobs.attempts=2") as service:
        job = new_job(service.url, scene=large)["id"]
        for attempt in (1, 2):
            wait_until(
                lambda number=attempt: read_job(service.url, job)["attempts"] == number and steps_of(service, job)
            )
            workers_of(service)[0].kill()
        failed = wait_for(service.url, job)
        assert failed["status"] == "failed"
        assert failed["problem"]["detail"].startswith("given up after 2 attempts")


def test_twenty_jobs_and_two_workers(folder: Path, model: Path) -> None:
    scenes = [noise(folder / f"{number}.tif", 80 + number, 90, seed=number) for number in range(20)]
    with running_service(folder / "twenty", "--model", str(model), "serve.jobs.workers=2") as service:
        jobs = [new_job(service.url, scene=scene)["id"] for scene in scenes]
        done = [wait_successful(service.url, job, seconds=300) for job in jobs]
        assert [job["attempts"] for job in done] == [1] * 20
        assert all(service.output.count(f"job {job}: attempt") == 1 for job in jobs)
        sizes = [rasterio_shape(results_of(service, job)) for job in jobs]
        assert sizes == [(80 + number, 90) for number in range(20)]


def rasterio_shape(results: Path) -> tuple[int, int]:
    import rasterio

    with rasterio.open(results / "mask.tif") as mask:
        return (mask.height, mask.width)


@contextmanager
def redis_server(port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a Redis that keeps nothing."""
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: _answers(port), 20)
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"
    return False


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_redis_may_be_killed(folder: Path, model: Path, large: Path, expected: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    queue = f"serve.jobs.queue=redis://127.0.0.1:{port}/0"
    scenes = [noise(folder / f"redis-{number}.tif", 100, 100 + number, seed=number) for number in range(4)]
    with ExitStack() as stack:
        words = ("--model", str(model), queue)
        with redis_server(port, folder) as redis:
            service = stack.enter_context(running_service(folder / "redis", *words, "serve.jobs.workers=0"))
            for _ in range(2):
                stack.enter_context(worker(service, *words))
            jobs = [new_job(service.url, scene=scene)["id"] for scene in (large, *scenes[:2])]
            wait_for_blocks(service, jobs[0])
            redis.send_signal(signal.SIGKILL)
            redis.wait()
            answer = post_job(service.url, scene=scenes[2])  # is accepted without a queue
            assert answer.status_code == 201
            jobs.append(answer.json()["id"])
            wait_successful(service.url, jobs[-1])
        with redis_server(port, folder):
            jobs.append(new_job(service.url, scene=scenes[3])["id"])
            done = [wait_successful(service.url, job) for job in jobs]
        assert [job["attempts"] for job in done] == [1] * 5
        assert plain(results_of(service, jobs[0])) == expected


@contextmanager
def worker(service: Running, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `flood-seg worker`."""
    command = [sys.executable, "-m", "flood_seg", "worker", "serve.work_dir=work", *words]
    with (service.folder / f"worker-{time.monotonic_ns()}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=service.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ
        )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) == 0
