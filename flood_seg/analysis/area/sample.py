"""The true classes of places in the scenes, which a user has checked: a sample by which areas are adjusted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.vectors import Layer, read_layer
from flood_seg.errors import DataError
from flood_seg.products.layers import mask_values

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.spec import ModelSpec

_WATER = ("water", "flood", "flooded", "wet", "yes", "true")
_DRY = ("dry", "land", "not flooded", "background", "no", "false")
_PERMANENT = ("permanent", "permanent water", "permanent_water")


@dataclass(frozen=True)
class Sample:
    """Points, or places, whose true class is known.

    Attributes:
        layer: points, or polygons.
        truth: the index of the true class of each, int64 [shapes].
        places: of polygons, the number of the place that each belongs to, int64 [shapes], from 0.
        warnings: what was left out, a sentence each.
    """

    layer: Layer = field(repr=False)
    truth: np.ndarray = field(repr=False)
    places: np.ndarray = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def is_points(self) -> bool:
        """Whether these are points."""
        import shapely

        return bool(shapely.get_dimensions(self.layer.geometries[0]) == 0)

    @property
    def units(self) -> int:
        """The number of points, or of places."""
        return len(self.truth) if self.is_points else int(self.places.max()) + 1


def read_sample(
    path: Path | str, truth: str, place: str | None, spec: ModelSpec, water: int, *, without_permanent: bool
) -> Sample:
    """Reads a sample.

    Args:
        path: a vector file of points or of polygons.
        truth: the field of the true class: a class's name, its value in mask.tif, or words such as flooded and dry.
        place: the field of which polygons with the same value are one place; None: each is one.
        spec: of the model, whose classes they are.
        water: the class that is water.
        without_permanent: whether permanent water is no flood on the map; else both are water.

    Raises:
        DataError: as `read_layer`; there is no such field; no shape has a known class; or there are both points and
            polygons.
    """
    import shapely

    layer = read_layer(path, kinds={"point", "polygon"})
    kinds = set(shapely.get_dimensions(layer.geometries).tolist())
    if len(kinds) > 1:
        raise DataError(f"{path}: has points and polygons; give one of the two, since each is another kind of sample")
    if kinds == {0}:
        layer = _single_points(layer)
    known = _classes(spec, water) | dict.fromkeys(_PERMANENT, 0 if without_permanent else water)
    values = [known.get(_word(value), -1) for value in layer.values(truth, "area.truth=FIELD chooses it")]
    found = np.array(values, np.int64)
    warnings = [*layer.warnings]
    if (unknown := found < 0).any():
        names = ", ".join(sorted({_word(value) or "no value" for value in layer.values(truth)[unknown]})[:5])
        allowed = f"its values may be {', '.join(spec.class_names)}, flooded, dry, or those of mask.tif"
        if unknown.all():
            raise DataError(f"{path}: no value of the field {truth} is a class of the map ({names}); {allowed}")
        which = f"{np.count_nonzero(unknown)} of {len(found)} shapes are of unknown class ({names}) and are left out"
        warnings.append(f"{path}: {which}; {allowed}")
    layer, found = replace(layer.select(~unknown), warnings=()), found[~unknown]
    places = np.arange(len(found))
    if place is not None:
        _, places = np.unique(
            [str(value) for value in layer.values(place, "area.place=FIELD chooses it")], return_inverse=True
        )
    return Sample(layer, found, places, tuple(warnings))


def _classes(spec: ModelSpec, water: int) -> dict[str, int]:
    """Returns the class that each word means; names come before values, and both before other words."""
    known = {_word(word): 0 for word in _DRY} | {_word(word): water for word in _WATER}
    if len(spec.class_names) == 2:
        known |= {"0": 0, "1": 1}
    known |= {str(value): number for number, value in enumerate(mask_values(spec))}
    return known | {_word(name): number for number, name in enumerate(spec.class_names)}


def _word(value: Any) -> str:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return " ".join(str(value).lower().split())


def _single_points(layer: Layer) -> Layer:
    import shapely

    points, index = shapely.get_parts(layer.geometries, return_index=True)
    return replace(layer.select(index), geometries=points)
