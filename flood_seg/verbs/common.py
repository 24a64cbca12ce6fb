"""Shared by verbs: flags as overrides, paths, and required flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.overrides import as_override
from flood_seg.config.schema.workshop import DataToolsConfig
from flood_seg.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PathLike = str | Path


def as_overrides(flags: Mapping[str, object]) -> list[str]:
    """Returns `key=value` as Hydra reads it for each flag that was given; None is not given."""
    return [as_override(key, value) for key, value in flags.items() if value is not None]


def data_dir(data: PathLike | None) -> list[str]:
    """Returns the override of `--data`."""
    return as_overrides({"datamodule.data_dir": str(data) if data else None})


def as_path(path: PathLike | None) -> Path | None:
    """Returns a path where one was given."""
    return None if path is None else Path(path)


def required(verb: str, **files: PathLike | None) -> list[Path]:
    """Returns the files of flags that a verb requires.

    Raises:
        UsageError: one is missing.
    """
    for name, value in files.items():
        if value is None:
            raise UsageError(f"--{name} is missing; see flood-seg {verb} --help")
    return [Path(value) for value in files.values() if value is not None]


def compose_data(overrides: Sequence[str], data: PathLike | None = None) -> DataToolsConfig:
    """Composes the configuration of a verb of `flood-seg data`.

    Raises:
        ConfigError: an unknown key or an impossible value.
    """
    return compose("data", [*overrides, *data_dir(data)], DataToolsConfig)
