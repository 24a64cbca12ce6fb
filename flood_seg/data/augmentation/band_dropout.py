"""Band dropout: in training, groups of bands are replaced by what stands for missing ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import albumentations as A
import numpy as np

from flood_seg.imaging.optional import OptionalBands

if TYPE_CHECKING:
    from flood_seg.config.schema import DataConfig
    from flood_seg.spec import ModelSpec


class BandDropout(A.ImageOnlyTransform):  # type: ignore[misc] # albumentations has no types
    """Drops groups of bands, in the whole image or on one side of a line, as at the edge of a swath.

    Each group is dropped with one probability, in random order, unless no band of `one_of` would be left.
    """

    def __init__(self, bands: tuple[str, ...], optional: OptionalBands, probability: float, partial: float) -> None:
        super().__init__(p=1.0)
        self.bands, self.optional, self.probability, self.partial = bands, optional, probability, partial

    @classmethod
    def of(cls, config: DataConfig, spec: ModelSpec) -> BandDropout | None:
        """Returns that of a configuration, with the fill values of its model; None: nothing is dropped."""
        dropout = config.band_dropout
        if not (dropout.groups and dropout.probability):
            return None
        return cls(spec.bands, OptionalBands.of(spec), dropout.probability, dropout.partial)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draws the missing bands, and where they are missing, bool [H, W]; None: everywhere."""
        missing = self._draw()
        part = bool(missing) and self.py_random.random() < self.partial
        return {"missing": missing, "where": self._draw_part(*params["shape"][:2]) if part else None}

    def _draw(self) -> list[str]:
        groups = list(self.optional.groups.values())
        self.py_random.shuffle(groups)
        missing = set[str]()
        for group in groups:
            if self.py_random.random() < self.probability and self.optional.leave_enough(missing | set(group)):
                missing |= set(group)
        return [name for name in self.bands if name in missing]

    def _draw_part(self, height: int, width: int) -> np.ndarray:
        row, col = self.py_random.uniform(0, height), self.py_random.uniform(0, width)
        angle = self.py_random.uniform(0, 2 * math.pi)
        rows, cols = np.ogrid[:height, :width]
        return np.asarray((rows - row) * math.sin(angle) + (cols - col) * math.cos(angle) > 0)

    def apply(self, img: np.ndarray, missing: list[str], where: np.ndarray | None, **params: Any) -> np.ndarray:
        """Returns a copy in which the bands are filled."""
        if not missing:
            return img
        result = img.copy()
        places = [self.bands.index(name) for name in missing]
        for place, value in zip(places, self.optional.values(missing, img.dtype), strict=True):
            result[:, :, place][slice(None) if where is None else where] = value
        return result
