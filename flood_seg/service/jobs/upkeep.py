"""What keeps the jobs going: those of lost workers wait again, a lost queue is filled again, old jobs are removed.

The service does this all the time, and each worker while it has nothing else to do, so that one of them suffices.
"""

from __future__ import annotations

import shutil
import stat
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.errors import OutputError
from flood_seg.service.jobs.owner import has_ended
from flood_seg.service.jobs.run import end_attempt

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from flood_seg.config.schema.service import JobOptions
    from flood_seg.service.jobs.queue import JobQueue
    from flood_seg.service.jobs.records import Job
    from flood_seg.service.jobs.store import JobStore

INTERVAL = 3.0  # seconds, at most, between two rounds
KEYS_SECONDS = 3600.0  # between two looks at Idempotency-Keys
LEFTOVER_HOURS = 24  # after which an upload of a process of another machine counts as given up


class Upkeep:
    """Looks after the jobs of a folder."""

    def __init__(self, store: JobStore, queue: JobQueue, options: JobOptions) -> None:
        """Takes the jobs, the queue of those that wait, and `serve.jobs`."""
        self._store, self._queue, self._options = store, queue, options
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}  # the last sign of life of running jobs, and when
        self._clean = set[str]()  # jobs that have ended and left nothing
        self._next = self._next_keys = 0.0

    def when_due(self) -> None:
        """Does a round, unless one was done a moment ago."""
        if time.monotonic() >= self._next:
            self.round()
            self._next = time.monotonic() + min(INTERVAL, self._options.lease / 4)

    def round(self) -> list[Job]:
        """Does a round; returns the jobs that wait, the oldest first."""
        waiting: list[Job] = []
        for job in self._store:
            try:
                now = self._revived(job) if job.state.status == "running" else job
                if now is None or now.state.is_finished:
                    self._after_the_end(now or job)
                elif now.state.status == "accepted":
                    waiting.append(now)
            except OutputError as error:
                warn(f"job {job.id}: {error}")
        self._refill(waiting)
        self._store.clear(timedelta(hours=LEFTOVER_HOURS))
        if time.monotonic() >= self._next_keys:
            self._store.clear_keys()
            self._next_keys = time.monotonic() + KEYS_SECONDS
        return waiting[::-1]

    def _revived(self, job: Job) -> Job | None:
        """Returns a running job as it is, or as it is after its worker was found to be lost; None: another knows."""
        if not has_ended(job.state.owner):
            beat = job.number, self._store.last_beat(job)
            known, since = self._seen.get(job.id, (None, 0.0))
            if known != beat:  # clocks of machines differ, so what counts is that it changes
                self._seen[job.id] = beat, time.monotonic()
                return job
            if time.monotonic() - since < self._options.lease:
                return job
        self._seen.pop(job.id, None)
        return end_attempt(self._store, job, self._options.attempts, "its worker was lost")

    def _after_the_end(self, job: Job) -> None:
        self._seen.pop(job.id, None)
        if not (job.state.is_finished and job.state.finished):
            return
        age = datetime.now(UTC) - datetime.fromisoformat(job.state.finished)
        if age > timedelta(days=self._options.retention_days):
            self._store.remove(job)
        elif job.id not in self._clean and age > timedelta(seconds=self._options.lease):
            shutil.rmtree(job.work.parent, ignore_errors=True)  # of a worker that was lost when it was dismissed
            self._clean.add(job.id)

    def _refill(self, waiting: Iterable[Job]) -> None:
        waiting = list(waiting)
        if waiting:
            known = self._queue.waiting()
            for job in reversed(waiting):
                if job.id not in known:
                    self._queue.add(job.id)


def size_of(folder: Path) -> int:
    """Returns the bytes of all files below a folder, those with several names once."""
    files = dict[tuple[int, int], int]()
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except OSError:  # removed meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values())
