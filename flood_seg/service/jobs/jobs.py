"""The jobs of a running service: their folders, their queue, and the workers that it has started."""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.files import check_writable
from flood_seg.service.jobs import attempt_folder
from flood_seg.service.jobs.processes import WorkerProcesses
from flood_seg.service.jobs.queue import JobQueue
from flood_seg.service.jobs.run import ended
from flood_seg.service.jobs.store import JobStore
from flood_seg.service.jobs.upkeep import Upkeep, size_of
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema.service import ServeOptions
    from flood_seg.service.jobs.records import Job

GB = 10**9
ROUND_SECONDS = 1.0
SIZE_SECONDS = 10.0  # that the space which jobs take is known for


class Jobs:
    """What the routes and the service need of the jobs.

    Attributes:
        store: the folders of the jobs.
        queue: of those that wait.
        accepting: held while a job is accepted.
    """

    def __init__(self, options: ServeOptions, worker_words: Sequence[str] | None = None) -> None:
        """Takes `serve`, and the words after `flood-seg worker`; None: the service starts no workers.

        Raises:
            ConfigError: the address of the queue is malformed.
            OutputError: the folder cannot be written.
        """
        work_dir = Path(options.work_dir).absolute()
        check_writable(work_dir)
        self._options = options
        self.store, self.queue = JobStore(work_dir), JobQueue(options.jobs.queue, work_dir)
        self._upkeep = Upkeep(self.store, self.queue, options.jobs)
        count = options.jobs.workers if worker_words is not None else 0
        self.workers = WorkerProcesses(count, worker_words or (), options.stop_timeout)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_after, name="jobs", daemon=True)
        self._size, self._known = 0, -SIZE_SECONDS
        self.accepting = threading.Lock()

    def start(self) -> None:
        """Starts the workers, and looks after the jobs from now on."""
        self.workers.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends the workers, which hand their jobs back."""
        self._stopping.set()
        self._thread.join()
        self.workers.stop()

    def _look_after(self) -> None:
        while not self._stopping.wait(ROUND_SECONDS):
            try:
                self._upkeep.when_due()
            except Exception as error:  # whatever is wrong with one folder shall not end the upkeep of all jobs
                warn(f"jobs: {type(error).__name__}: {error}")

    def room(self) -> int:
        """Returns the bytes that a further job may have: of the upload limit and of the quota, negative beyond that."""
        now = time.monotonic()
        if now - self._known > SIZE_SECONDS:
            self._size, self._known = size_of(self.store.folder), now
        return int(self._options.jobs.quota_gb * GB) - self._size

    def accepted(self, job: Job) -> None:
        """Lets a job begin, which was accepted just now."""
        self._known = -SIZE_SECONDS
        self.queue.add(job.id)

    def delete(self, job: Job) -> Job | None:
        """Dismisses a job that is not finished, or removes a finished one.

        Returns:
            the dismissed job; None: it is removed.

        Raises:
            Problem: its worker changed it at the same time.
        """
        for _ in range(20):
            if job.state.is_finished:
                self.store.remove(job)
                self._known = -SIZE_SECONDS
                return None
            dismissed = self.store.change(job, ended(job.state, "dismissed"))
            if dismissed:
                if job.state.status == "accepted":  # else its worker does so when it has ended
                    attempt_folder.leave(job)
                return dismissed
            job = self.store.get(job.id)
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"job {job.id}: changes all the time; try again")
