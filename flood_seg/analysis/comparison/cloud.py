"""Clouds over scenes, below which nothing is observed: `flood-seg map --cloud`."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.comparison.overlay import Overlay
from flood_seg.analysis.pixel_grid import PixelGrid
from flood_seg.console import counted, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flood_seg.config.schema.scenes import CloudOptions
    from flood_seg.scenes.grid import Box
    from flood_seg.scenes.scene import Scene


@dataclass(frozen=True)
class Clouds:
    """Hides what lies below clouds.

    Attributes:
        path: polygons of clouds, or a raster.
        options: what the values of a raster mean.
    """

    path: Path
    options: CloudOptions

    @property
    def _overlay(self) -> Overlay:
        return Overlay(self.path, lambda values: is_cloud(values, self.options), self.options.band)

    def signature(self) -> dict[str, Any]:
        """Returns what the layers of a scene depend on."""
        return {"file": self._overlay.version(), **asdict(self.options)}

    def check(self, scene: Scene) -> None:
        """Raises FloodSegError where the file cannot be laid over the scene."""
        self._overlay.check(PixelGrid.of_scene(scene), scene.source)

    @contextmanager
    def over(self, scene: Scene, warnings: list[str]) -> Iterator[Callable[[Box], np.ndarray]]:
        """Opens it; see `Cover`."""
        unknown = 0
        with self._overlay.over(PixelGrid.of_scene(scene), scene.source) as laid:

            def hidden(box: Box) -> np.ndarray:
                nonlocal unknown
                cloudy, known = laid.read(box)
                unknown += known.size - int(np.count_nonzero(known))
                return cloudy

            yield hidden
        found = list(laid.warnings)
        if unknown:
            found.append(f"{self.path}: has no value at {counted(unknown, 'pixel')}, which count as free of clouds")
        for warning in found:
            warnings.append(f"{scene.source}: {warning}")
            warn(warnings[-1])


def is_cloud(values: np.ndarray, options: CloudOptions) -> np.ndarray:
    """Returns which values of a raster are clouds, bool of their shape: by value, by bit, or all but 0."""
    if not (options.values or options.bits):
        return np.asarray(values != 0)
    found = np.isin(values, options.values)
    if options.bits:
        found |= values.astype(np.int64) & sum(1 << bit for bit in set(options.bits)) != 0
    return found
