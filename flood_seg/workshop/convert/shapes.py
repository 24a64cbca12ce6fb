"""Converts class indices to shapes, and shapes to class indices.

Polygons run along the edges of pixels, where (0, 0) is the outer corner of the first one, so that drawing one
reproduces exactly the pixels that it was made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.config.schema.workshop import CocoConfig
from flood_seg.workshop.convert.samples import Notes

Ring = list[tuple[float, float]]
MAX_COORDINATE_PIXELS = 1e6


@dataclass(frozen=True)
class Shape:
    """A connected area, or all areas of a class.

    Attributes:
        index: of the class; `IGNORED` for ignored pixels.
        area: its pixels, bool [H, W].
        outlines: outer rings, (x, y) without the first point again.
        holes: whether it has some, which polygons of COCO and CVAT cannot represent.
    """

    index: int
    area: np.ndarray
    outlines: list[Ring]
    holes: bool


@dataclass(frozen=True)
class Area:
    """The pixels of a shape, cropped to its bounding box: a thousand shapes on a large image fit into memory.

    Attributes:
        place: the bounding box in the image, as slices.
        inside: bool, of the size of the bounding box.
        pixels: how many are inside.
    """

    place: tuple[slice, slice]
    inside: np.ndarray
    pixels: int

    @classmethod
    def of(cls, area: np.ndarray) -> Area:
        """Crops bool [H, W]."""
        from scipy.ndimage import find_objects

        place = next(iter(find_objects(area.astype(np.uint8))), (slice(0), slice(0)))
        return cls(place, area[place].copy(), int(area.sum()))

    def draw(self, mask: np.ndarray, index: int) -> None:
        """Sets the pixels in a mask, uint8 [H, W], to a class index."""
        mask[self.place][self.inside] = index


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


def count_lost(notes: Notes, mask: np.ndarray, shapes: Sequence[Shape], options: CocoConfig, where: str) -> None:
    """Counts pixels that the shapes of a mask, class indices uint8 [H, W], leave out or add because of the options."""
    small = int(np.count_nonzero(mask)) - sum(int(shape.area.sum()) for shape in shapes)
    notes.add(f"{{}} pixels in areas of less than coco.min_area={options.min_area} left out", where, small)
    holes = sum(use_polygon(shape, options) and shape.holes for shape in shapes)
    notes.add("{} shapes have holes, which are filled since coco.shape=polygon; auto keeps them", where, holes)


def use_polygon(shape: Shape, options: CocoConfig) -> bool:
    """Whether a shape is written as polygons: where it has no holes to lose, or where the options request it."""
    if shape.index == IGNORED or options.shape == "rle":
        return False
    return options.shape == "polygon" or not shape.holes


def draw_polygons(rings: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """Draws polygons, each x, y, x, y, ... of three points or more, as bool [height, width].

    Raises:
        ValueError: there is none, or one is not a list of finite coordinates near the image.
    """
    from pycocotools import mask as coco_mask

    if not rings:
        raise ValueError("it has no polygon")
    for ring in rings:
        check_numbers(ring)
        if len(ring) % 2:
            raise ValueError(f"a polygon has {len(ring)} coordinates, an odd number")
        if len(ring) < 6:
            raise ValueError(f"a polygon has {len(ring) // 2} points, fewer than 3")
    drawn = coco_mask.frPyObjects([list(map(float, ring)) for ring in rings], height, width)
    return np.asarray(coco_mask.decode(coco_mask.merge(drawn)), bool)


def draw_box(sides: Sequence[float], rotation: float, height: int, width: int) -> np.ndarray:
    """Draws a box as bool [height, width].

    Args:
        sides: left, top, right and bottom, in pixels.
        rotation: about its centre, in degrees clockwise.
        height: of the image.
        width: of the image.

    Raises:
        ValueError: a number is not finite, or far outside of any image.
    """
    check_numbers([*sides, rotation])
    left, top, right, bottom = sides
    x, y = (left + right) / 2, (top + bottom) / 2
    cos, sin = _turn(rotation)
    corners = [(left - x, top - y), (right - x, top - y), (right - x, bottom - y), (left - x, bottom - y)]
    ring = [side for across, down in corners for side in (x + across * cos - down * sin, y + across * sin + down * cos)]
    return draw_polygons([ring], height, width)


def draw_ellipse(ellipse: Sequence[float], rotation: float, height: int, width: int) -> np.ndarray:
    """Draws an ellipse as bool [height, width]; a pixel is inside where its centre is.

    Args:
        ellipse: x and y of its centre, and its two radii, in pixels.
        rotation: about the centre, in degrees clockwise.
        height: of the image.
        width: of the image.

    Raises:
        ValueError: a number is not finite, or far outside of any image.
    """
    check_numbers([*ellipse, rotation])
    x, y, rx, ry = ellipse
    if min(rx, ry) <= 0:
        return np.zeros((height, width), bool)
    cos, sin = _turn(rotation)
    across, down = np.arange(width)[None] + 0.5 - x, np.arange(height)[:, None] + 0.5 - y
    return np.asarray(((across * cos + down * sin) / rx) ** 2 + ((down * cos - across * sin) / ry) ** 2 <= 1)


def _turn(degrees: float) -> tuple[float, float]:
    """Returns cosine and sine, exact for right angles, so that boxes still run along the edges of pixels."""
    radians = math.radians(degrees)
    return round(math.cos(radians), 15), round(math.sin(radians), 15)


def draw_runs(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """Draws run lengths, background first, column by column, as bool [height, width].

    Raises:
        ValueError: they are not such lengths, or of another size.
    """
    if not all(isinstance(run, int) and run >= 0 for run in counts):
        raise ValueError("its run lengths are no whole numbers from 0 on")
    if sum(counts) != height * width:
        raise ValueError(f"its run lengths sum up to {sum(counts)}, not to {height * width}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def decompress_runs(text: str) -> list[int]:
    """Returns the run lengths of COCO's compressed form; pycocotools crashes where such a text is damaged.

    A number is written in digits of five bits, the lowest first, the last one with its sign; from the fourth number
    on it is the difference from the one before the previous.

    Raises:
        ValueError: the text is damaged.
    """
    counts, value, place = list[int](), 0, 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or place > 12:
            raise ValueError("its run lengths are damaged")
        value |= (digit & 31) << 5 * place
        place += 1
        if digit & 32:  # more digits follow
            continue
        if digit & 16:
            value -= 1 << 5 * place
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = place = 0
    if place:
        raise ValueError("its run lengths end within a number")
    return counts


def check_numbers(values: Sequence[float]) -> None:
    """Raises ValueError where a value is not a finite number, or so large that drawing would not end."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is no number")
        if not abs(value) <= MAX_COORDINATE_PIXELS:
            raise ValueError(f"{value!r} is not finite, or far outside of any image")
