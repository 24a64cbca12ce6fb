"""Which water is a flood, and which is there always: `flood-seg map --permanent`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.comparison.derived import write_layer
from flood_seg.analysis.comparison.overlay import Overlay
from flood_seg.analysis.pixel_grid import PixelGrid
from flood_seg.analysis.result import DRY, FLOODED, PERMANENT, UNOBSERVED
from flood_seg.classes import to_rgb
from flood_seg.console import counted
from flood_seg.products.layers import Legend, mask_values

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.products.layers import DerivedLayer
    from flood_seg.scenes.grid import Box
    from flood_seg.scenes.scene import Scene
    from flood_seg.spec import ModelSpec

JRC_NODATA = 255  # of the occurrence in JRC Global Surface Water, whose values are per cent
LEGEND = Legend(
    ("dry", "flood", "permanent_water"),
    (DRY, FLOODED, PERMANENT),
    (to_rgb("#000000"), to_rgb("#d55e00"), to_rgb("#0072b2")),
)


@dataclass(frozen=True)
class PermanentWater:
    """Splits the water of scenes into flood and permanent water.

    Attributes:
        path: polygons of permanent water, or a raster of the share of time in per cent with water.
        threshold: water is permanent where the raster has this value or more.
        water: index of the class that is water.
    """

    path: Path
    threshold: float
    water: int
    name = "flood"

    @property
    def _overlay(self) -> Overlay:
        return Overlay(self.path, lambda values: np.asarray(values >= self.threshold), unknown=JRC_NODATA)

    def signature(self) -> dict[str, Any]:
        """Returns what a split depends on beside the mask of the scene."""
        return {"permanent": self._overlay.version(), "threshold": self.threshold, "water": self.water}

    def check(self, scene: Scene) -> None:
        """Raises FloodSegError where the file cannot be laid over the scene."""
        self._overlay.check(PixelGrid.of_scene(scene), scene.source)

    def write(self, scene: Scene, folder: Path, spec: ModelSpec, options: MapOptions) -> DerivedLayer:
        """Writes flood.tif, flood.json and the polygons; raises FloodSegError."""
        grid, overlay, value = PixelGrid.of_scene(scene), self._overlay, mask_values(spec)[self.water]
        unknown = known_pixels = permanent_pixels = 0
        with grid.read_classes(folder / "mask.tif") as read_mask, overlay.over(grid, scene.source) as laid:

            def split(box: Box) -> np.ndarray:
                nonlocal unknown, known_pixels, permanent_pixels
                (mask, observed), (permanent, known) = read_mask(box), laid.read(box)
                water = observed & (mask == value)
                unknown += int(np.count_nonzero(water & ~known))
                known_pixels += int(np.count_nonzero(known))
                permanent_pixels += int(np.count_nonzero(permanent))
                layer = np.where(water, np.where(permanent, np.uint8(PERMANENT), np.uint8(FLOODED)), np.uint8(DRY))
                return np.where(observed, layer, np.uint8(UNOBSERVED))

            def warnings() -> list[str]:
                found = list(laid.warnings)
                if unknown:
                    pixels = counted(unknown, "pixel")
                    found.append(f"{self.path}: has no value at {pixels} of water, which count as flood")
                if overlay.is_raster and known_pixels and not permanent_pixels:
                    found.append(f"{self.path}: reaches {self.threshold:g} nowhere in the scene, so that all water is "
                                 "flood; a raster of 0 and 1 requires permanent.threshold=1")  # fmt: skip
                return found

            about = {"permanent": str(self.path), "threshold": self.threshold if overlay.is_raster else None}
            return write_layer(
                self.name, "Flood and permanent water", LEGEND, grid, split, folder, options, spec, self.water, about,
                warnings,
            )  # fmt: skip
