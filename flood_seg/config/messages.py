"""What is wrong with a configuration, in one line: the key, what was given, what is allowed."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from flood_seg.config.repository import choices, groups
from flood_seg.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

MISSING = "???"  # OmegaConf's


def first_misfit(overrides: Sequence[Override], composed: DictConfig) -> str | None:
    """Returns what is wrong with the first override that Hydra cannot apply; None where each can be.

    Args:
        overrides: those that were given, in their order.
        composed: the configuration with the choices among them, but without the values among them.
    """
    from omegaconf import OmegaConf

    known = dotted_keys(OmegaConf.to_container(composed))
    for override in overrides:
        key = override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"
        value = override.value()
        current = OmegaConf.select(composed, key, throw_on_resolution_failure=False) if key in known else None
        if override.is_add() and current is not None and not isinstance(value, dict | list):
            return f"{key}: there is such a key already; leave out the +"
        if override.is_add() or override.is_force_add():
            known += [key, *dotted_keys(value if isinstance(value, dict) else {}, f"{key}.")]
        elif key not in known:
            advice = "" if override.is_delete() else f"; +{key}=... adds one where a group allows it"
            return f"{key}: no such key{nearest_key(key, known)}{advice}"
        elif override.is_delete() and current is None:
            return f"~{key}: is null already; leave it out"
        elif override.is_delete() and value not in (None, current):
            return f"{override.input_line}: {key} has another value; ~{key} alone removes it"
    return None


def nearest_key(key: str, known: Sequence[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest key, or an empty text.

    Else the nearest by its last part: `epochs=4` is meant for `trainer.max_epochs`.
    """
    known = [other for other in known if not key.startswith(f"{other}.")]
    if same := [other for other in known if other.endswith(f".{key}")]:
        return f" (did you mean '{same[0]}'?)"
    if near := did_you_mean(key, known):
        return near
    ends = {other.rpartition(".")[2]: other for other in reversed(known)}
    near_ends = get_close_matches(key.rpartition(".")[2], ends, n=1, cutoff=0.7)
    return f" (did you mean '{ends[near_ends[0]]}'?)" if near_ends else ""


def describe(error: OmegaConfBaseException, known: Sequence[str]) -> str:
    """Returns what OmegaConf found wrong, with the key first.

    Args:
        error: as it was raised.
        known: the keys that are allowed.
    """
    from omegaconf.errors import ConfigKeyError

    key = error.full_key or ""
    if isinstance(error, ConfigKeyError):
        return f"{key}: no such key{nearest_key(key, known)}"
    first_line = (error.msg or str(error)).split("\n")[0]
    return f"{key}: {first_line}" if key and key not in first_line else first_line


def missing_value(key: str) -> str:
    """Returns what is wrong where a required key was removed."""
    if key in groups():
        return f"~{key}: there is no run without {key}; choose one of {', '.join(choices(key))}"
    return f"{key}: is required, and has no value; give one, or leave out ~{key}"


def missing_keys(values: Any, prefix: str = "") -> list[str]:
    """Returns the dotted keys of nested dictionaries whose values are OmegaConf's mark of a missing one."""
    keys = []
    for name, value in values.items():
        if isinstance(value, dict):
            keys += missing_keys(value, f"{prefix}{name}.")
        elif value == MISSING:
            keys.append(f"{prefix}{name}")
    return keys


def dotted_keys(values: Any, prefix: str = "") -> list[str]:
    """Returns the dotted keys of nested dictionaries, those of inner dictionaries too."""
    keys = []
    for name, value in values.items():
        keys.append(f"{prefix}{name}")
        if isinstance(value, dict):
            keys += dotted_keys(value, f"{prefix}{name}.")
    return keys
