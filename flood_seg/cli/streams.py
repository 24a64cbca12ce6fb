"""Standard output and standard error that never stop the work: closed, full, without a reader, or of limited encoding.

What cannot be written there is dropped, files are still written, and the exit code says in the end what was lost.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BROKEN_PIPE = 141  # 128 + SIGPIPE, as a shell reports for git and grep; 1 means that a check has found errors


class Sink(io.RawIOBase):
    """The raw end of a stream: drops everything after the first failure.

    Attributes:
        error: the first failure.
    """

    def __init__(self, descriptor: int, *, closed: bool) -> None:
        """Takes the file descriptor; `closed`: there was none, and it leads nowhere now."""
        super().__init__()
        self.error: OSError | None = None
        self._descriptor, self._closed = descriptor, closed

    def write(self, data: ReadableBuffer, /) -> int:
        """Writes a part of the bytes, or drops them all; returns how many."""
        size = memoryview(data).nbytes
        if self.error is not None:
            return size
        if self._closed:
            self.error = OSError(errno.EBADF, os.strerror(errno.EBADF))
            return size
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another program has set the terminal or the pipe so
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
                return size

    def fileno(self) -> int:
        """Returns the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether this is a terminal."""
        return not self._closed and os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Always."""
        return True


def open_streams() -> Sink | None:
    r"""Replaces the process's own standard output and error by streams that cannot fail, unless they were replaced.

    Characters that the encoding lacks, and bytes of file names that are not UTF-8, are written as Python's `\xe9`,
    `\u2192` or `\udce9`.

    Returns:
        the raw end of standard output; None where it was not the process's own.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file that is opened, a photo maybe, would be standard output
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sink = None
    if sys.stdout is sys.__stdout__:
        sink = Sink(1, closed=sys.stdout is None)
        sys.stdout = _text(sink, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(Sink(2, closed=sys.stderr is None), sys.stderr, lines=True)
    return sink


def _text(sink: Sink, old: TextIO | None, *, lines: bool = False) -> TextIO:
    if old is not None:
        with suppress(OSError):
            old.flush()
    encoding = getattr(old, "encoding", None) or "utf-8"
    at_once = lines or sink.isatty() or bool(getattr(old, "write_through", False))
    return io.TextIOWrapper(io.BufferedWriter(sink), encoding, "backslashreplace", line_buffering=at_once)
