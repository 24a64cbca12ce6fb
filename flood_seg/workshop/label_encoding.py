"""Class values of written masks, and the overrides with which training reads them.

The values do not depend on whether any pixel is ignored, so that the parts of a data set, written one after the other,
have the same encoding.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flood_seg.classes import IGNORE, IGNORED, Classes
from flood_seg.config.defaults import defaults
from flood_seg.config.overrides import as_override
from flood_seg.config.schema.data import AUTO, DataConfig
from flood_seg.errors import DataError
from flood_seg.imaging.bands import plain_source
from flood_seg.imaging.postprocess import to_labels

BINARY_VALUES = (0, 255)
# Ignored pixels of masks with 0 and 255: read without labels, they are background or an error, never foreground.
MID_GREY = 127
MAX_PNG_VALUE = 65535
DEFAULT_NAMES = ("background", "water")
# Keys that training requires to read the images.
IMAGE_KEYS = ("bands", "band_sources", "value_scale", "nodata", "mean", "std", "colors")


@dataclass(frozen=True)
class LabelEncoding:
    """Values of the classes in written masks.

    Attributes:
        task: `binary` or `multiclass`.
        names: of the classes.
        values: of each class, in [0, 65535].
        ignored: value of ignored pixels; different from all class values.
    """

    task: str
    names: tuple[str, ...]
    values: tuple[int, ...]
    ignored: int

    @classmethod
    def of(cls, classes: Classes, task: str) -> LabelEncoding:
        """Returns an encoding that keeps the values of the masks where a PNG can hold them."""
        values = classes.label_values
        taken = {value for group in classes.values for value in group if isinstance(value, int)} | set(values)
        listed = [value for value in classes.ignored if isinstance(value, int) and 0 <= value <= MAX_PNG_VALUE]
        ignored = listed[0] if listed and not classes.by_color else _unused_value(values, taken)
        return cls(task, classes.names, values, ignored)

    @classmethod
    def of_names(cls, names: Sequence[str]) -> LabelEncoding:
        """Returns the encoding of classes without values: 0 and 255 for two classes, otherwise the class indices.

        Raises:
            DataError: there is no foreground class, or more classes than 8 bits can hold besides the ignored value.
        """
        if len(names) < 2:
            raise DataError("there is no class besides the background, so the masks would be empty")
        if len(names) > IGNORED:
            raise DataError(f"{len(names) - 1} classes; a mask holds at most {IGNORED - 1} besides the background")
        binary = len(names) == 2
        values = BINARY_VALUES if binary else tuple(range(len(names)))
        return cls("binary" if binary else "multiclass", tuple(names), values, _unused_value(values, values))

    def encode(self, mask: np.ndarray) -> np.ndarray:
        """Returns the values of class indices, uint8 [H, W]: uint8, or uint16 where 8 bits are too few."""
        return to_labels(mask, [*self.values, *[self.ignored] * (256 - len(self.values))])

    def overrides(self, root: Path, *, ignored: bool) -> list[str]:
        """Returns the overrides by which training reads the masks below `root`.

        Args:
            root: the data set's folder.
            ignored: whether any pixel is ignored.
        """
        lines = [] if self.task == "binary" else [f"task={self.task}"]
        lines.append(as_override("datamodule.data_dir", str(root)))
        if self.values != BINARY_VALUES or ignored or self.task != "binary":
            labels = dict(zip(self.values, self.names, strict=True)) | ({self.ignored: IGNORE} if ignored else {})
            lines.append(as_override("datamodule.labels", labels))
        elif self.names != DEFAULT_NAMES:
            lines.append(as_override("datamodule.class_names", list(self.names)))
        return lines


def _unused_value(values: Sequence[int], taken: Collection[int]) -> int:
    """Returns a value that no class has: 255, or mid-grey between 0 and 255; of 16 bits where 8 have none."""
    preferred = MID_GREY if 255 in values else IGNORED
    candidates: list[int] = [preferred, *range(254, -1, -1), *range(256, MAX_PNG_VALUE + 1)]
    return next(value for value in candidates if value not in taken)


def image_overrides(config: DataConfig) -> list[str]:
    """Returns the image keys that differ from those of 8-bit RGB images."""
    usual, found = defaults(DataConfig), dict[str, Any]()
    for name in IMAGE_KEYS:
        value: Any = getattr(config, name)
        if name == "colors" and not all(re.fullmatch(r"\w[\w -]*", key, re.ASCII) for key in value or ()):
            continue  # cannot be written as an override, and only affects pictures
        if name == "band_sources" and value:
            value = {band: plain_source(str(source)) for band, source in value.items()}
        if value != getattr(usual, name):
            found[name] = value
    if config.mean == AUTO and not {"bands", "value_scale"} & set(found):
        found = {name: value for name, value in found.items() if name not in ("mean", "std")}  # defaults of training
    return [as_override(f"datamodule.{name}", value) for name, value in found.items()]
