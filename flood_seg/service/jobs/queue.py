"""The queue of the jobs that wait: their identifiers alone, in SQLite or Redis, by huey's storage.

It only makes workers fast and fair. The folders of the jobs are the truth: what a lost queue has forgotten is added
again by `upkeep`, and an identifier that is in it twice, or of a job that has ended, does no harm.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from flood_seg.console import warn
from flood_seg.errors import ConfigError
from flood_seg.service.jobs.store import create_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeVar

    from huey.storage import BaseStorage

    T = TypeVar("T")

POLL_SECONDS = 0.1  # of SQLite, which cannot wait for an entry
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 5.0  # a Redis that does not respond is one that is lost
NAME = "queue.txt"  # what tells the queue of this folder from others in one Redis


class JobQueue:
    """Identifiers of jobs, first in, first out; nothing is raised where it is lost, see `is_lost`.

    Attributes:
        is_lost: whether the last operation has failed.
    """

    def __init__(self, address: str, work_dir: Path) -> None:
        """Takes `serve.jobs.queue` and the folder of the service.

        Raises:
            ConfigError: the address of Redis is malformed.
            OutputError: the folder cannot be written.
        """
        self._address, self._file = address, work_dir / "queue.sqlite"
        self._name = "flood_seg_" + _name_in(work_dir)
        self._storage: BaseStorage | None = None
        self._faults: tuple[type[Exception], ...] = (sqlite3.Error, OSError)
        self.is_lost = False
        if address != "sqlite":
            self._storage = self._open()  # raises where the address is wrong, whether the server runs or not

    def add(self, job: str) -> None:
        """Appends a job."""
        self._try(lambda storage: storage.enqueue(job.encode()))

    def take(self, seconds: float) -> str | None:
        """Returns the first job and removes it; waits for one for about so many seconds, unless the queue is lost."""
        end = time.monotonic() + seconds
        while True:
            found: bytes | None = self._try(lambda storage: storage.dequeue())
            if found is not None:
                return bytes(found).decode("ascii", "replace")
            if time.monotonic() >= end or self.is_lost:
                return None
            if self._address == "sqlite":
                time.sleep(POLL_SECONDS)

    def waiting(self) -> set[str]:
        """Returns the jobs in the queue."""
        found: list[bytes] | None = self._try(lambda storage: storage.enqueued_items())
        return {bytes(one).decode("ascii", "replace") for one in found or ()}

    def _try(self, operate: Callable[[BaseStorage], T]) -> T | None:
        """Operates on the queue; None where it is lost, which is said once."""
        try:
            self._storage = self._storage or self._open()
            result = operate(self._storage)
        except self._faults as error:
            if not self.is_lost:
                reason = " ".join(str(error).split())
                warn(f"the queue of jobs is lost ({reason}); meanwhile jobs are found by their folders")
            self.is_lost = True
            self._reset(error)
            return None
        self.is_lost = False
        return result

    def _open(self) -> BaseStorage:
        """Opens the storage; huey imports Redis' client in any case, for which the service does not wait."""
        from huey.storage import RedisStorage, SqliteStorage

        if self._address == "sqlite":
            self._file.parent.mkdir(parents=True, exist_ok=True)
            return SqliteStorage(self._name, str(self._file), timeout=ANSWER_SECONDS)
        from redis import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
        from redis.retry import Retry

        self._faults = (*self._faults, RedisError)
        try:
            pool = ConnectionPool.from_url(
                self._address, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )  # fmt: skip
        except ValueError as error:
            raise ConfigError(f"serve.jobs.queue={self._address}: {error}; give redis://HOST:PORT/NUMBER") from error
        return RedisStorage(self._name, connection_pool=pool, clean_name=False)

    def _reset(self, error: Exception) -> None:
        """Prepares for the next attempt: a damaged file is of no use, and what was in it is known from the folders."""
        if self._address != "sqlite":
            return  # its connections are opened anew by themselves
        if self._storage is not None:
            with suppress(sqlite3.Error):
                self._storage.close()
        self._storage = None
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    self._file.with_name(self._file.name + suffix).unlink()


def _name_in(work_dir: Path) -> str:
    """Returns the name of the queue of a folder, which all machines that share the folder read from it."""
    file = work_dir / NAME
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        create_file(file, secrets.token_hex(8))
    return file.read_text("utf-8").strip()
