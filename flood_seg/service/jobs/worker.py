"""A worker: takes jobs from the queue and runs them, one at a time."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flood_seg.console import say, warn
from flood_seg.errors import OutputError
from flood_seg.service.jobs.run import run_job

if TYPE_CHECKING:
    from flood_seg.service.jobs.queue import JobQueue
    from flood_seg.service.jobs.run import RunOptions
    from flood_seg.service.jobs.store import JobStore
    from flood_seg.service.jobs.upkeep import Upkeep

PARENT = "FLOOD_SEG_WORKER_OF"  # environment variable: the process that has started this one, with which it ends
TAKE_SECONDS = 1.0
PAUSE_SECONDS = 5.0  # after a fault of the disk


class Worker:
    """Runs jobs until it is told to stop by SIGTERM or Ctrl-C, or until the service that has started it ends."""

    def __init__(self, store: JobStore, queue: JobQueue, upkeep: Upkeep, options: RunOptions) -> None:
        self._store, self._queue, self._upkeep, self._options = store, queue, upkeep, options
        self._stopping = False
        self._parent = int(os.environ.get(PARENT, 0))

    def run(self) -> None:
        """Runs jobs; the one that it runs when it is told to stop is handed back, and goes on later."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        say(f"Worker {os.getpid()} is ready for jobs in {self._store.folder}")
        while not self.is_stopping():
            try:
                self._one()
            except (OutputError, OSError) as error:
                warn(f"jobs: {error}")
                self._pause()

    def is_stopping(self) -> bool:
        """Whether it shall end."""
        return self._stopping or bool(self._parent and os.getppid() != self._parent)

    def _one(self) -> None:
        """Runs the next job, where there is one."""
        found = self._queue.take(TAKE_SECONDS)
        job = self._store.find(found) if found else None
        if job is None:
            self._upkeep.when_due()
            if not self._queue.is_lost:
                return
            waiting = self._upkeep.round()
            if not waiting:
                self._pause(TAKE_SECONDS)
                return
            job = waiting[0]
        if job.state.status == "accepted":
            run_job(self._store, job, self._options, self.is_stopping)

    def _pause(self, seconds: float = PAUSE_SECONDS) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.is_stopping():
            with suppress(InterruptedError):
                time.sleep(0.1)

    def _stop(self, *_: Any) -> None:
        self._stopping = True
