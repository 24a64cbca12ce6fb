"""Completes a command line as Hydra does: verbs, flags, groups, choices and keys; nothing heavy is imported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flood_seg.cli.table import Verb

BASH = r"""
_flood_seg() {
  local line="${COMP_LINE:0:$COMP_POINT}"
  local current="${line##* }"
  # bash splits words at = and :, and expects the part after them
  local before="${current%"${current##*[=:]}"}"
  local words; mapfile -t words < <(flood-seg completion --line "$line" 2>/dev/null)
  COMPREPLY=("${words[@]#"$before"}")
  [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" != *[=.,/] ]] || compopt -o nospace 2>/dev/null
}
complete -o default -F _flood_seg flood-seg
"""
ZSH = r"""
autoload -Uz compinit && compinit -u
_flood_seg() {
  local -a words_; words_=("${(@f)$(flood-seg completion --line "${LBUFFER}" 2>/dev/null)}")
  compadd -S '' -a words_
  [[ -n "$words_" ]] || _files
}
compdef _flood_seg flood-seg
"""
FISH = r"""
complete -c flood-seg -a '(flood-seg completion --line (commandline -cp) 2>/dev/null)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def complete(line: str, table: Sequence[Verb]) -> list[str]:
    """Returns the words that the last word of a line may become.

    Args:
        line: up to the cursor, with the program's name.
        table: the verbs.
    """
    *done, current = line.split(" ")
    verbs = {tuple(verb.name.split()): verb for verb in table}
    path: list[str] = []
    words = [word for word in done[1:] if word]
    while tuple(path) not in verbs:
        below = [names[len(path)] for names in verbs if list(names[: len(path)]) == path]
        if not words:
            return _beginning(set(below), current)
        if words[0] not in below:
            return []
        path.append(words.pop(0))
    verb = verbs[tuple(path)]
    if current.startswith("-"):
        return _beginning([f"--{flag.name}" for flag in verb.flags], current)
    if verb.config is None:
        return []
    hidden = {key for other in table if other.config == verb.config for key in other.keys} - set(verb.keys)
    return [word for word in _overrides(verb, current) if re.split(r"[.=]", word.lstrip("+~"))[0] not in hidden]


def _overrides(verb: Verb, current: str) -> list[str]:
    from flood_seg.config.repository import choices
    from flood_seg.config.schema import SCHEMAS
    from flood_seg.config.schema.checks import nested_schema, schema_keys

    word = current.lstrip("+~")
    sign = current.removesuffix(word)
    groups, schema = _groups(str(verb.config)), SCHEMAS[str(verb.config)]
    key, equals, value = word.partition("=")
    if equals and key in groups:
        before, _, last = value.rpartition(",")
        before = f"{before}," if before else ""
        return [f"{sign}{key}={before}{choice}" for choice in _beginning(choices(key), last)]
    if equals:
        return [f"{sign}{key}={known}" for known in _beginning(_values(schema, key), value)]
    leaves = [leaf for leaf, kind in schema_keys(schema).items() if nested_schema(kind) is None]
    known = [f"{name}=" for name in (*groups, *leaves)]
    return sorted({sign + _up_to_a_dot(one, word) for one in _beginning(known, word)})


def _values(schema: type, key: str) -> tuple[str, ...]:
    """Returns the values of a key that has a closed choice, or that is true or false."""
    from flood_seg.config.schema.checks import choices_of, nested_schema, schema_keys

    keys = schema_keys(schema)
    group, _, name = key.rpartition(".")
    owner = nested_schema(keys.get(group)) if group else schema
    values = choices_of(owner).get(name, ()) if owner else ()
    return ("false", "true") if keys.get(key) is bool else values


def _groups(file: str) -> list[str]:
    from flood_seg.config.repository import shipped_values

    named = [next(iter(entry)) for entry in shipped_values(file).get("defaults", []) if isinstance(entry, dict)]
    if file == "data":  # whose defaults begin with those of train
        return [*_groups("train"), *named]
    return named + (["experiment", "debug"] if file == "train" else [])


def _beginning(words: Iterable[str], start: str) -> list[str]:
    return sorted(word for word in words if word.startswith(start))


def _up_to_a_dot(key: str, word: str) -> str:
    """Returns a key up to the next dot behind what is typed, so that a group's many keys are one word at first."""
    end = key.find(".", len(word))
    return key if end < 0 else key[: end + 1]


def completion(*, shell: str = "bash", line: str | None = None) -> None:
    """Print the script that makes a shell complete, or the completions of a line."""
    from flood_seg.cli.table import VERBS
    from flood_seg.config.schema import check_choice

    check_choice("--shell", shell, tuple(SCRIPTS))
    print(SCRIPTS[shell].strip() if line is None else "\n".join(complete(line, VERBS)))
