"""Bands that may be missing: which ones, and how those that are missing are filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.imaging.raster import Raster

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from flood_seg.spec import ModelSpec


@dataclass(frozen=True)
class OptionalBands:
    """Groups of bands that a model was trained to miss.

    A missing band has the training mean as its raw value, which `normalize` turns into 0 (in integers into the nearest
    value that the type has); `data.band_dropout` fills it in by the same function.

    Attributes:
        groups: names of bands by the group's name; what may be missing together is any union of groups.
        one_of: bands of which one at least must be there.
        fill: the raw value of each band where it is missing, by its name.
    """

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    fill: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ModelSpec) -> OptionalBands:
        """Returns those of a model."""
        fill = {name: mean * spec.value_scale for name, mean in zip(spec.bands, spec.mean, strict=True)}
        return cls(spec.optional_bands, spec.one_of or spec.bands, fill)

    def allow(self, missing: Collection[str]) -> bool:
        """Whether just these bands may be missing."""
        gone = {name for group in self.groups.values() if set(group) <= set(missing) for name in group}
        return gone == set(missing) and self.leave_enough(missing)

    def leave_enough(self, missing: Collection[str]) -> bool:
        """Whether one of `one_of` is left."""
        return not set(self.one_of) <= set(missing)

    def values(self, names: Iterable[str], dtype: np.dtype) -> np.ndarray:
        """Returns the raw values that stand for missing bands, [bands] of a number type."""
        values = np.array([self.fill[name] for name in names])
        if dtype.kind in "ui":
            limits = np.iinfo(dtype)
            values = np.rint(values).clip(limits.min, limits.max)
        return values.astype(dtype)

    def describe(self, missing: Mapping[str, float]) -> str:
        """Returns what is missing in words: names of groups, in all of an image or in a share of its pixels.

        Args:
            missing: see `Raster.missing`.
        """
        found = self._named([name for name, share in missing.items() if share >= 1])
        for share in sorted({share for share in missing.values() if share < 1}, reverse=True):
            part = self._named([name for name, its in missing.items() if its == share])
            found += [f"{name} in {share:.1%} of the pixels" for name in part]
        return ", ".join(found)

    def count(self, images: Iterable[Mapping[str, float]]) -> dict[str, int]:
        """Returns the number of images for each combination of missing groups, in words; complete ones are left out.

        Args:
            images: `Raster.missing` of each.
        """
        found = Counter[str]()
        for missing in images:
            whole = self._named([name for name, share in missing.items() if share >= 1])
            part = self._named([name for name, share in missing.items() if share < 1])
            found[", ".join([*whole, *(f"{name} in a part of the image" for name in part)])] += 1
        return {text: number for text, number in found.items() if text}

    def record(self, missing: Mapping[str, float]) -> dict[str, Any]:
        """Returns the entries of a report: the bands that the network had, in their order, and what was missing."""
        inputs = [name for name in self.fill if missing.get(name, 0.0) < 1]
        return {"inputs": inputs, "missing": {name: round(share, 6) for name, share in missing.items()}}

    def _named(self, names: Collection[str]) -> list[str]:
        """Returns the fewest groups that are these bands, the largest first; bands that are in none by their names."""
        left, found = set(names), list[str]()
        for group, members in sorted(self.groups.items(), key=lambda item: -len(item[1])):
            if set(members) <= set(names) and left & set(members):
                left -= set(members)
                found.append(group)
        return found + [name for name in names if name in left]

    def __str__(self) -> str:
        return " or ".join(self.groups)


def fill_missing(values: np.ndarray, valid: np.ndarray, names: tuple[str, ...], optional: OptionalBands) -> Raster:
    """Fills the bands that have no data while others have, as far as they may be missing.

    Args:
        values: uint8, uint16 or float32 [H, W, bands]; changed in place.
        valid: bool [H, W, bands], where each band has data.
        names: of the bands.
        optional: which of them may be missing.

    Returns:
        the image, with the share of its pixels with data that each band is missing in. Where bands have no data that
        must be there, no band has: the pixels are not valid, and 0.
    """
    if valid.all():
        return Raster(values, names)
    seen, filled = np.ones(valid.shape[:2], bool), np.zeros(len(names), np.int64)
    for lacking, there in _patterns(valid):
        missing = [name for name, lacks in zip(names, lacking, strict=True) if lacks]
        if not optional.allow(missing):
            seen &= ~there
            continue
        pixels = np.count_nonzero(there)
        for place, value in zip(np.flatnonzero(lacking), optional.values(missing, values.dtype), strict=True):
            values[:, :, place][there] = value
            filled[place] += pixels
    values[~seen] = 0
    total = max(int(np.count_nonzero(seen)), 1)
    missing_shares = {name: int(count) / total for name, count in zip(names, filled, strict=True) if count}
    return Raster(values, names, None if seen.all() else seen, missing_shares)


def _patterns(valid: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields each combination of bands without data, bool [bands], and the pixels where it occurs, bool [H, W]."""
    height, width, bands = valid.shape
    packed = np.packbits(~valid, axis=2)
    packed = np.pad(packed, ((0, 0), (0, 0), (0, -packed.shape[2] % 8)))
    # One value for all bands of a pixel; whole numbers, of up to 64 bands, are sorted much faster than bytes.
    codes = packed.view(np.uint64 if packed.shape[2] == 8 else f"V{packed.shape[2]}")[:, :, 0]
    found, inverse = np.unique(codes, return_inverse=True)
    inverse = inverse.reshape(height, width)
    for number, code in enumerate(found):
        lacking = np.unpackbits(np.frombuffer(code.tobytes(), np.uint8), count=bands).astype(bool)
        if lacking.any():
            yield lacking, inverse == number
