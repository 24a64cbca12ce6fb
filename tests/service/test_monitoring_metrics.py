"""What Prometheus reads of a service: jobs, disk, processes, models; and that it can read all of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flood_seg.service.jobs.records import Job, JobRequest, JobState, Status, new_id
from flood_seg.service.jobs.store import JobStore
from flood_seg.service.monitoring.metrics import Metrics
from flood_seg.service.monitoring.scrape import Scrape
from tests.service.running import Running

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(text: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((f"flood_seg_{name}", frozenset(labels.items())))


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path)


@pytest.fixture
def scrape(store: JobStore, tmp_path: Path) -> Scrape:
    return Scrape(Metrics(), [], store, tmp_path)


def text_of(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def add_job(store: JobStore, created: datetime) -> Job:
    job = new_id()
    store.prepare(job)
    return store.accept(JobRequest(job, text_of(created), "alice", "scene", "default", {"scene": "inputs/scene.tif"}))


def run_job(store: JobStore, job: Job, seconds: float, status: Status) -> Job:
    """Ends a job now that has run for so many seconds."""
    now = datetime.now(UTC)
    started = text_of(now - timedelta(seconds=seconds))
    running = store.change(job, JobState("running", started=started))
    assert running
    ended = store.change(running, replace(running.state, status=status, finished=text_of(now)))
    assert ended
    return ended


def test_jobs_are_counted_by_status_and_the_oldest_waits(store: JobStore, scrape: Scrape) -> None:
    assert value(series(scrape().decode()), "jobs_oldest_waiting_seconds") == 0
    now = datetime.now(UTC)
    for age in (40, 90):
        add_job(store, now - timedelta(seconds=age))
    run_job(store, add_job(store, now - timedelta(seconds=500)), 5, "successful")
    found = series(scrape().decode())
    counts = {status: value(found, "jobs", status=status) for status in ("accepted", "running", "successful", "failed")}
    assert counts == {"accepted": 2, "running": 0, "successful": 1, "failed": 0}
    waited = value(found, "jobs_oldest_waiting_seconds")
    assert waited is not None and 90 <= waited < 120


def test_a_job_that_ends_is_counted_once_with_its_duration(store: JobStore, scrape: Scrape) -> None:
    now = datetime.now(UTC)
    ended = run_job(store, add_job(store, now - timedelta(hours=2)), 45, "successful")
    run_job(store, add_job(store, now), 2, "failed")
    never = add_job(store, now)
    assert store.change(never, JobState("dismissed", finished=text_of(now)))
    scrape()
    store.remove(ended)
    found = series(scrape().decode())
    assert value(found, "job_seconds_count", status="successful") == 1
    assert value(found, "job_seconds_sum", status="successful") == 45
    assert value(found, "job_seconds_bucket", status="successful", le="30.0") == 0
    assert value(found, "job_seconds_bucket", status="successful", le="60.0") == 1
    assert value(found, "job_seconds_count", status="failed") == 1
    assert value(found, "job_seconds_count", status="dismissed") == 0  # it has not run


def test_jobs_that_ended_before_the_service_started_are_not_counted_again(store: JobStore, tmp_path: Path) -> None:
    job = add_job(store, datetime.now(UTC) - timedelta(hours=2))
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    running = store.change(job, JobState("running", started=text_of(an_hour_ago)))
    assert running
    assert store.change(running, replace(running.state, status="successful", finished=text_of(an_hour_ago)))
    found = series(Scrape(Metrics(), [], store, tmp_path)().decode())
    assert value(found, "jobs", status="successful") == 1
    assert value(found, "job_seconds_count", status="successful") == 0


def test_disk_and_processes_are_those_of_this_machine(scrape: Scrape, tmp_path: Path) -> None:
    ballast = "x = b'1' * (60 << 20); print('ready', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", ballast], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        found = series(scrape().decode())
        memory = psutil.Process(child.pid).memory_info().rss
        child.communicate(b"\n")
    measured = value(found, "workers_resident_memory_bytes")
    assert measured is not None and measured >= memory > 60 << 20
    disk = psutil.disk_usage(str(tmp_path))
    assert value(found, "disk_size_bytes") == disk.total
    free = value(found, "disk_free_bytes")
    assert free is not None and abs(free - disk.free) < disk.total / 100
    assert found["process_resident_memory_bytes", frozenset()] > 20 << 20


def test_a_service_tells_its_release_and_models(server: Running, client: httpx.Client) -> None:
    spec = client.get("/models/default").json()["spec"]
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    (model,) = [dict(labels) for name, labels in series(answer.text) if name == "flood_seg_model_info"]
    assert (model["model"], model["engine"]) == ("default", "onnxruntime cpu")
    assert model["architecture"] == f"{spec['provenance']['architecture']}-{spec['provenance']['encoder']}"
    assert len(model["version"]) == 12
    assert value(series(answer.text), "request_seconds_count", route="/models/{name}", method="GET", status="200") == 1
