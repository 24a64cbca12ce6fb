"""Completes a command line as Hydra does: verbs, flags, groups, choices and keys; nothing heavy is imported."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from flood_seg.cli.guard import parameters, verbs

if TYPE_CHECKING:
    from collections.abc import Iterable

# Which file of configs/ a verb composes, where it is not its own name; None: none.
FILES = {"convert-to-onnx": "export", "triton-client": "infer", "data preview": "train", "data sample": "train",
         "data from-coco": None, "data from-cvat": None, "data download": None}  # fmt: skip
# The keys of a verb of `data` that are its own; those of the others are left out. All take the data set's.
OWN = {"data check": ("check",), "data overlay": ("overlay", "backend"), "data tile": ("tile",),
       "data split": ("split",), "data to-coco": ("coco",), "data to-cvat": ("coco",)}  # fmt: skip
OF_ONE_VERB = ("check", "overlay", "tile", "split", "coco", "backend")

BASH = r"""
_flood_seg() {
  local line="${COMP_LINE:0:$COMP_POINT}"
  local current="${line##* }"
  # bash breaks words at = and :, and wants the part behind them
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


def complete(line: str, component: type) -> list[str]:
    """Returns the words that the last word of a line may become.

    Args:
        line: up to the cursor, with the program's name.
        component: the class whose methods are the verbs.
    """
    *done, current = line.split(" ")
    verb: Any = component
    rest = [word for word in done[1:] if word]
    name = ""
    while isinstance(verb, type):
        if not rest:
            return _beginning(verbs(verb), current)
        name = f"{name} {rest[0]}".strip()
        verb, rest = verbs(verb).get(rest[0]), rest[1:]
    if verb is None:
        return []
    if current.startswith("-"):
        return _beginning([f"--{flag}" for flag in parameters(verb) if flag != "overrides"], current)
    file = FILES.get(name, "data" if name.startswith("data ") else name.replace("-", "_"))
    if file is None:
        return []
    hidden = [group for group in OF_ONE_VERB if group not in OWN.get(name, ())] if file == "data" else []
    return [word for word in _overrides(file, current) if re.split(r"[.=]", word.lstrip("+~"))[0] not in hidden]


def _overrides(file: str, current: str) -> list[str]:
    from flood_seg.config.compose import configs_dir

    sign = current[: len(current) - len(current.lstrip("+~"))]
    word, folder = current[len(sign) :], configs_dir()
    if not (folder / f"{file}.yaml").is_file():
        return []
    groups = _groups(file)
    key, equals, value = word.partition("=")
    if equals and key in groups:
        before, comma, last = value.rpartition(",")
        choices = sorted(path.stem for path in (folder / key).glob("*.yaml"))
        return [f"{sign}{key}={before}{comma}{choice}" for choice in _beginning(choices, last)]
    if equals:
        return [f"{sign}{key}={known}" for known in _beginning(_values(file, key), value)]
    known = [*(f"{group}=" for group in groups), *_keys(file)]
    return sorted({sign + _up_to_a_dot(one, word) for one in _beginning(known, word)})


def _groups(file: str) -> list[str]:
    import yaml

    from flood_seg.config.compose import configs_dir

    text = yaml.safe_load((configs_dir() / f"{file}.yaml").read_text("utf-8")) or {}
    named = [next(iter(entry)) for entry in text.get("defaults", []) if isinstance(entry, dict)]
    if file == "data":  # whose defaults begin with those of train
        return [*_groups("train"), *named]
    return named + (["experiment", "debug"] if file == "train" else [])


def _schema(file: str) -> type | None:
    from flood_seg.config import schema

    names = {"train": "TrainConfig", "infer": "InferConfig", "evaluate": "EvaluateConfig", "export": "ExportConfig",
             "convert_to_trt": "TensorRtConfig", "quantize": "QuantizeConfig", "verify": "VerifyConfig",
             "benchmark": "BenchmarkConfig", "triton_server": "TritonServerConfig"}  # fmt: skip
    if file == "data":
        from flood_seg.config.schema.workshop import DataToolsConfig

        return DataToolsConfig
    return getattr(schema, names[file], None) if file in names else None


def _leaves(owner: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yields each key of a schema, and its type."""
    hints = get_type_hints(owner)
    for field in fields(owner):
        kinds = [
            kind for kind in (hints[field.name], *getattr(hints[field.name], "__args__", ())) if is_dataclass(kind)
        ]
        if kinds:
            yield from _leaves(kinds[0], f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hints[field.name]


def _keys(file: str) -> list[str]:
    owner = _schema(file)
    return [f"{key}=" for key, _ in _leaves(owner)] if owner else []


def _values(file: str, key: str) -> list[str]:
    owner = _schema(file)
    kind = dict(_leaves(owner)).get(key) if owner else None
    return ["false", "true"] if kind is bool else []


def _beginning(words: Iterable[str], start: str) -> list[str]:
    return sorted(word for word in words if word.startswith(start))


def _up_to_a_dot(key: str, word: str) -> str:
    """Returns a key up to the next dot behind what is typed, so that a group's many keys are one word at first."""
    end = key.find(".", len(word))
    return key if end < 0 else key[: end + 1]


def script(shell: str) -> str:
    """Returns what a shell evaluates to complete `flood-seg`."""
    return SCRIPTS[shell].strip()
