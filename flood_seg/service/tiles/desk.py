"""Where requests of tiles and features are worked on: in a few threads, beside those that answer other requests."""

from __future__ import annotations

import asyncio
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from flood_seg.errors import FloodSegError
from flood_seg.resources import cores
from flood_seg.service.problems import Problem
from flood_seg.service.tiles.rasters import JobRasters
from flood_seg.service.tiles.readers import Readers
from flood_seg.service.tiles.scene_picture import Stopped, write_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAITING = 256  # requests; a screen is about 30 tiles
PICTURE_SECONDS = 20.0  # that a request waits for the picture of a scene

P = ParamSpec("P")
T = TypeVar("T")


class Desk:
    """Threads that read rasters and vectors, and one that makes pictures of scenes.

    Attributes:
        readers: the open rasters of each thread.
    """

    def __init__(self) -> None:
        self.readers = Readers()
        self._threads = ThreadPoolExecutor(min(4, 1 + cores()), thread_name_prefix="tiles")
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._pictures: dict[Path, Future[None]] = {}
        self._lock = threading.Lock()
        self._waiting = 0
        self._stop = threading.Event()

    async def run(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Does work in one of the threads, and returns its result.

        Raises:
            Problem: 503, too many requests are waiting.
        """
        if self._waiting >= WAITING:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{WAITING} requests of tiles or features are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*arguments, **named))
        finally:
            self._waiting -= 1

    async def picture(self, rasters: JobRasters) -> None:
        """Returns once there is a picture of a scene, which is made at the first request.

        Raises:
            Problem: 503, it is still being made; 404, it cannot be made.
        """
        if await self.run(rasters.picture.is_file):
            return
        made = asyncio.wrap_future(self._begin(rasters))
        made.add_done_callback(lambda done: done.cancelled() or done.exception())  # also where nobody waits any more
        try:
            await asyncio.wait_for(asyncio.shield(made), PICTURE_SECONDS)
        except TimeoutError:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the picture of the scene is being made; ask again") from None
        except Stopped:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping") from None
        except (FloodSegError, OSError) as error:
            detail = "the scene cannot be shown, its file is damaged or was removed"
            raise Problem(HTTPStatus.NOT_FOUND, detail) from error

    def close(self) -> None:
        """Ends the threads; tiles that were begun are finished, a picture is not."""
        self._stop.set()
        for threads in (self._painter, self._threads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, rasters: JobRasters) -> Future[None]:
        """Begins the picture of a scene, unless that is done."""
        path = rasters.picture
        with self._lock:
            if path not in self._pictures:
                self._pictures[path] = self._painter.submit(self._paint, rasters, path)
            return self._pictures[path]

    def _paint(self, rasters: JobRasters, path: Path) -> None:
        try:
            if not path.is_file():
                write_picture(rasters, path, self._stop)
            if not rasters.results.is_dir():  # the job was removed meanwhile
                shutil.rmtree(rasters.folder, ignore_errors=True)
        finally:
            with self._lock:
                del self._pictures[path]
