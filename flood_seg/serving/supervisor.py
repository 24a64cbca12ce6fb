"""Runs between the command and the embedded server: whichever of the two is killed, no process is left running.

A stub of Triton's Python backend whose server is killed while it loads a model waits for a lock forever. This script
adopts such orphans and ends them, and ends the server when the command that started it is gone. It imports the standard
library alone, so that it stays small.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_SECONDS = 5.0  # for a server whose command is gone; with a client connected Triton waits for 10


def main(arguments: list[str]) -> int:
    """Starts a server, waits for its end, and ends what it leaves behind.

    Args:
        arguments: the process id of the command that the server belongs to, 0 for none; the seconds that the server has
            to end when that command is gone; the server's command line.

    Returns:
        the server's exit code; 128 + N where signal N ended it.
    """
    parent, grace, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    server = os.fork()
    if server == 0:
        _become(command)

    def end(number: int, _: Any) -> None:
        with suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL if number == signal.SIGALRM else signal.SIGTERM)
        if number == signal.SIGHUP:
            signal.setitimer(signal.ITIMER_REAL, grace)

    # No time limit for SIGTERM: its sender has one.
    handled = (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    for number in handled:
        signal.signal(number, end)
    if parent:
        _prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
        if os.getppid() != parent:  # it had ended before
            end(signal.SIGHUP, None)
    status = _wait_for(server)
    for number in handled:
        signal.signal(number, signal.SIG_IGN)
    _end_children()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(command: list[str]) -> NoReturn:
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # if this script is killed
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.stderr.write(f"error: {command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value)


def _wait_for(server: int) -> int:
    """Returns the status of the server's end; reaps orphans meanwhile."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == server:
            return status


def _end_children() -> None:
    """Ends its own children, and theirs, which become its own."""
    while True:
        for pid in _children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
        return [int(pid) for pid in file.read().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
