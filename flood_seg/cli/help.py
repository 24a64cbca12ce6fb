"""The text of `--help`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from flood_seg.cli.table import GROUPS, SUMMARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.cli.table import Flag, Verb

KINDS = {int: "integer", tuple: "one or more"}


def help_of_verbs(verbs: Sequence[Verb], command: str, path: Sequence[str]) -> str:
    """Returns the help of the command or of a group: one line per verb or group."""
    rows = {}
    for verb in verbs:
        group, name = len(verb.name.split()) > len(path) + 1, verb.name.split()[len(path)]
        rows[name] = GROUPS.get(name, "") if group else verb.summary
    summary = GROUPS.get(" ".join(path), SUMMARY) if path else SUMMARY
    lines = [f"  {name:<16} {text}" for name, text in rows.items()]
    more = f"{command} VERB --help lists the flags of a verb, with examples."
    return "\n".join([summary, "", f"usage: {command} VERB [--flag value] [key=value]", "", *lines, "", more])


def help_of_verb(verb: Verb, command: str) -> str:
    """Returns the help of a verb: usage, summary, examples, flags and overrides."""
    rows = [_row(f"--{flag.name}", _kind(flag), flag.help) for flag in verb.flags]
    if verb.overrides:
        rows.append(_row("key=value", "", verb.overrides))
    usage = f"usage: {command} [--flag value]" + (" [key=value]" if verb.config else "")
    return "\n".join([usage, "", verb.summary, "", *(f"  {example}" for example in verb.examples), "", *rows])


def _kind(flag: Flag) -> str:
    """Returns the kind of value of a flag and its default, unless the help text contains them."""
    default = "" if flag.kind is bool or flag.default in (None, ()) else f"default: {flag.default}"
    return ", ".join(part for part in (KINDS.get(flag.kind, ""), default) if part)


def _row(name: str, kind: str, text: str) -> str:
    line = f"{text} ({kind})" if kind else text
    return textwrap.fill(
        line, 100, initial_indent=f"  {name:<18} ", subsequent_indent=" " * 21, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
