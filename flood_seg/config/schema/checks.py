"""Checks of single values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from flood_seg.errors import ConfigError, did_you_mean
from flood_seg.resources import cores, max_workers

LARGEST_SEED = 2**32 - 1  # that NumPy and PyTorch both take


def check_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError where `value` is none of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{key}={value}: allowed are {', '.join(allowed)}{did_you_mean(value, allowed)}")


def check_workers(key: str, value: int) -> None:
    """Raises ConfigError where a number of threads or processes is negative, or absurd on this machine."""
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
    """Raises ConfigError where `value` is no seed."""
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
