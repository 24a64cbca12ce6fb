"""How skipped samples are reported: the first of each kind by name, the others counted."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from flood_seg.console import warn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

NAMED = 3  # of a kind
KINDS = 8  # that are distinguished; further ones are counted together
ALL = "FLOOD_SEG_FAULTS"  # an environment variable; `all` names each
CHECK = "flood-seg data check lists each"
EVERY = f"{ALL}=all names each"


class LeftOut:
    """Warns of skipped items as they occur, the first three of each kind, and counts the others at the end.

    with LeftOut("--json lists each") as left_out:
        left_out.add("17", "/data/images/17.jpg: the file is empty")

    Attributes:
        listing: text on where all of them are listed.
        reasons: of all items, by their names.
    """

    def __init__(self, listing: str = EVERY) -> None:
        self.listing, self._all = listing, os.environ.get(ALL) == "all"
        self._names: dict[str, list[str]] = defaultdict(list)
        self.reasons: dict[str, str] = {}

    def __len__(self) -> int:
        return sum(map(len, self._names.values()))

    def __enter__(self) -> LeftOut:
        return self

    def add(self, name: str, reason: str, line: str = "") -> None:
        """Notes that something is left out.

        Args:
            name: a stem or a file.
            reason: may begin with the file's path.
            line: what the warning says; empty: both.
        """
        kind = kind_of(name, reason)
        if kind not in self._names and len(self._names) >= KINDS:
            kind = "other faults"
        self._names[kind].append(name)
        self.reasons[name] = reason
        if self._all or (kind != "other faults" and len(self._names[kind]) <= NAMED):
            warn(line or f"{name} left out: {reason}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._all:
            return
        for what, names in self._names.items():
            named = 0 if what == "other faults" else NAMED
            if len(names) > named:
                warn(f"{len(names) - named} more left out, {len(names)} in all: {what}; {self.listing}")


def grouped(faults: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Groups (name, reason) by the kind of fault; returns (kind, names), or (reason, [name]) if a kind occurs once."""
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, reason in faults:
        groups[kind_of(name, reason)].append((name, reason))
    return [(several[0][1] if len(several) == 1 else kind, [name for name, _ in several])
            for kind, several in groups.items()]  # fmt: skip


def first_of(names: list[str]) -> str:
    """Returns `a, b, c and 147 more`; all of them where FLOOD_SEG_FAULTS=all."""
    shown = names if os.environ.get(ALL) == "all" else names[:NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def kind_of(name: str, reason: str) -> str:
    """Returns a reason without the file's own name and numbers, which differ between faults of one kind."""
    own = re.match(rf"({re.escape(name)}|[^:]*\.\w{{2,7}}): (?=\S)", reason)
    reason = reason[own.end() :] if own else reason
    return re.sub(r"\d+(?:[.,]\d+)*", "N", re.sub(r"'[^']*'", "'...'", reason))
