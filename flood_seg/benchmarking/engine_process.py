"""An engine in a process of its own, so that its memory and its start can be measured, and engines take turns."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.errors import BackendError, FloodSegError
from flood_seg.resources import enough_memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import numpy as np

    from flood_seg.inference.engines import Engine
    from flood_seg.spec import ModelSpec


@dataclass(frozen=True)
class Timed:
    """Answers and how long they took.

    Attributes:
        logits: of the last run, float32 [batch, channels, height, width].
        seconds: of each run.
        memory_mb: the most that the process has used so far.
    """

    logits: np.ndarray
    seconds: list[float]
    memory_mb: float


class EngineProcess:
    """Loads a model in another process and runs batches there; a context manager that ends it.

    Attributes:
        engine: what it runs.
        spec: the model's.
        description: the engine, device and precision in use, for people.
        load_seconds: from the beginning of the process to a model that is ready, imports included.
    """

    def __init__(self, engine: Engine, threads: int = 0) -> None:
        """Starts the process and waits until the model is loaded.

        Args:
            engine: the model and what runs it.
            threads: for numerical libraries; 0: their own choice.

        Raises:
            FloodSegError: the model or the engine cannot be used.
        """
        self.engine = engine
        context = multiprocessing.get_context("spawn")  # a fork would share, and count, this process's memory
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, engine, threads), daemon=True)
        started = time.perf_counter()
        self._process.start()
        theirs.close()
        self.spec: ModelSpec
        try:
            self.spec, self.description = self._receive()
        except BaseException:
            self.close()
            raise
        self.load_seconds = time.perf_counter() - started

    def run(self, batch: np.ndarray, times: int = 1) -> Timed:
        """Runs float32 [batch, bands, height, width] some times; time in the pipe does not count.

        Raises:
            FloodSegError: the engine cannot.
        """
        with suppress(OSError):  # of a process that has ended: receiving says why
            self._connection.send((batch, times))
        answer: Timed = self._receive()
        return answer

    def _receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            raise BackendError(
                f"{self.engine}: its process ended (exit code {self._process.exitcode}); is there memory enough?"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join(5)
        self._process.kill()

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _work(connection: Connection, engine: Engine, threads: int) -> None:
    """The other process: loads, then answers until the pipe is closed."""
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    from flood_seg.inference.engines import open_backend

    try:
        with enough_memory(str(engine), "set smaller batches or images, or close other programs"):
            backend = open_backend(engine.node(), engine.model)
            connection.send((backend.spec, backend.description))
            while True:
                batch, times = connection.recv()
                seconds = []
                for _ in range(times):
                    started = time.perf_counter()
                    logits = backend.run(batch)
                    seconds.append(time.perf_counter() - started)
                connection.send(Timed(logits, seconds, _peak_memory()))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return
    except FloodSegError as error:
        connection.send(error)


def _peak_memory() -> float:
    """In MB. Linux's own maximum of this process: ru_maxrss would begin with its parent's."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024
