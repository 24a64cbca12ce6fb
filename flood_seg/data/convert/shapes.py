"""Class indices as shapes, and shapes as class indices.

Polygons run along the edges of pixels, where (0, 0) is the outer corner of the first one, so that drawing one again
gives the very pixels that it was made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import IGNORED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.schema.workshop import CocoConfig

Ring = list[tuple[float, float]]


@dataclass(frozen=True)
class Shape:
    """A connected area, or all areas of a class.

    Attributes:
        index: of the class; `IGNORED` where nothing is counted.
        area: its pixels, bool [H, W].
        outlines: outer rings, (x, y) without the first point again.
        holes: whether it has some, which polygons of COCO and CVAT cannot say.
    """

    index: int
    area: np.ndarray
    outlines: list[Ring]
    holes: bool


def to_shapes(mask: np.ndarray, options: CocoConfig) -> list[Shape]:
    """Returns the shapes of a mask, class indices uint8 [H, W]: class by class, background left out, ignored last."""
    found = []
    for index in np.unique(mask):
        if index == 0:
            continue
        parts = [part for part in _components(mask == index, options) if part.area.sum() >= options.min_area]
        if options.instances == "class" and len(parts) > 1:
            area = np.logical_or.reduce([part.area for part in parts])
            outlines = [ring for part in parts for ring in part.outlines]
            parts = [Shape(0, area, outlines, any(part.holes for part in parts))]
        found += [Shape(int(index), part.area, part.outlines, part.holes) for part in parts]
    return found


def _components(area: np.ndarray, options: CocoConfig) -> list[Shape]:
    import shapely
    from rasterio.features import rasterize, shapes

    parts = []
    for geometry, _ in shapes(area.astype(np.uint8), mask=area, connectivity=4):
        outer, *holes = geometry["coordinates"]
        pixels = rasterize([geometry], area.shape, dtype="uint8") > 0
        if options.tolerance:
            simple = shapely.simplify(shapely.Polygon(outer), options.tolerance)
            outer = list(simple.exterior.coords)
        parts.append(Shape(0, pixels, [outer[:-1]], bool(holes)))
    return parts


def use_polygon(shape: Shape, options: CocoConfig) -> bool:
    """Whether a shape is written as polygons: where none of its holes would be lost, or where that is wanted."""
    if shape.index == IGNORED or options.shape == "rle":
        return False
    return options.shape == "polygon" or not shape.holes


def encode_rle(area: np.ndarray) -> dict[str, Any]:
    """Returns COCO's compressed run lengths of bool [H, W], as JSON takes them."""
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(area, np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode()}


def draw_polygons(rings: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """Draws polygons, each x, y, x, y, ..., as bool [height, width]."""
    from pycocotools import mask as coco_mask

    usable = [list(map(float, ring)) for ring in rings if len(ring) >= 6]
    if not usable:
        return np.zeros((height, width), bool)
    return np.asarray(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(usable, height, width))), bool)
