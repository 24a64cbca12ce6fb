"""The configuration of `flood-area`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class AreaOptions:
    """Which fields of the vector files are read, and which class is water."""

    name: str
    truth: str
    place: str | None
    water: str | None


@dataclass
class AreaConfig:
    """The whole of `flood-seg flood-area`."""

    area: AreaOptions
