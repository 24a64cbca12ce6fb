"""Which process runs a job, and whether that process has ended."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOCK_SECONDS = 5.0  # by which the start of a process may seem to move when the clock of the machine is set


def this_process() -> dict[str, Any]:
    """Returns what identifies this process, as JSON."""
    return {"machine": _machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def has_ended(owner: Mapping[str, Any] | None) -> bool:
    """Whether a process is known to have ended; of one on another machine that cannot be known."""
    if owner is None or owner.get("machine") != _machine():
        return False
    try:
        process = psutil.Process(owner["pid"])
        same = abs(process.create_time() - owner["started"]) < CLOCK_SECONDS
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@cache
def _machine() -> str:
    """Returns what differs between machines, between starts of one, and between containers with processes of their own.

    Process ids mean the same only where this is the same.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - a name that is no path
    return " ".join(parts)
