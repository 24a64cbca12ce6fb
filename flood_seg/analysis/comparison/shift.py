"""How far two images of one place lie apart, by phase correlation at several places."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.analysis.pixel_grid import PixelGrid
from flood_seg.errors import ImageError
from flood_seg.imaging.raster import Window
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from flood_seg.scenes.scene import Scene

LARGEST, SMALLEST = 256, 32  # pixels of a window's side; the shift is found up to half of it
PLACES = 6  # windows along each side of what both images show
AGREEING = 1.0  # pixels that windows may differ by
# Windows at random, of images that have nothing in common, agree that closely with a probability of about 1e-4 each.
MIN_AGREEING, MIN_SHARE = 3, 0.2
PASSED = 0.15  # cycles per pixel: the standard deviation of the Gaussian filter
FLAT = 1e-6  # standard deviation of a window without anything to compare, as a share of the largest value


@dataclass(frozen=True)
class Shift:
    """What was measured.

    Attributes:
        cols: by which the earlier image lies to the right, in pixels of the later one; None: not reliable.
        rows: by which it lies further down.
        windows: that were compared.
        agreeing: of these, whose shifts are this one.
    """

    cols: float | None
    rows: float | None
    windows: int
    agreeing: int

    @property
    def pixels(self) -> float | None:
        """Its length."""
        return None if self.cols is None or self.rows is None else math.hypot(self.cols, self.rows)


def measure_shift(before: Scene, after: Scene) -> Shift:
    """Compares an earlier image with a later one, which both are read at the coarser of their two resolutions.

    In each of some windows, the shift is the peak of the inverse Fourier transform of the normalized cross-power
    spectrum (Kuglin and Hines 1975), here without its high frequencies, which resampling changes. What is left of the
    peak is a Gaussian, so that a parabola through the logarithms beside it gives its place to a fraction of a pixel.
    The result is the median of the largest group of windows that agree.

    Raises:
        ImageError: an image cannot be read.
    """
    grid, other = PixelGrid.of_scene(after), PixelGrid.of_scene(before)
    located = bool(grid.crs)
    extent = grid.extent_of(other)
    # Pixels of the later image per pixel of the earlier one, where those are larger.
    ratio = math.sqrt(extent.height * extent.width / (before.height * before.width))
    coarser = max(1.0, ratio) if located and not after.is_photo else 1.0
    full = round(after.height / coarser), round(after.width / coarser)
    shared = extent.shared(after.box)
    area = Box.of(*((math.ceil(low / coarser), int(high / coarser)) for low, high in (
        (shared.row, shared.row + shared.height), (shared.col, shared.col + shared.width))))  # fmt: skip
    side = min(LARGEST, area.height // 2, area.width // 2)
    if side < SMALLEST:
        return Shift(None, None, 0, 0)
    taper = np.outer(np.hanning(side), np.hanning(side))
    found = []
    with before.aligned(after) if located else nullcontext(before) as earlier:
        for row in _starts(area.row, area.height, side):
            for col in _starts(area.col, area.width, side):
                pair = [_grey(one, Window(row, col, side, side, full)) for one in (after, earlier)]
                if pair[0] is not None and pair[1] is not None:
                    found.append(_peak(pair[0] * taper, pair[1] * taper))
    return _consensus(np.array(found).reshape(-1, 2), coarser)


def _starts(first: int, length: int, side: int) -> list[int]:
    """Returns the first pixels of windows along a side, spread over it."""
    count = max(1, min(PLACES, 2 * length // side - 1))
    return sorted({int(start) for start in np.linspace(first, first + length - side, count).round()})


def _grey(scene: Scene, window: Window) -> np.ndarray | None:
    """Returns a window in grey, float32 [h, w]; None where a part of it has no data, or nothing stands out."""
    try:
        raster = scene.read_window(window)
    except ImageError:  # a damaged place; others are as good
        return None
    if raster.valid is not None and not raster.valid.all():
        return None
    grey = raster.values.mean(axis=2, dtype=np.float32)
    grey -= grey.mean()
    spread = float(grey.std())
    return None if spread <= FLAT * max(1e-9, float(np.abs(raster.values).max())) else grey / spread


def _peak(after: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    """Returns by how many columns and rows a window, float [side, side], lies to the right and down of the other."""
    side = len(after)
    cross = np.fft.rfft2(before) * np.conj(np.fft.rfft2(after))
    squared = np.add.outer(np.fft.fftfreq(side) ** 2, np.fft.rfftfreq(side) ** 2)
    cross *= np.exp(-squared / (2 * PASSED**2)) / np.maximum(np.abs(cross), 1e-12)
    surface = np.fft.irfft2(cross, (side, side))
    row, col = np.unravel_index(surface.argmax(), surface.shape)
    found = []
    for place, line in ((col, surface[row]), (row, surface[:, col])):
        low, top, high = np.log(np.maximum(line[np.array([place - 1, place, place + 1]) % side], 1e-12))
        curve = low - 2 * top + high
        exact = float(place + ((low - high) / (2 * curve) if curve < 0 else 0))
        found.append(exact - side if exact > side / 2 else exact)
    return found[0], found[1]


def _consensus(shifts: np.ndarray, scale: float) -> Shift:
    """Returns the shift that most windows agree on; `shifts` are those of windows, float64 [windows, 2]."""
    if not len(shifts):
        return Shift(None, None, 0, 0)
    close = np.hypot(*(shifts[:, None] - shifts[None]).transpose(2, 0, 1)) <= AGREEING
    group = close[close.sum(axis=1).argmax()]
    count = int(group.sum())
    if count < max(MIN_AGREEING, MIN_SHARE * len(shifts)):
        return Shift(None, None, len(shifts), count)
    cols, rows = np.median(shifts[group], axis=0) * scale
    return Shift(round(float(cols), 2) + 0.0, round(float(rows), 2) + 0.0, len(shifts), count)  # no -0.0
