"""Batches that run side by side on one CPU, each on its share of the cores.

Two streams of one thread are faster than one of two: nothing waits for the slower thread of the two at the end of each
layer, least of all beside the threads that decode and write. Measured on two cores: 5 to 12 % more images a second,
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

MOST = 4  # more gain little, and each holds a batch's activations


def streams_for(items: int) -> int:
    """Returns how many streams suit that many photos: one for a single photo, whose latency counts."""
    return min(items, cores(), MOST)


def check_threads(threads: int, streams: int = 0) -> None:
    """Raises ConfigError where a number is negative, or absurd on this machine."""
    check_workers("backend.threads", threads)
    check_workers("backend.streams", streams)


class Streams(Generic[T]):
    """Hands each of some runners to one thread at a time."""

    def __init__(self, runners: Iterable[T]) -> None:
        self._free: SimpleQueue[T] = SimpleQueue()
        for runner in runners:
            self._free.put(runner)

    @contextmanager
    def take(self) -> Iterator[T]:
        """Yields a free runner, when there is one."""
        runner = self._free.get()
        try:
            yield runner
        finally:
            self._free.put(runner)
