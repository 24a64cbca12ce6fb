"""API keys: the file of their hashes, which a running service reads again when it changes.

A key is 256 random bits, so its SHA-256 cannot be reversed by guessing, and a slow hash such as Argon2, which protects
passwords that people choose, would only make each request slower.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, get_args

from flood_seg.console import warn
from flood_seg.errors import ConfigError, OutputError, UsageError, did_you_mean
from flood_seg.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Role = Literal["read", "predict", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may

PREFIX = "fseg_"  # by which scanners of repositories find a key that was committed
KEY_BYTES = 32
LONGEST_NAME = 64


@dataclass(frozen=True)
class KeyEntry:
    """What is known of a key.

    Attributes:
        sha256: of the key, in hexadecimal digits.
        role: of its callers.
        created: when, in UTC.
    """

    sha256: str
    role: Role
    created: str

    def __post_init__(self) -> None:
        if self.role not in ROLES or len(bytes.fromhex(self.sha256)) != sha256().digest_size:
            raise ValueError


class KeyFile:
    """The entries of a file of keys by name; a missing file has none."""

    def __init__(self, path: Path) -> None:
        """Takes the file, which is read on first use."""
        self.path = path
        self._entries: dict[str, KeyEntry] = {}
        self._version: tuple[int, ...] | None = None

    def entries(self) -> dict[str, KeyEntry]:
        """Returns the entries; reads the file again where it has changed.

        Raises:
            ConfigError: it is not a file of keys, or cannot be read.
        """
        try:
            found = self.path.stat()
            # The file is replaced, never written in place, so that each change has an inode of its own
            version = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
            if version != self._version:
                self._entries = _parse(self.path.read_bytes())
                self._version = version
        except FileNotFoundError:
            self._entries, self._version = {}, None
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read ({error.strerror}); check its permissions") from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ConfigError(
                f"{self.path}: is not a file of keys; remove it, and make new keys by flood-seg serve --add-key NAME"
            ) from error
        return dict(self._entries)

    def find(self, key: str) -> tuple[str, KeyEntry] | None:
        """Returns the name and the entry of a key, None of an unknown one.

        All entries are compared, each in constant time, so that the duration tells nothing of the keys.
        """
        digest, found = sha256(key.encode("utf-8", "surrogateescape")).hexdigest(), None
        for name, entry in self.usable().items():
            if hmac.compare_digest(entry.sha256, digest):
                found = (name, entry)
        return found

    def usable(self) -> dict[str, KeyEntry]:
        """Returns the entries, and none, with a warning, of a file that became unusable while the service runs."""
        try:
            return self.entries()
        except ConfigError as error:
            warn(f"{error}; until then every key is refused")
            return {}

    def add(self, name: str, role: Role) -> str:
        """Makes a key.

        Returns:
            the key, which is nowhere else.

        Raises:
            UsageError: the name is in use, or no name.
            FloodSegError: the file cannot be read or written.
        """
        from flood_seg.products.stac_item import time_text

        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise UsageError(f"--add-key {name}: give a name of 1 to {LONGEST_NAME} printable characters")
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        with self._changed() as entries:
            if name in entries:
                raise UsageError(f"--add-key {name}: there is a key of this name; give another one, or --remove-key it")
            entries[name] = KeyEntry(sha256(key.encode()).hexdigest(), role, time_text(datetime.now(UTC)))
        return key

    def remove(self, name: str) -> None:
        """Removes a key; a running service refuses it from the next request on.

        Raises:
            UsageError: there is none of this name.
            FloodSegError: the file cannot be read or written.
        """
        if name not in (known := self.entries()):  # before a file is made for the lock
            raise UsageError(f"--remove-key {name}: {self.path} has no such key{did_you_mean(name, known)}")
        with self._changed() as entries:
            entries.pop(name, None)

    @contextmanager
    def _changed(self) -> Iterator[dict[str, KeyEntry]]:
        """Yields the entries to be changed, and writes them; two processes do so one after the other."""
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            entries = self.entries()
            yield entries
            record = {"keys": {name: asdict(entry) for name, entry in entries.items()}}
            write_secret(self.path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def write_secret(path: Path, text: str) -> None:
    """Writes a file that only its owner may read.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)


def _parse(text: bytes) -> dict[str, KeyEntry]:
    return {name: KeyEntry(**entry) for name, entry in json.loads(text)["keys"].items()}


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a file's lock, which ends with the process; without effect on Windows, which has another one."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be written ({error.strerror}); choose another place") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
