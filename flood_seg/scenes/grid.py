"""The windows that a model is run on across a scene, their blending weights, and the blocks that they are grouped into.

Windows of one size lie on a regular grid, each overlapping its neighbours; the last one of each axis is moved back so
that it ends with the scene. Their probabilities are averaged with smooth weights. Probabilities and weights are
integers, so that sums are exact: the result does not depend on the order of the windows, and so not on how they are
grouped into blocks, batches, threads or machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEVELS = 63  # of a weight along one axis: 9 windows × 63² × 65535 still fits 32 bits
MAX_OVERLAP = 0.5  # share of a window; keeps the number of windows above a pixel at 9
MARGIN = (
    0.25  # share of the overlap at each end where a window's own probabilities, distorted by its border, do not count
)


@dataclass(frozen=True)
class Axis:
    """Windows along one side of a scene.

    Attributes:
        length: of the scene, in pixels.
        size: of a window, in pixels; it may exceed the scene.
        overlap: of neighbouring windows, in pixels; the last one may overlap more.
        per_block: how many windows are grouped into a block.
    """

    length: int
    size: int
    overlap: int
    per_block: int = 1

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first pixel of each window."""
        stride, last = self.size - self.overlap, max(0, self.length - self.size)
        return (*range(0, last, stride), last)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return -(-len(self.starts) // self.per_block)

    def windows(self, block: int) -> range:
        """Returns the indices of a block's windows."""
        first = block * self.per_block
        return range(first, min(first + self.per_block, len(self.starts)))

    def span(self, window: int) -> tuple[int, int]:
        """Returns the first pixel of a window and its last one in the scene, plus one."""
        return self.starts[window], min(self.starts[window] + self.size, self.length)

    def extent(self, block: int) -> tuple[int, int]:
        """Returns the first pixel of a block's windows and the last one, plus one; extents of neighbours overlap."""
        windows = self.windows(block)
        return self.starts[windows[0]], self.span(windows[-1])[1]

    def cell(self, block: int) -> tuple[int, int]:
        """Returns the first and the last pixel, plus one, of a block's cell: cells cover the scene once."""
        end = self.starts[self.windows(block + 1)[0]] if block + 1 < self.blocks else self.length
        return self.starts[self.windows(block)[0]], end

    def touching(self, block: int) -> list[int]:
        """Returns the blocks whose extent overlaps the cell of a block."""
        start, stop = self.cell(block)
        return [one for one in range(self.blocks) if self.extent(one)[0] < stop and self.extent(one)[1] > start]

    def touched(self, block: int) -> Iterator[int]:
        """Yields the blocks whose cell overlaps the extent of a block: itself, and some after it."""
        _, stop = self.extent(block)
        return takewhile(lambda one: self.cell(one)[0] < stop, range(block, self.blocks))

    def weights(self, window: int) -> np.ndarray:
        """Returns the weight of each of a window's pixels in the scene, uint32 in [0, LEVELS].

        They fall towards the neighbouring windows as sin² and are 0 at the last pixels; where there is no neighbour, at
        the scene's border, they do not fall.
        """
        margin = int(self.overlap * MARGIN)
        rise = self.overlap - 2 * margin
        ramp = np.sin((np.arange(rise) + 0.5) / max(rise, 1) * (np.pi / 2)) ** 2
        ramp = np.concatenate([np.zeros(margin), np.rint(LEVELS * ramp), np.full(margin, LEVELS)]).astype(np.uint32)
        start, stop = self.span(window)
        weights = np.full(stop - start, LEVELS, np.uint32)
        if window > 0:
            weights[: self.overlap] = ramp
        if window < len(self.starts) - 1 and self.overlap:
            weights[-self.overlap :] = ramp[::-1]
        return weights

    def total(self, block: int) -> np.ndarray:
        """Returns the sum of the weights of a block's windows at each pixel of its extent, uint32."""
        start, stop = self.extent(block)
        total = np.zeros(stop - start, np.uint32)
        for window in self.windows(block):
            first, last = self.span(window)
            total[first - start : last - start] += self.weights(window)
        return total


@dataclass(frozen=True)
class Block:
    """Some neighbouring windows: the unit of work, of retries and of distribution. Row and column count blocks."""

    row: int
    col: int

    def __str__(self) -> str:
        return f"r{self.row}c{self.col}"


@dataclass(frozen=True)
class Box:
    """A rectangle of a scene's pixels."""

    row: int
    col: int
    height: int
    width: int

    @classmethod
    def of(cls, rows: tuple[int, int], cols: tuple[int, int]) -> Box:
        """Returns the rectangle of the given first and last pixels, plus one."""
        return cls(rows[0], cols[0], rows[1] - rows[0], cols[1] - cols[0])

    def within(self, other: Box) -> tuple[slice, slice]:
        """Returns the rectangle as an index of an array that covers `other`."""
        row, col = self.row - other.row, self.col - other.col
        return slice(row, row + self.height), slice(col, col + self.width)

    def meets(self, other: Box) -> bool:
        """Whether any pixel lies in both."""
        both = self.shared(other)
        return both.height > 0 and both.width > 0

    def shared(self, other: Box) -> Box:
        """Returns the rectangle that lies in both; without a pixel where there is none."""
        top, left = max(self.row, other.row), max(self.col, other.col)
        bottom = min(self.row + self.height, other.row + other.height)
        right = min(self.col + self.width, other.col + other.width)
        return Box.of((top, bottom), (left, right))


@dataclass(frozen=True)
class Grid:
    """The windows and blocks of a scene."""

    rows: Axis
    cols: Axis

    @classmethod
    def of(cls, scene: tuple[int, int], window: tuple[int, int], overlap: float, block_size: int) -> Grid:
        """Lays windows over a scene.

        Args:
            scene: height and width in pixels.
            window: height and width in pixels of the scene.
            overlap: of neighbouring windows, as a share of a window, in [0, `MAX_OVERLAP`].
            block_size: height and width that a block has at most, in pixels, if one window is not larger.
        """
        axes = []
        for length, size in zip(scene, window, strict=True):
            shared = round(size * overlap)
            axes.append(Axis(length, size, shared, max(1, (block_size - shared) // (size - shared))))
        return cls(*axes)

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of a window in pixels of the scene."""
        return self.rows.size, self.cols.size

    @property
    def window_count(self) -> int:
        """The number of windows."""
        return len(self.rows.starts) * len(self.cols.starts)

    @property
    def block_count(self) -> int:
        """The number of blocks."""
        return self.rows.blocks * self.cols.blocks

    def blocks(self) -> Iterator[Block]:
        """Yields the blocks row by row."""
        for row in range(self.rows.blocks):
            for col in range(self.cols.blocks):
                yield Block(row, col)

    def extent(self, block: Block) -> Box:
        """Returns the pixels that a block's windows cover."""
        return Box.of(self.rows.extent(block.row), self.cols.extent(block.col))

    def cell(self, block: Block) -> Box:
        """Returns the pixels that are complete when a block and those `touching` it are."""
        return Box.of(self.rows.cell(block.row), self.cols.cell(block.col))

    def touching(self, block: Block) -> Iterator[Block]:
        """Yields the blocks with a window in a block's cell, itself among them."""
        for row in self.rows.touching(block.row):
            for col in self.cols.touching(block.col):
                yield Block(row, col)

    def completed(self, finished: Iterable[Block]) -> Iterator[Block]:
        """Yields each block once its cell is complete, while blocks are finished in any order."""
        done = set[Block]()
        for block in finished:
            done.add(block)
            for row in self.rows.touched(block.row):
                for col in self.cols.touched(block.col):
                    if done.issuperset(self.touching(touched := Block(row, col))):
                        yield touched

    def windows(self, block: Block) -> Iterator[Box]:
        """Yields the windows of a block, cut at the scene's border."""
        for _, windows in self.rows_of(block):
            yield from windows

    def windows_in(self, block: Block) -> int:
        """Returns the number of a block's windows."""
        return len(self.rows.windows(block.row)) * len(self.cols.windows(block.col))

    def rows_of(self, block: Block) -> Iterator[tuple[Box, list[Box]]]:
        """Yields the pixels that each row of a block's windows covers, and the windows in it."""
        columns = [self.cols.span(window) for window in self.cols.windows(block.col)]
        for row in self.rows.windows(block.row):
            span = self.rows.span(row)
            yield Box.of(span, self.cols.extent(block.col)), [Box.of(span, column) for column in columns]

    def weights(self, block: Block) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Returns the weights of each row and of each column of a block's windows; see `Axis.weights`.

        Those of a window are their outer product.
        """
        rows = [self.rows.weights(window) for window in self.rows.windows(block.row)]
        return rows, [self.cols.weights(window) for window in self.cols.windows(block.col)]

    def total(self, block: Block, box: Box) -> np.ndarray:
        """Returns the sum of the weights of a block's windows in a rectangle of its extent, uint32 [height, width]."""
        rows, cols = box.within(self.extent(block))
        return np.asarray(np.multiply.outer(self.rows.total(block.row)[rows], self.cols.total(block.col)[cols]))
