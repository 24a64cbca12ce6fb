"""Runs the `flood-seg` command: the only place that exits."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.cli.guard import guard
from flood_seg.cli.streams import BROKEN_PIPE, Sink, open_streams
from flood_seg.cli.table import VERBS
from flood_seg.console import fail
from flood_seg.errors import FloodSegError, UsageError
from flood_seg.extras import missing_extra
from flood_seg.resources import LESS_MEMORY, check_address_space, is_out_of_memory
from flood_seg.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# Errors of the machine that may come anywhere, without the name of a file.
MACHINE = frozenset({errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, getattr(errno, "EDQUOT", 0)})


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits.

    The exit code is 0 on success, 2 after an error that the user can fix, after running out of memory, or if standard
    output could not be written, 1 after a bug (or a check that found errors), 130 after an interrupt, and 141 on
    success with a closed pipe at standard output.
    """
    sink = open_streams()
    code = _exit_code(list(sys.argv[1:] if arguments is None else arguments))
    if code := _lost(sink, code):
        sys.exit(code)


def _exit_code(arguments: list[str]) -> int:
    try:
        _run(arguments)
    except KeyboardInterrupt:
        print("flood-seg: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        line = _one_line(error)
        if line is None or os.environ.get("FLOOD_SEG_DEBUG") == "1":
            raise
        fail(line)
        return error.exit_code if isinstance(error, FloodSegError) else 2
    return 0


def _one_line(error: Exception) -> str | None:
    """Returns what a user reads of an error, or None of a bug: a traceback."""
    if isinstance(error, FloodSegError):
        return str(error)
    if is_out_of_memory(error):
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"not enough memory ({reason[:200]}); {LESS_MEMORY}"
    if isinstance(error, OSError) and error.strerror and (error.filename is not None or error.errno in MACHINE):
        # A folder that cannot be listed, a name that is too long, a disk that is full or failing
        where = os.fsdecode(error.filename) + ": " if isinstance(error.filename, str | bytes) else ""
        return f"{where}{error.strerror}; check the path, its permissions and the disk"
    return None


def _lost(sink: Sink | None, code: int) -> int:
    """Returns the exit code, which says that standard output could not be written where nothing worse happened."""
    sys.stdout.flush()
    if sink is None or sink.error is None:
        return code
    if isinstance(sink.error, BrokenPipeError):
        return code or BROKEN_PIPE
    fail(f"standard output: cannot be written ({sink.error.strerror}); files are written all the same")
    return code or 2


def _run(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        print(__version__)
        return
    command = guard(VERBS, arguments, "flood-seg")
    if command is None:
        return
    verb, flags = command
    _check_working_directory()
    _read_dotenv()
    check_address_space()
    import fire

    with missing_extra(arguments[0]):
        # A verb returns a record for Python; its output is already printed.
        fire.Fire(verb.load(), command=flags, name=f"flood-seg {verb.name}", serialize=lambda record: None)


def _check_working_directory() -> None:
    try:
        os.getcwd()  # noqa: PTH109
    except OSError as error:
        raise UsageError(f"the working directory does not exist ({error.strerror}); cd to one that does") from error


def _read_dotenv() -> None:
    """Sets what `.env` in the working directory says and the environment does not: keys of trackers, of S3.

    Raises:
        UsageError: it is not UTF-8 text.
    """
    file = Path(".env")
    if not file.is_file():
        return
    from dotenv import load_dotenv

    try:
        load_dotenv(file)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file.absolute()}: is not UTF-8 text; write one NAME=value per line") from error
