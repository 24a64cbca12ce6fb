"""Checks of single values."""

from __future__ import annotations

from flood_seg.errors import ConfigError, did_you_mean
from flood_seg.processors import cores, most_workers


def check_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError where `value` is none of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{key}={value}: allowed are {', '.join(allowed)}{did_you_mean(value, allowed)}")


def check_workers(key: str, value: int) -> None:
    """Raises ConfigError where a number of threads or processes is negative, or absurd on this machine."""
    check_range(key, value, 0)
    if value > most_workers():
        raise ConfigError(f"{key}={value}: at most {most_workers()} on this machine, which has {cores()} cores to use")


def check_range(key: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    """Raises ConfigError where `value` lies outside [low, high], or (low, high] with `open_low`."""
    if value < low or value > high or (open_low and value == low):
        bounds = f"{'above' if open_low else 'at least'} {low:g}" + (
            "" if high == float("inf") else f" and at most {high:g}"
        )
        raise ConfigError(f"{key}={value}: must be {bounds}")
