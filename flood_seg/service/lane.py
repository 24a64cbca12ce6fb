"""The lane that images pass one after the other: a few are segmented at once, some wait, further ones are refused."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from flood_seg.resources import cores
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from prometheus_client import Gauge

T = TypeVar("T")

SMOOTHING = 0.1  # weight of the last image in the average


class Lane:
    """Runs blocking work in threads, as much at once as suits the engine.

    While some images are in the model, others are decoded and encoded.

    Attributes:
        turn: is held while the model runs.
        width: how many images are worked on at once.
    """

    def __init__(self, streams: int, waiting: int, timeout: float, gauge: Gauge) -> None:
        """Takes the limits.

        Args:
            streams: images that may be in the model at once.
            waiting: images that may wait.
            timeout: seconds for an image, waiting included.
            gauge: shows how many wait.
        """
        self.turn = threading.BoundedSemaphore(streams)
        self.width = streams + max(1, min(4, cores() // 2))
        self._slots, self._pool = asyncio.Semaphore(self.width), ThreadPoolExecutor(self.width, "predict")
        self._waiting, self._limit, self._timeout, self._gauge = 0, waiting, timeout, gauge
        self._seconds = 0.0  # of an image, on average over the last ones

    def admit(self) -> None:
        """Raises Problem 503 where as many images wait as may; half of them will be done when it says to try again."""
        if self._slots.locked() and self._waiting >= self._limit:
            retry = max(1, math.ceil(self._waiting * self._seconds / self.width / 2))
            detail = f"busy: {self._waiting} images are waiting; try again in {retry} s"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": str(retry)})

    async def run(self, work: Callable[[], T], is_gone: Callable[[], Awaitable[bool]], *, admitted: bool = False) -> T:
        """Runs `work` in a thread when it is its turn, and returns its result.

        Args:
            work: that takes long; once begun it is finished, and only then the next one begins.
            is_gone: whether nobody waits for the result any more; asked before the work begins.
            admitted: whether it may wait even if as many do as may.

        Raises:
            Problem: 503, too many are waiting, or the time is over; 408, nobody waits for the result.
        """
        if not admitted:
            self.admit()
        try:
            async with asyncio.timeout(self._timeout):
                await self._take()
                try:
                    if await is_gone():
                        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "the caller has closed the connection")
                    future = asyncio.get_running_loop().run_in_executor(self._pool, self._timed, work)
                except BaseException:
                    self._slots.release()
                    raise
                future.add_done_callback(self._give_back)
                return await asyncio.shield(future)
        except TimeoutError:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, f"not done within {self._timeout:g} seconds; try again later"
            ) from None

    def _timed(self, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return work()
        finally:
            seconds = time.perf_counter() - started
            self._seconds += (seconds - self._seconds) * (SMOOTHING if self._seconds else 1)

    async def _take(self) -> None:
        if not self._slots.locked():  # which it also is where others are to come first
            await self._slots.acquire()
            return
        self._waiting += 1
        self._gauge.inc()
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
            self._gauge.dec()

    def _give_back(self, future: asyncio.Future[T]) -> None:
        self._slots.release()
        if not future.cancelled():
            future.exception()  # which nobody asks for after the time is over
