"""A real `flood-seg serve` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 60  # on a busy machine
END_SECONDS = 60
QUIET = ("serve.work_dir=work", "serve.limits.rate=0")  # tests ask more often than people


class Running:
    """A service in a process.

    Attributes:
        folder: the process's own, in which `work_dir` is `work`.
        url: `http://127.0.0.1:PORT`; empty while it starts.
        process: which `stop` ends.
    """

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        """Starts the service.

        Args:
            folder: of the process.
            words: flags and overrides beside `--port 0` and the folder of the jobs.
            environment: variables beside those of this process.
        """
        self.folder, self.url = folder, ""
        self._log = folder / f"service-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "flood_seg", "serve", "--port", "0", *QUIET, *words]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def output(self) -> str:
        """What it has written to both streams."""
        return self._log.read_text("utf-8")

    def wait_ready(self) -> None:
        """Waits for its address."""
        end = time.monotonic() + START_SECONDS
        while not (found := re.search(r"Ready at (\S+?);", self.output)):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.output}"
            assert time.monotonic() < end, f"not ready after {START_SECONDS} s: {self.output}"
            time.sleep(0.05)
        self.url = found[1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the process by a signal, and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def running_service(folder: Path, *words: str, **environment: str) -> Iterator[Running]:
    """Yields a service that is ready; see `Running`."""
    folder.mkdir(parents=True, exist_ok=True)
    service = Running(folder, *words, **environment)
    try:
        service.wait_ready()
        yield service
    finally:
        service.stop()
