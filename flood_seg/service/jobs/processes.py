"""The worker processes of a service: started with it, started again when one ends, ended with it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.service.jobs.worker import PARENT

if TYPE_CHECKING:
    from collections.abc import Sequence

POLL_SECONDS = 0.5
LONGEST_PAUSE = 30.0  # seconds before a worker that ends again and again is started again
HEALTHY_SECONDS = 5.0  # after which the end of a worker counts as the first one


@dataclass
class _Place:
    """One of the workers."""

    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    pause: float = 0.0
    not_before: float = 0.0


class WorkerProcesses:
    """Keeps a number of worker processes running; a thread watches them."""

    def __init__(self, count: int, words: Sequence[str], grace: float) -> None:
        """Takes the number of workers, the words after `flood-seg`, and the seconds that a worker has to end."""
        self._places = [_Place() for _ in range(count)]
        self._words, self._grace = list(words), grace
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that run."""
        running = (place.process for place in self._places)
        return [process.pid for process in running if process and process.poll() is None]

    def start(self) -> None:
        """Starts the workers."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the workers, which hand back their jobs; those that do not end in time are killed."""
        self._stopping.set()
        self._thread.join()
        running = [place.process for place in self._places if place.process]
        for process in running:
            process.terminate()
        end = time.monotonic() + self._grace
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
            process.kill()
            process.wait()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for place in self._places:
                self._look_after(place)
            self._stopping.wait(POLL_SECONDS)

    def _look_after(self, place: _Place) -> None:
        now = time.monotonic()
        if place.process and (code := place.process.poll()) is not None:
            place.process = None
            short = now - place.since < HEALTHY_SECONDS
            place.pause = min(LONGEST_PAUSE, max(1.0, 2 * place.pause)) if short else 0.0
            place.not_before = now + place.pause
            warn(f"a worker has ended with {code}; another one starts in {place.pause:g} s")
        if place.process is None and now >= place.not_before:
            place.since = now
            place.process = subprocess.Popen(
                [sys.executable, "-m", "flood_seg", "worker", *self._words], stdin=subprocess.DEVNULL,
                env=os.environ | {PARENT: str(os.getpid())},
                start_new_session=True,  # Ctrl-C reaches the service alone, which ends them
            )  # fmt: skip
