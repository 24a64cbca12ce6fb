"""Reads table.md, and counts what docs/reliability.md says of it.

python -m tests.faults.table    aligns its columns, and writes the counts into docs/reliability.md
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("table.md")
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- counts of tests/faults/table.md: python -m tests.faults.table -->\n", "<!-- end of the counts -->\n"
LONG = "LONG"  # in a command: 100,000 characters


@dataclass(frozen=True)
class Fault:
    """A row of the table.

    Attributes:
        topic: the heading above it.
        what: is wrong.
        command: what is typed after `flood-seg`; after `$` a line of bash, which runs in a process of its own.
        code: the exit code.
        message: a part of the error's line.
        left: patterns of the files that are there afterwards and were not before.
    """

    topic: str
    what: str
    command: str
    code: int
    message: str
    left: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        """The words of the command."""
        return [word.replace(LONG, "x" * 100_000) for word in shlex.split(self.command)]


def read_faults(path: Path = TABLE) -> list[Fault]:
    """Returns the rows of the table."""
    topic, faults = "", list[Fault]()
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("## "):
            topic = line.removeprefix("## ")
        elif topic and line.startswith("|") and not line.startswith(("| fault", "| ---")):
            what, command, code, message, left = (cell.strip() for cell in _cells(line))
            words = (_plain(cell) for cell in (command, message, left))
            command, message, left = words
            faults.append(Fault(topic, what, command, int(code), message, tuple(shlex.split(left))))
    return faults


def aligned(text: str) -> str:
    """Returns the text of the table with the columns of each topic aligned."""
    topics = re.split(r"(?m)^(?=## )", text)
    return "".join([topics[0], *map(_align, topics[1:])])


def _align(topic: str) -> str:
    lines = topic.splitlines()
    rows = {place: [cell.strip() for cell in _cells(line)] for place, line in enumerate(lines) if line[:1] == "|"}
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    for place, row in rows.items():
        fill = "-" if set("".join(row)) == {"-"} else " "
        lines[place] = (
            "| " + " | ".join(cell.ljust(width, fill) for cell, width in zip(row, widths, strict=True)) + " |"
        )
    return "\n".join([*lines, ""])


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)[1:-1]


def _plain(cell: str) -> str:
    return cell.replace("\\|", "|").strip("`")


def counts(faults: list[Fault]) -> str:
    """Returns the counts by topic as a table in Markdown.

    All but the first column of numbers follow from the test: it fails where one of them is another.
    """
    by_topic = Counter(fault.topic for fault in faults)
    rows = [(topic, str(count)) for topic, count in by_topic.items()] + [("**all**", f"**{len(faults)}**")]
    lines = [f"| {topic} | {count} | {count} | {count} | 0 | 0 | 0 | 0 |" for topic, count in rows]
    head = ["| topic | tried | one line | correct | traceback | hang | lost | silent |", f"|{' --- |' * 8}"]
    return "\n".join([*head, *lines, ""])


def page(text: str) -> str:
    """Returns docs/reliability.md with the counts as they are now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{counts(read_faults())}{END}{after}"


if __name__ == "__main__":
    TABLE.write_text(aligned(TABLE.read_text("utf-8")), "utf-8")
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
