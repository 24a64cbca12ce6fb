"""Runs an engine in a separate process, so that its memory and load time can be measured."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flood_seg.errors import BackendError, FloodSegError
from flood_seg.resources import enough_memory, peak_memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import numpy as np

    from flood_seg.inference.engines import Engine
    from flood_seg.spec import ModelSpec


@dataclass(frozen=True)
class TimedRuns:
    """The output and the durations of runs.

    Attributes:
        logits: of the last run, float32 [batch, channels, height, width].
        seconds: of each run.
        memory_mb: peak memory of the process so far.
    """

    logits: np.ndarray
    seconds: list[float]
    memory_mb: float


class EngineProcess:
    """Loads a model and runs batches in another process; a context manager that ends the process.

    Attributes:
        engine: the engine and the model.
        spec: of the model.
        description: the engine, device and precision in use.
        load_seconds: from the start of the process until the model is ready, including imports.
    """

    def __init__(self, engine: Engine) -> None:
        """Starts the process and waits until the model is loaded.

        Raises:
            FloodSegError: the model or the engine cannot be used.
        """
        self.engine = engine
        context = multiprocessing.get_context("spawn")  # memory of a forked process would include that of this one
        self._connection, child = context.Pipe()
        self._process = context.Process(target=_work, args=(child, engine), daemon=True)
        started = time.perf_counter()
        self._process.start()
        child.close()
        self.spec: ModelSpec
        try:
            self.spec, self.description = self._receive()
        except BaseException:
            self.close()
            raise
        self.load_seconds = time.perf_counter() - started

    def run(self, batch: np.ndarray, times: int = 1) -> TimedRuns:
        """Runs float32 [batch, bands, height, width] `times` times; transfer between processes is not timed.

        Raises:
            FloodSegError: the engine fails.
        """
        with suppress(OSError):  # the process has ended; _receive raises the reason
            self._connection.send((batch, times))
        answer: TimedRuns = self._receive()
        return answer

    def _receive(self) -> Any:
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            raise BackendError(
                f"{self.engine}: its process ended (exit code {self._process.exitcode}); is there enough memory?"
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


def _work(connection: Connection, engine: Engine) -> None:
    """Main function of the process: loads the model, then serves batches until the pipe is closed."""
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
                connection.send(TimedRuns(logits, seconds, peak_memory() / 2**20))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return
    except FloodSegError as error:
        connection.send(error)
