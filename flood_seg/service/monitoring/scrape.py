"""Metrics that are read when Prometheus asks: jobs, disk, and the processes of workers."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import psutil
from prometheus_client import generate_latest

from flood_seg.service.jobs.records import FINISHED, Status
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flood_seg.service.jobs.records import Job
    from flood_seg.service.models import ServedModel
    from flood_seg.service.monitoring.metrics import Metrics

VERSION_DIGITS = 12


class Scrape:
    """Brings the metrics up to date and returns them.

    The folders of the jobs are read because workers are other processes, on other machines too. A job that has ended
    is counted by each service that was running then and still finds its folder.
    """

    def __init__(self, metrics: Metrics, models: Iterable[ServedModel], jobs: Iterable[Job], work_dir: Path) -> None:
        self._metrics, self._jobs, self._work_dir = metrics, jobs, work_dir
        self._since = datetime.now(UTC)
        self._counted: set[str] = set()
        self._lock = threading.Lock()
        metrics.info.labels(__version__).set(1)
        # Series that begin at their first event hide it from rate(), and a share of what has never been has no value
        for status in FINISHED:
            metrics.job_seconds.labels(status)
        for model in models:
            for counter in (metrics.images, metrics.pixels, metrics.shifted):
                counter.labels(model.name)
            provenance = model.spec.provenance
            architecture = "-".join(str(provenance[key]) for key in ("architecture", "encoder") if key in provenance)
            metrics.model_info.labels(model.name, model.engine, architecture, version_of(model)).set(1)

    def __call__(self) -> bytes:
        """Returns the metrics in Prometheus' text format."""
        with self._lock:
            self._read_jobs()
            self._read_machine()
            return generate_latest(self._metrics.registry)

    def _read_jobs(self) -> None:
        jobs = list(self._jobs)
        statuses = Counter(job.state.status for job in jobs)
        for status in get_args(Status):
            self._metrics.jobs.labels(status).set(statuses[status])
        waiting = [_time(job.request.created) for job in jobs if job.state.status == "accepted"]
        oldest = max((datetime.now(UTC) - min(waiting)).total_seconds(), 0) if waiting else 0
        self._metrics.oldest_waiting.set(oldest)
        self._counted &= {job.id for job in jobs}  # no more of those that were removed
        for job in jobs:
            state = job.state
            if job.id in self._counted or state.started is None or state.finished is None:
                continue
            finished = _time(state.finished)
            if finished >= self._since.replace(microsecond=0):  # times of jobs are in seconds
                seconds = (finished - _time(state.started)).total_seconds()
                self._metrics.job_seconds.labels(state.status).observe(seconds)
            self._counted.add(job.id)

    def _read_machine(self) -> None:
        self._metrics.workers_memory.set(sum(map(_memory, psutil.Process().children(recursive=True))))
        folder = next(one for one in (self._work_dir, *self._work_dir.parents) if one.exists())
        disk = shutil.disk_usage(folder)
        self._metrics.disk_free.set(disk.free)
        self._metrics.disk_size.set(disk.total)


def version_of(model: ServedModel) -> str:
    """Returns digits of the hash of a model's record, in which every training leaves its metrics and its commit."""
    return sha256(model.spec.to_json().encode()).hexdigest()[:VERSION_DIGITS]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _memory(process: psutil.Process) -> int:
    try:
        memory: int = process.memory_info().rss
    except psutil.Error:  # it has ended meanwhile
        return 0
    return memory
