"""Processes that begin where torch and Lightning are imported already, which takes a cold start five seconds.

A server imports them once and forks for each process, which has its own id, signals, folder and streams as one that is
started from cold; tests/cli and the others of a cold start begin with the interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["flood_seg.verbs.train_run"])


class Forked:
    """A process that calls a function in a folder, with this process's environment at its start."""

    def __init__(self, folder: Path, target: Callable[..., None], *arguments: object, **environment: str) -> None:
        with tempfile.NamedTemporaryFile(delete=False) as file:
            self._output = Path(file.name)
        given = (self._output, folder, os.environ | environment, target, arguments)
        self._process = FORKS.Process(target=_call, args=given, daemon=True)
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.exitcode

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def finish(self, seconds: float = 100) -> tuple[int, str]:
        """Waits for its end; returns exit code and all that it wrote to both streams."""
        self._process.join(seconds)
        code, output = self.returncode, self._output.read_text("utf-8")
        assert code is not None, f"runs after {seconds} s: {output}"
        self._output.unlink()
        return code, output


def start(folder: Path, *words: str) -> Forked:
    """Starts `flood-seg` with these words."""
    return Forked(folder, _command, words)


def _call(
    output: Path, folder: Path, environment: dict[str, str], target: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    streams = os.open(output, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(streams, descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    target(*arguments)


def _command(words: tuple[str, ...]) -> None:
    from flood_seg import __main__ as module
    from flood_seg.cli.main import main

    sys.argv = [str(module.__file__), *words]  # which Lightning starts again for each further process
    main()
