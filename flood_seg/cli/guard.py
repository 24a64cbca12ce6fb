"""Checks a command line before python-fire reads it.

python-fire by itself runs a verb before it complains about a mistyped flag, turns `--docker-version 24.10` into the
number 24.1 and `--image 1234` into an integer, and lets `-m` take the next override for its value.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flood_seg.cli.help import help_of_verb, help_of_verbs
from flood_seg.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.cli.table import Flag, Verb

SHORT_FLAGS = {"-m": "--multirun"}
HELP_FLAGS = ("-h", "--help")
OVERRIDE = re.compile(r"(\+\+?|~)?[A-Za-z_][\w./@-]*(=.*)?", re.DOTALL)
BOOLEANS = {"true": "True", "false": "False", "1": "True", "0": "False"}


def guard(table: Sequence[Verb], arguments: Sequence[str], program: str) -> tuple[Verb, list[str]] | None:
    """Checks the arguments against the table of verbs and rewrites them so that Fire reads them as meant.

    Args:
        table: the verbs.
        arguments: the command line after the program's name.
        program: the program's name, for help and errors.

    Returns:
        the verb, and the arguments of its function for Fire; None where help was asked for and printed.

    Raises:
        UsageError: an unknown verb or flag, a flag without its value, an argument that is not an override.
    """
    is_help_verb = list(arguments[:1]) == ["help"]  # only as the first word: `--out help` is a folder's name
    wants_help = is_help_verb or any(argument in HELP_FLAGS for argument in arguments)
    words = [argument for argument in arguments[int(is_help_verb) :] if argument not in HELP_FLAGS]
    path: list[str] = []
    verbs = {tuple(verb.name.split()): verb for verb in table}
    while words and tuple(path) not in verbs:
        path.append(_choose(verbs, path, words.pop(0), program))
    command, verb = " ".join([program, *path]), verbs.get(tuple(path))
    if verb is None:
        print(help_of_verbs([verb for verb in table if verb.name.split()[: len(path)] == path], command, path))
        return None
    if wants_help:
        print(help_of_verb(verb, command))
        return None
    return verb, _rewrite(verb, words, command)


def _choose(verbs: dict[tuple[str, ...], Verb], path: list[str], word: str, program: str) -> str:
    """Returns the name of a verb or of a group, given the names before it."""
    name, command = word.replace("_", "-"), " ".join([program, *path])
    known = list(dict.fromkeys(words[len(path)] for words in verbs if list(words[: len(path)]) == path))
    if name.startswith("-"):
        flags = () if path else ("--help", "--version")
        raise UsageError(f"{word}: {command} requires a verb first{did_you_mean(name, flags)}; see {command} --help")
    if name not in known:
        raise UsageError(f"{word}: {command} has no such verb{did_you_mean(name, known)}; verbs: {', '.join(known)}")
    return name


def _rewrite(verb: Verb, words: list[str], command: str) -> list[str]:
    """Returns `--flag=literal` for each flag, and all overrides as one `--overrides=tuple`."""
    known = {flag.name: flag for flag in verb.flags}
    overrides, rewritten, queue = list[str](), list[str](), list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("-"):
            if verb.config is None:
                advice = f"see {command} --help" if "=" in word else f"did you mean --{next(iter(known))} {word}?"
                raise UsageError(f"{word}: {command} takes no key=value overrides; {advice}")
            overrides.append(_override(word, known, rewritten, command))
            continue
        typed, equals, value = word.partition("=")
        name = SHORT_FLAGS.get(typed, typed).lstrip("-").replace("_", "-")
        if name not in known and name.startswith("no") and _is_switch(known.get(name[2:].lstrip("-"))):
            name, equals, value = name[2:].lstrip("-"), "=", "false"
        if name not in known:
            near = did_you_mean(name, known).replace("'", "'--", 1)
            if "." in name:
                near = f" (did you mean {typed.lstrip('-')}={value or '...'}, without dashes?)"
            raise UsageError(f"{typed}: {command} has no such flag{near}; see {command} --help")
        rewritten.append(_flag(known[name], equals, value, queue, command))
    return [*rewritten, *([f"--overrides={tuple(overrides)!r}"] if overrides else [])]


def _override(word: str, known: dict[str, Flag], rewritten: Sequence[str], command: str) -> str:
    if OVERRIDE.fullmatch(word) and ("=" in word or word.startswith("~")):
        return word
    name = next((name for name in ("image", "ckpt", "model") if name in known), None)
    advice = f"did you mean {command} {f'--{name} {word}' if name else 'key=value'}?"
    if any(done.startswith(f"--{name}=") for done in rewritten):  # a pattern that the shell has expanded
        advice = f"--{name} takes one value; put a pattern or a path with spaces in quotes"
    raise UsageError(f"{word}: neither a flag nor a key=value override; {advice}")


def _flag(flag: Flag, equals: str, value: str, queue: list[str], command: str) -> str:
    """Returns `--name=value` as Fire reads it; takes the value from the queue where it is a word of its own."""
    target = f"--{flag.parameter}"
    if _is_switch(flag):
        if not equals and queue and queue[0].lower() in BOOLEANS:
            value = queue.pop(0)
        if value and value.lower() not in BOOLEANS:
            raise UsageError(f"--{flag.name}={value}: {command} requires true or false")
        return f"{target}={BOOLEANS[value.lower()] if value else 'True'}"
    if not equals:
        if not queue or queue[0].startswith("--"):
            raise UsageError(f"--{flag.name}: {command} requires a value after it")
        value = queue.pop(0)
    if not value:
        raise UsageError(f"--{flag.name}: {command} requires a value after it, not an empty one")
    if flag.kind is tuple:
        values = [value]
        while queue and not queue[0].startswith("-") and not ("=" in queue[0] and OVERRIDE.fullmatch(queue[0])):
            values.append(queue.pop(0))
        return f"{target}={tuple(values)!r}"
    if flag.kind is int:
        if not re.fullmatch(r"[+-]?\d+", value):
            raise UsageError(f"--{flag.name} {value}: {command} requires an integer")
        return f"{target}={int(value)}"
    return f"{target}={value!r}"  # a Python literal, so that Fire keeps the string that was typed


def _is_switch(flag: Flag | None) -> bool:
    return flag is not None and flag.kind is bool
