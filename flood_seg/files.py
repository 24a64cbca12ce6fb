"""Reads regular files, and writes files whole or not at all."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import stat
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

UNENCODABLE = "backslashreplace"  # valid in JSON too, from which Python restores the original
SHORT_NAME = 128  # bytes that every file system accepts
NAME_MAX = 255  # bytes of a name, where the system does not report it
LONG_SUFFIX = 32  # longer than that of any format


def regular(path: Path) -> Path:
    """Returns `path` if reading it cannot block or go on forever, as of a pipe or a device.

    Raises:
        OSError: it is missing, or a pipe, a socket or a device.
    """
    if _is_special(path):  # opening a folder fails by itself
        raise OSError(errno.EINVAL, "is a pipe, a socket or a device; give a regular file", str(path))
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path` and renames it to `path` on success.

    Missing folders are made. Where the body fails, nothing is left behind.

    Raises:
        OutputError: the folder or the file cannot be written, or `path` is a device, a pipe or a socket.
    """
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and _is_special(path):
            raise OutputError(f"{path}: is not a regular file but a device, a pipe or a socket; give another name")
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A temporary name, hidden, of the same suffix, which some writers take for the format; short where that is long.

    A name of 255 bytes, the most of most file systems, leaves no room for anything before or after it.
    """
    end = f".{os.getpid()}.part{path.suffix if len(path.suffix) < LONG_SUFFIX else ''}"
    usual = f".{path.stem}{end}"
    if len(os.fsencode(usual)) <= SHORT_NAME:
        return path.with_name(usual)
    return path.with_name(f".{sha256(os.fsencode(path.name)).hexdigest()[:16]}{end}")


def _is_special(path: Path) -> bool:
    mode = path.stat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_name(path: Path) -> None:
    """Checks before long work whether the last name of `path` is too long for its file system.

    Raises:
        OutputError: it is.
    """
    if len(name := os.fsencode(path.name)) <= SHORT_NAME:
        return
    above = next(place for place in path.absolute().parents if place.is_dir())
    most = os.pathconf(above, "PC_NAME_MAX") if hasattr(os, "pathconf") else NAME_MAX
    if len(name) > most:
        raise OutputError(f"{path}: a name of {len(name)} bytes, of which the file system takes {most}; shorten it")


def clear_leftovers(folder: Path) -> list[Path]:
    """Removes what `atomic_path` left below a folder in processes that were killed.

    A file of another process that is still alive stays; this process must not be writing any.

    Returns:
        the removed files.
    """
    removed = []
    for path in sorted(folder.rglob(".*.part*")):
        found = re.fullmatch(r"\..*\.(\d+)\.part(\.[^.]*)*", path.name)
        if found and not path.is_dir() and not _is_alive(int(found[1])):
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _is_alive(pid: int) -> bool:
    """Whether another process has that number."""
    if os.name == "nt":  # where signal 0 ends a process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid != os.getpid()  # in a container a killed process had the same number


def check_writable(path: Path, *, folder: bool = True) -> None:
    """Checks before long work whether results can be written to `path`, which need not exist yet.

    Args:
        path: of the results.
        folder: whether that is a folder, or a file.

    Raises:
        OutputError: it is the other one, a folder above it is a file, or it cannot be written to.
    """
    if not folder and path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file")
    above = next((place for place in (path, *path.absolute().parents) if place.exists()), None)
    if above is None or (above == path and not folder):
        return
    if not above.is_dir():
        found = "is a file; give a folder" if above == path else f"{above} is a file; choose another place"
        raise OutputError(f"{path}: {found}")
    if not os.access(above, os.W_OK):
        raise OutputError(f"{path}: cannot be written (Permission denied); choose another place")


def check_suffix(path: Path, suffixes: Sequence[str], what: str) -> None:
    """Checks before long work that a name fits what is written, so that nothing else is overwritten.

    Args:
        path: of the result.
        suffixes: that it may end in.
        what: is written.

    Raises:
        OutputError: it ends in another.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{path}: {what} is written there; give a name that ends in {' or '.join(suffixes)}")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes a header and rows as CSV; None becomes an empty field.

    Raises:
        OutputError: the file cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors=UNENCODABLE) as file,
    ):
        csv.writer(file).writerows([columns, *rows])


def copy_file(source: Path, target: Path) -> None:
    """Copies a file byte by byte.

    Raises:
        OutputError: it cannot be read, or `target` cannot be written.
    """
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def write_json(path: Path, record: Any) -> None:
    """Writes `record` as indented JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str, errors: str = UNENCODABLE) -> None:
    r"""Writes `text` as UTF-8.

    Args:
        path: of the file.
        text: may contain bytes of file names that are not UTF-8, which Python represents as lone surrogates.
        errors: how those are written: as Python and JSON write them, `\udce9`; `surrogateescape`: as the bytes that
            they were.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


def encodable(text: str) -> str:
    """Returns `text` as `write_text` writes it, for formats that encode by themselves."""
    return text.encode("utf-8", UNENCODABLE).decode("utf-8")


def cached_json(file: Path, compute: Callable[[], Any]) -> Any:
    """Returns the JSON value in `file`, or computes it and writes it there, where the folder can be written."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = compute()
    with suppress(OutputError):
        write_json(file, value)
    return value


def shorten(path: Path) -> Path:
    """Returns the path relative to the working directory where it lies inside."""
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
