"""Which processes run, and how they were started."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def command_line(pid: int) -> list[str]:
    """Returns a process's command line, its program first; empty where it has ended, be it as a zombie."""
    try:
        return list(psutil.Process(pid).cmdline())
    except psutil.Error:
        return []


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def find(*programs: str) -> dict[int, list[str]]:
    """Returns the command lines, by process id, of all processes whose program has one of these names."""
    found = {process.pid: process.info["cmdline"] or [""] for process in psutil.process_iter(["cmdline"])}
    return {pid: words for pid, words in found.items() if Path(words[0]).name in programs}


def group_of(pid: int) -> int | None:
    """Returns the process group of a process; None where it has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
