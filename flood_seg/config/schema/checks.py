"""Checks of values: numbers, seeds and closed choices; and what a schema says of its fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from flood_seg.errors import ConfigError, did_you_mean
from flood_seg.resources import cores, max_workers

T = TypeVar("T")

LARGEST_SEED = 2**32 - 1  # the largest that both NumPy and PyTorch accept


def check_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError where `value` is none of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{key}={value}: allowed are {', '.join(allowed)}{did_you_mean(value, allowed)}")


def check_workers(key: str, value: int) -> None:
    """Raises ConfigError where a number of threads or processes is negative, or too large for this machine."""
    check_range(key, value, 0)
    if value > max_workers():
        raise ConfigError(f"{key}={value}: at most {max_workers()} on this machine, which has {cores()} cores to use")


def check_range(key: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    """Raises ConfigError where `value` lies outside [low, high], or (low, high] with `open_low`."""
    if not low <= value <= high or (open_low and value == low):  # nan fits no bounds
        bounds = f"{'above' if open_low else 'at least'} {low:.10g}" + (
            "" if high == float("inf") else f" and at most {high:.10g}"
        )
        raise ConfigError(f"{key}={value}: must be {bounds}")


def check_seed(key: str, value: int) -> None:
    """Raises ConfigError where `value` is not a seed."""
    check_range(key, value, 0, LARGEST_SEED)


def check_finite(values: Any, key: str = "") -> None:
    """Raises ConfigError where a number in nested mappings and lists is nan or infinite.

    Args:
        values: a number, or mappings and lists that may hold some.
        key: dotted, of `values`.
    """
    if isinstance(values, float) and not math.isfinite(values):
        raise ConfigError(f"{key}={values}: must be a finite number")
    if isinstance(values, Mapping):
        for name, value in values.items():
            check_finite(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list | tuple):
        for place, value in enumerate(values):
            check_finite(value, f"{key}[{place}]")


def choices_of(schema: type) -> dict[str, tuple[str, ...]]:
    """Returns the allowed values of each field that has a closed choice."""
    return getattr(schema, "__choices__", {})


def closed_choices(schema: type[T]) -> type[T]:
    """Allows `Literal` fields in a dataclass, which OmegaConf 2.3 refuses (omry/omegaconf#422).

    OmegaConf reads such a field as a string; `check_choices` compares it with the values that the type lists.
    """
    known = dict(choices_of(schema))
    for name, hint in get_type_hints(schema).items():
        if get_origin(literal := without_none(hint)) is Literal:
            known[name] = get_args(literal)
            schema.__annotations__[name] = "str" if literal is hint else "str | None"
    schema.__choices__ = known  # type: ignore[attr-defined]
    return schema


def check_choices(group: str, values: object) -> None:
    """Raises ConfigError where a field with a closed choice has another value.

    Args:
        group: the dotted key of `values`; empty for a whole configuration.
        values: an object of a `closed_choices` dataclass.
    """
    for name, allowed in choices_of(type(values)).items():
        value = getattr(values, name)
        if value is not None:
            check_choice(f"{group}.{name}" if group else name, value, allowed)


def without_none(hint: Any) -> Any:
    """Returns X of `X | None`, else the type itself."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if NoneType in get_args(hint) and len(kinds) == 1 else hint


def nested_schema(hint: Any) -> type | None:
    """Returns the dataclass that a field holds, or None where it holds something else."""
    kind = without_none(hint)
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def schema_keys(schema: type, prefix: str = "") -> dict[str, Any]:
    """Returns each dotted key of a schema and its type, groups before their keys."""
    keys: dict[str, Any] = {}
    for name, hint in get_type_hints(schema).items():
        keys[f"{prefix}{name}"] = hint
        if nested := nested_schema(hint):
            keys |= schema_keys(nested, f"{prefix}{name}.")
    return keys
