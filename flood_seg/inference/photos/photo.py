"""A segmented photo as the maps of photos describe it."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flood_seg.inference.segment import ImageState

# Colours of shares from that value on, ColorBrewer's YlGnBu, which is safe for colour-blind readers.
SHARE_COLORS = ((0.0, "#ffffcc"), (0.01, "#a1dab4"), (0.1, "#41b6c4"), (0.25, "#2c7fb8"), (0.5, "#253494"))
UNKNOWN_COLOR = "#8a8f94"  # of a photo without a mask
_SHARE = "_share"  # ending of the properties that are shares of classes


@dataclass
class Photo:
    """A photo of a run.

    Attributes:
        coordinates: longitude and latitude in degrees, WGS 84; None: unknown.
        properties: its attributes in the files; see docs/maps.md.
    """

    coordinates: tuple[float, float] | None
    properties: dict[str, Any]

    @property
    def shares(self) -> dict[str, float]:
        """The share of each class but the background, by its name; empty: there is no mask."""
        return {key.removesuffix(_SHARE): value for key, value in self.properties.items() if key.endswith(_SHARE)}

    @classmethod
    def of(cls, state: ImageState, folder: Path) -> Photo:
        """Describes an image that has passed all stages, with paths relative to a folder."""
        done = state.error is None
        properties: dict[str, Any] = {
            "image": relative(state.job.image, folder),
            "mask": relative(state.job.mask, folder) if done else None,
            **{f"{name}_share": round(share, 6) for name, share in state.shares.items()},
            "input_shift": round(state.shift, 3) if done and state.size[0] else None,
            "error": None if done else str(state.error),
        }
        if not state.position:
            return cls(None, properties)
        known = asdict(state.position)
        coordinates = (known.pop("longitude"), known.pop("latitude"))
        thumbnail = f"data:image/jpeg;base64,{b64encode(state.thumbnail).decode()}" if state.thumbnail else None
        return cls(coordinates, {**properties, **known, "thumbnail": thumbnail})


def relative(path: Path, folder: Path) -> str:
    """Returns a path as seen from a folder, with slashes; on another drive of Windows the absolute one."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def share_color(share: float | None) -> str:
    """Returns the colour that stands for a share in [0, 1], `#rrggbb`; None: there is no mask."""
    if share is None:
        return UNKNOWN_COLOR
    return next(color for start, color in reversed(SHARE_COLORS) if share >= start)
