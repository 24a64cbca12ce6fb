"""Hydra's overrides, `key=value`: how they are read, checked, expanded by a sweep, and written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.config.repository import initialized_hydra
from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from hydra.errors import OverrideParseException

# Hydra's only setting of a single run.
RUN_DIR = "hydra.run.dir"
# Groups that no defaults list names: Hydra requires `+debug=fast`, users write `debug=fast`.
GROUPS_WITHOUT_DEFAULT = ("debug", "experiment")
# Dictionaries whose keys the user chooses; an override replaces them as a whole, where Hydra would merge.
REPLACED_DICTIONARIES = tuple(f"datamodule.{name}" for name in ("band_sources", "colors", "extra_val", "labels"))
# Keys of file names, which stay texts: 1e3, 1_000 and 2050 are stems, not numbers.
FILE_NAME_KEYS = ("check.fix_swaps",)
# Text that Hydra reads as text without quotes, unless it is one of the words.
UNQUOTED_TEXT = re.compile(r"(?:[A-Za-z_/]|\.{1,2}/)[\w./-]*", re.ASCII)
NON_TEXT_WORDS = ("null", "true", "false", "nan", "inf")


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parses overrides; raises ConfigError where one cannot be read."""
    with initialized_hydra():
        return parse(overrides)


def parse(overrides: Sequence[str]) -> list[Override]:
    """The same where Hydra is initialized already."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    # The loader knows the choices of a group, for sweeps like model=glob(*).
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    try:
        return parser.parse_overrides([_with_quotes(override) for override in overrides])
    except OverrideParseException as error:
        raise ConfigError(_unreadable(error)) from error


def _unreadable(error: OverrideParseException) -> str:
    if error.__cause__ is not None:  # of a function: sort(1,a)
        reason = " ".join(str(error.__cause__).split())
    elif "=" not in error.override:
        reason = "there is no '='"
    else:
        reason = "a character that must be quoted, or a bracket or quote that is not closed"
    advice = "write key=value, and quote special characters: \"key='a(b)'\""
    return f"{error.override}: not a Hydra override ({reason}); {advice}"


def hydra_arguments(overrides: Sequence[str]) -> list[str]:
    """Returns overrides as Hydra takes them.

    Letters beyond ASCII are quoted; `debug=fast` is `+debug=fast`; `datamodule.labels={...}` replaces a dictionary of
    the user's keys, where Hydra would merge or refuse.
    """
    rewritten = []
    for override in map(_with_quotes, overrides):
        key, _, value = override.partition("=")
        if key in GROUPS_WITHOUT_DEFAULT:
            override = f"+{override}"
        replaced = key in REPLACED_DICTIONARIES and value.strip() != "null"
        rewritten += [f"{key}=null", override] if replaced else [override]
    return rewritten


def _with_quotes(override: str) -> str:
    """Quotes a plain value with letters beyond ASCII, a path for example, which Hydra's grammar does not accept.

    File names that look like numbers are quoted too, alone or in a list.
    """
    key, _, value = override.partition("=")
    if key.lstrip("+") in FILE_NAME_KEYS:
        if listed := re.fullmatch(r"\s*\[([^'\"\[\]{}()\\]*)\]\s*", value):
            names = [f"'{name.strip()}'" for name in listed[1].split(",") if name.strip()]
            return f"{key}=[{','.join(names)}]"
        if re.fullmatch(r"[\w.+-]+", value) and value.lower() not in ("true", "false", "null"):
            return f"{key}='{value}'"
    plain = re.fullmatch(r"[^'\"\[\]{}(),$\\]*", value) and not value.isascii()
    return f"{key}='{value.strip()}'" if plain else override


def is_hydras_own(override: Override) -> bool:
    """Returns whether an override is of Hydra's own settings."""
    return override.key_or_group.startswith(("hydra.", "hydra/"))


def check_relevant(overrides: Sequence[str], relevant: Sequence[str], flag: str) -> None:
    """Raises ConfigError where an override is not of a key that has an effect together with a flag."""
    for override in parse_overrides(overrides):
        if override.key_or_group not in relevant:
            known = ", ".join(relevant)
            raise ConfigError(
                f"{override.input_line}: has no effect with {flag}, which takes {known} alone; leave it out"
            )


def run_folder(overrides: Sequence[str]) -> Path | None:
    """Returns the folder that `hydra.run.dir` names; None where it is not among the overrides.

    Raises:
        ConfigError: it is empty, or holds an interpolation, which Hydra alone would resolve.
    """
    named = [override.value() for override in parse_overrides(overrides) if override.key_or_group == RUN_DIR]
    if not named:
        return None
    folder = "" if named[-1] is None else str(named[-1])
    if not folder or "${" in folder:
        raise ConfigError(f"{RUN_DIR}={folder}: give a folder's plain name; without it, date and time make one")
    return Path(folder)


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Expands `model=a,b optimizer.lr=1e-3,3e-4` into the overrides of each job, by Hydra's own rules.

    Hydra's own settings are left out. The jobs of a search are not known beforehand; for these it
    returns one job, with the overrides that all of them share.

    Raises:
        ConfigError: an override that cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.errors import HydraException

    with initialized_hydra():
        parsed = parse(overrides)
        for override in parsed:
            _check_values(override)
        if any(override.key_or_group == "hydra/sweeper" and override.value() != "basic" for override in parsed):
            return [[str(o.input_line) for o in parsed if not o.is_sweep_override() and not is_hydras_own(o)]]
        parsed = [override for override in parsed if not is_hydras_own(override)]
        try:
            (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        except HydraException as error:  # interval(a, b) has no end of values
            raise ConfigError(f"{' '.join(overrides)}: {error}; list the values: key=1,2,3") from error
    if not jobs:
        raise ConfigError(f"{' '.join(overrides)}: no choice fits the pattern, so there is nothing to run")
    return [list(job) for job in jobs]


def _check_values(override: Override) -> None:
    """Raises ConfigError for a range or interval without values, for which Hydra's sweepers raise others, if any."""
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    swept, line = override.value(), override.input_line
    if isinstance(swept, RangeSweep):
        start, stop, step = (number or 0 for number in (swept.start, swept.stop, swept.step))
        if not (step > 0 and start < stop) and not (step < 0 and start > stop):
            raise ConfigError(f"{line}: holds no value; write range(start,stop,step), which leads from start to stop")
    if isinstance(swept, IntervalSweep):
        start, end = swept.start or 0, swept.end or 0
        if not start <= end:
            raise ConfigError(f"{line}: ends below its start; write interval(low,high)")
        if "log" in swept.tags and start <= 0:
            raise ConfigError(f"{line}: begins at {start}, which has no logarithm; begin above 0")


def as_override(key: str, value: Any) -> str:
    """Returns `key=value` as Hydra reads it.

    Args:
        key: dotted.
        value: text, a number, None, or a list or dictionary of these; a dictionary's keys are numbers or words, since
            Hydra takes no quotes there.
    """
    return f"{key}={_as_text(value)}"


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_as_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_as_text, value)) + "]"
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return value if UNQUOTED_TEXT.fullmatch(value) and value.lower() not in NON_TEXT_WORDS else quoted(value)


def quoted(text: str) -> str:
    """Returns text quoted so that Hydra reads it unchanged, whatever characters it contains.

    Hydra reads a backslash as one only before a quote, and OmegaConf before an interpolation.
    """
    escaped = re.sub(r'(\\*)("|\$\{|\Z)', lambda found: found[1] * 2 + ("\\" + found[2] if found[2] else ""), text)
    return f'"{escaped}"'
