"""What /proc tells of processes: whether one still runs, which belong to a group, and how they were started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def start_time(pid: int) -> int | None:
    """Returns when a process began, in clock ticks since boot; None where it has ended. Tells a number given anew."""
    fields = _status(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def members(group: int) -> list[int]:
    """Returns the process ids of a process group."""
    return [pid for pid in _all() if (fields := _status(pid)) and fields[0] != "Z" and int(fields[2]) == group]


def called(name: str) -> Iterator[list[str]]:
    """Yields the command lines of all processes whose program has this name."""
    for pid in _all():
        words = command_line(pid)
        if Path(words[0]).name == name:
            yield words


def command_line(pid: int) -> list[str]:
    """Returns a process's command line, its program first; one empty word where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def _all() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _status(pid: int) -> list[str] | None:
    """Returns the fields of /proc/PID/stat that follow the program's name: the state, the parent, the group, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
