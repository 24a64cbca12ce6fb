"""Computes the positions of tiles in an image, and the part that each contributes where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Span = tuple[int, int]  # first pixel, and last plus one


@dataclass(frozen=True)
class Tile:
    """A part of an image, in pixels; a padded one extends beyond the image's lower or right edge."""

    row: int
    col: int
    height: int
    width: int


def starts(length: int, size: int, overlap: int, edge: str) -> list[int]:
    """Returns the offsets of tiles along an axis.

    Args:
        length: of the image's side.
        size: of a tile's side.
        overlap: of neighbours, less than `size`.
        edge: `shift`: the last one ends with the image; `pad` and `crop`: it may extend beyond it.
    """
    step = size - overlap
    count = max(1, -(-(length - overlap) // step))
    found = [place * step for place in range(count)]
    if edge == "shift":
        found = sorted({min(place, max(0, length - size)) for place in found})
    return found


def tile_rows(shape: tuple[int, int], size: int, overlap: int, edge: str) -> list[list[Tile]]:
    """Returns the tiles of an image of (height, width), one list per row of tiles."""
    height, width = shape
    rows = []
    for row in starts(height, size, overlap, edge):
        cells = []
        for col in starts(width, size, overlap, edge):
            sides = (size, size) if edge == "pad" else (min(size, height - row), min(size, width - col))
            cells.append(Tile(row, col, *sides))
        rows.append(cells)
    return rows


def own_spans(spans: Sequence[Span], length: int) -> dict[Span, Span]:
    """Returns the part that each span contributes: overlaps are halved between neighbours.

    Args:
        spans: of the tiles along one axis, in any order, with repetitions.
        length: of the image's side; what extends beyond it is dropped.
    """
    ordered = sorted(set(spans))
    cuts = [0, *((first[1] + second[0]) // 2 for first, second in pairwise(ordered)), length]
    return {
        span: (max(low, span[0]), min(high, span[1], length))
        for span, low, high in zip(ordered, cuts, cuts[1:], strict=False)
    }
