"""Terminal output: lines, warnings, tables, progress."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

LOG_WIDTH = 160
LONGEST_WORD, KEPT = 300, 80  # characters of a word in an error, and those of each end that are kept of a longer one
# C0 and C1 control characters, what Unicode breaks lines at, what reorders a line, and half surrogates, which are bytes
# that are not UTF-8: a file's name may hold all of them.
_UNPRINTABLE = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A),
                *range(0xD800, 0xE000))  # fmt: skip
_ESCAPES = {code: repr(chr(code))[1:-1] for code in _UNPRINTABLE}

_sinks: list[Callable[[str, bool], None]] = []  # of `lines_to`, the innermost last


def one_line(text: str) -> str:
    r"""Returns `text` with what cannot be printed as Python writes it, `\n` or `\udce9` for example."""
    return text.translate(_ESCAPES)


def say(*lines: str) -> None:
    """Writes lines of the verb's result to stdout."""
    if _sinks:
        for line in lines:
            _sinks[-1](line, False)
        return
    sys.stdout.write("".join(f"{one_line(line)}\n" for line in lines))
    sys.stdout.flush()


def warn(line: str) -> None:
    """Writes a line to stderr."""
    if _sinks:
        _sinks[-1](line, True)
        return
    sys.stderr.write(f"flood-seg: {one_line(line)}\n")
    sys.stderr.flush()


@contextmanager
def lines_to(sink: Callable[[str, bool], None]) -> Iterator[None]:
    """Gives lines to `sink` in the meantime, instead of writing them, with whether each is a warning: to a log."""
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.remove(sink)


def fail(line: str) -> None:
    """Writes to stderr why the command has failed."""
    warn(f"error: {shorten_words(line)}")


def shorten_words(line: str) -> str:
    """Returns a line with the middle of very long words left out."""
    return re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda word: _ends(word[0]), line)


def _ends(word: str) -> str:
    return f"{word[:KEPT]}…({len(word)} characters)…{word[-KEPT:]}"


def counted(number: int, noun: str) -> str:
    """Returns `1 tile`, `2 tiles`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Returns a duration as `3 min 5 s`, or `2 h 14 min` from one hour."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table to stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(one_line(str(cell)) for cell in row))
    table.columns[0].overflow = "fold"
    # A log has no width to fit into. A file name may look like markup.
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH, markup=False, emoji=False)
    console.print(Text(one_line(title), style="italic"))  # as the table's own title it would be broken at its width
    console.print(table)


@contextmanager
def live_line(state: Callable[[], tuple[str, float, str]]) -> Iterator[None]:
    """Shows a line with a bar on stderr in the meantime, where that is a terminal.

    Args:
        state: returns a label, the share that is done, in [0, 1], and words on the rest, whenever the line is drawn.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def draw() -> Table:
        label, share, words = state()
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_row(Text(one_line(label)), ProgressBar(1, share), Text(words))
        return line

    # Lines of the result that go to a file are not for the terminal.
    redirect = sys.stdout.isatty()
    with Live(get_renderable=draw, console=Console(stderr=True), transient=True, redirect_stdout=redirect):
        yield


def track(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    """Passes `items` on and shows a progress bar with the time left on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description=label, total=total, console=Console(stderr=True))
