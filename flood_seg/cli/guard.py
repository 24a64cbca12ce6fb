"""Puts right what python-fire does with a command line, before python-fire sees it.

By itself Fire runs a verb with its defaults before it complains of a mistyped flag, reads `--docker-version 24.10` as
the number 24.1, lets `-m` swallow the next override, and pages its help.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

from flood_seg.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHORT_FLAGS = {"-m": "--multirun"}
HELP_FLAGS = ("-h", "--help")
OVERRIDE = re.compile(r"(\+\+?|~)?[A-Za-z_][\w./@]*(=.*)?", re.DOTALL)
WORDS = {"true": "True", "false": "False", "1": "True", "0": "False"}


def guard(component: type, arguments: Sequence[str], program: str) -> list[str] | None:
    """Checks the arguments against the verb's signature and rewrites them so that Fire reads them as meant.

    Args:
        component: a class whose public methods are the verbs; a public nested class is a group of verbs.
        arguments: the command line after the program's name.
        program: the program's name, for help and errors.

    Returns:
        the arguments for Fire, or None where help was asked for and printed.

    Raises:
        UsageError: an unknown verb or flag, a flag without its value, an argument that is no override.
    """
    asks = list(arguments[:1]) == ["help"]  # only as the first word: `--out help` is a folder's name
    wants_help = asks or any(argument in HELP_FLAGS for argument in arguments)
    words = [argument for argument in arguments[int(asks) :] if argument not in HELP_FLAGS]
    verb, path, rest = component, list[str](), words
    while inspect.isclass(verb) and rest:
        verb, name, rest = _choose(verb, rest, program, path)
        path.append(name)
    if wants_help or inspect.isclass(verb):
        print(help_text(verb, " ".join([program, *path])))
        return None
    return [*path, *_rewrite(verb, rest, " ".join([program, *path]))]


def verbs(component: type) -> dict[str, Any]:
    """Returns the public methods and groups of a component by the names that are typed."""
    return {name.replace("_", "-"): item for name, item in vars(component).items() if not name.startswith("_")}


def parameters(verb: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the flags of a verb by the names that are typed, without their dashes."""
    return {
        name.replace("_", "-"): parameter
        for name, parameter in inspect.signature(verb).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_POSITIONAL
    }


def help_text(item: Any, command: str) -> str:
    """Returns the help of a verb, or of a component with a line a verb."""
    text, _, described = (inspect.getdoc(item) or "").partition("\n\nArgs:\n")
    if inspect.isclass(item):
        rows = [f"  {name:<16} {(inspect.getdoc(verb) or '').splitlines()[0]}" for name, verb in verbs(item).items()]
        return "\n".join([text, "", f"usage: {command} VERB [--flag value] [key=value]", "", *rows])
    texts = _texts(described)
    rows = [_row(f"--{name}", _kind(one), texts.get(one.name, "")) for name, one in parameters(item).items()]
    if overrides := texts.get("*overrides"):
        rows.append(_row("key=value", "", overrides))
    return "\n".join([f"usage: {command} [--flag value] [key=value]", "", text, "", *rows])


def _texts(described: str) -> dict[str, str]:
    """Returns each argument's text of a docstring's list of arguments."""
    joined = re.sub(r"\n\s{8,}", " ", described)
    pairs = (line.strip().partition(": ") for line in joined.splitlines())
    return {name: text.removesuffix(".") for name, _, text in pairs}


def _kind(parameter: inspect.Parameter) -> str:
    """Says what a flag takes, and what it is by default."""
    if _is_bool(parameter):
        return ""
    kind = str(parameter.annotation).replace(" | None", "")
    kind = {"str": "", "int": "number", "tuple[str, ...]": "several"}.get(kind, kind)
    default = f"default {parameter.default}" if parameter.default not in (None, (), parameter.empty) else ""
    return ", ".join(part for part in (kind, default) if part)


def _row(name: str, kind: str, text: str) -> str:
    line = f"{text} ({kind})" if kind else text
    return textwrap.fill(
        line, 100, initial_indent=f"  {name:<18} ", subsequent_indent=" " * 21, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _choose(component: type, words: list[str], program: str, path: list[str]) -> tuple[Any, str, list[str]]:
    name, known = words[0].replace("_", "-"), verbs(component)
    command = " ".join([program, *path])
    if name.startswith("-"):
        flags = () if path else ("--help", "--version")
        raise UsageError(f"{words[0]}: {command} wants a verb first{did_you_mean(name, flags)}; see {command} --help")
    if name not in known:
        raise UsageError(
            f"{words[0]}: {command} has no such verb{did_you_mean(name, known)}; there are {', '.join(known)}"
        )
    return known[name], name, words[1:]


def _rewrite(verb: Callable[..., Any], words: Sequence[str], command: str) -> list[str]:
    known, rewritten, queue = parameters(verb), list[str](), list(words)
    kinds = [parameter.kind for parameter in inspect.signature(verb).parameters.values()]
    takes_overrides = inspect.Parameter.VAR_POSITIONAL in kinds
    while queue:
        word = queue.pop(0)
        if not word.startswith("-"):
            if not takes_overrides:  # python-fire would take it for the value of the first flag
                advice = f"see {command} --help" if "=" in word else f"did you mean --{next(iter(known))} {word}?"
                raise UsageError(f"{word}: {command} takes no key=value overrides; {advice}")
            rewritten.append(_override(word, known, rewritten, command))
            continue
        flag, equals, value = word.partition("=")
        name = SHORT_FLAGS.get(flag, flag).lstrip("-").replace("_", "-")
        if name not in known and name.startswith("no") and _is_bool(known.get(name[2:].lstrip("-"))):
            name, equals, value = name[2:].lstrip("-"), "=", "false"
        if name not in known:
            near = did_you_mean(name, known).replace("'", "'--", 1)
            if "." in name:
                near = f" (did you mean {flag.lstrip('-')}={value or '...'}, without dashes?)"
            raise UsageError(f"{flag}: {command} has no such flag{near}; see {command} --help")
        rewritten.append(_flag(name, known[name], equals, value, queue, command))
    return rewritten


def _override(word: str, known: dict[str, inspect.Parameter], rewritten: Sequence[str], command: str) -> str:
    if OVERRIDE.fullmatch(word) and ("=" in word or word.startswith("~")):
        return _quoted(word)
    name = next((name for name in ("image", "ckpt", "model") if name in known), None)
    advice = f"did you mean {command} {f'--{name} {word}' if name else 'key=value'}?"
    if any(done.startswith(f"--{name}=") for done in rewritten):  # a pattern that the shell has expanded
        advice = f"--{name} takes one value; put a pattern or a path with spaces in quotes"
    raise UsageError(f"{word}: neither a flag nor a key=value override; {advice}")


def _flag(name: str, parameter: inspect.Parameter, equals: str, value: str, queue: list[str], command: str) -> str:
    """Returns `--name=value` as Fire reads it; takes the value from the queue where it is a word of its own."""
    target = f"--{name.replace('-', '_')}"
    if _is_bool(parameter):
        if not equals and queue and queue[0].lower() in WORDS:
            value = queue.pop(0)
        if value and value.lower() not in WORDS:
            raise UsageError(f"--{name}={value}: {command} takes true or false there")
        return f"{target}={WORDS[value.lower()] if value else 'True'}"
    if not equals:
        if not queue or queue[0].startswith("--"):
            raise UsageError(f"--{name}: {command} wants a value after it")
        value = queue.pop(0)
    if not value:
        raise UsageError(f"--{name}: {command} wants a value after it, not an empty one")
    if "tuple" in str(parameter.annotation):
        values = [value]
        while queue and not queue[0].startswith("-") and not ("=" in queue[0] and OVERRIDE.fullmatch(queue[0])):
            values.append(queue.pop(0))
        return f"{target}={tuple(values)!r}"
    if "int" in str(parameter.annotation):
        if not re.fullmatch(r"[+-]?\d+", value):
            raise UsageError(f"--{name} {value}: {command} takes a whole number there")
        return f"{target}={int(value)}"
    return f"{target}={_quoted(value)}"


def _is_bool(parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and "bool" in str(parameter.annotation)


def _quoted(value: str) -> str:
    """A Python literal, so that Fire takes the value as the string that was typed."""
    return repr(value)
