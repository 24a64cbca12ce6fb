"""Batches that run concurrently on one CPU, each on its share of the cores.

Two streams of one thread are faster than one of two: none waits for the slower thread at the end of each layer, which
matters most beside the threads that decode and write. Measured on two cores: 5 to 12 % more images a second,
and 25 % beside decoding.
"""

from __future__ import annotations

from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

from flood_seg.config.schema.checks import check_workers
from flood_seg.resources import cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

MAX_STREAMS = 4  # more gain little, and each holds a batch's activations


def streams_for(items: int) -> int:
    """Returns how many streams suit that many batches: one for a single batch, whose latency counts."""
    return min(items, cores(), MAX_STREAMS)


def check_threads(threads: int, streams: int = 0) -> None:
    """Raises ConfigError where a number is negative, or far above the number of cores."""
    check_workers("backend.threads", threads)
    check_workers("backend.streams", streams)


class Streams(Generic[T]):
    """Lends each of several runners to one thread at a time."""

    def __init__(self, runners: Iterable[T]) -> None:
        self._free: SimpleQueue[T] = SimpleQueue()
        for runner in runners:
            self._free.put(runner)

    @contextmanager
    def take(self) -> Iterator[T]:
        """Yields a free runner; waits until there is one."""
        runner = self._free.get()
        try:
            yield runner
        finally:
            self._free.put(runner)
