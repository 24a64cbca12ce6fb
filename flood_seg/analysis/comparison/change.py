"""What has changed since an earlier map: `flood-seg map --before`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.comparison.derived import write_layer
from flood_seg.analysis.comparison.shift import measure_shift
from flood_seg.analysis.pixel_grid import PixelGrid
from flood_seg.analysis.result import DRY, NEW_WATER, RECEDED, STILL_WATER, UNOBSERVED, MapResult
from flood_seg.classes import to_rgb
from flood_seg.console import counted
from flood_seg.errors import FloodSegError, UsageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.source import gdal_name
from flood_seg.products.layers import DerivedLayer, Legend, mask_values
from flood_seg.products.stac_item import checksum, time_text
from flood_seg.scenes.scene import Scene, same_file

if TYPE_CHECKING:
    from flood_seg.config.schema.scenes import ChangeOptions, MapOptions
    from flood_seg.scenes.grid import Box
    from flood_seg.spec import ModelSpec

DAYS = 365.25  # of a year
LEGEND = Legend(
    ("dry", "new_water", "receded", "still_water"),
    (DRY, NEW_WATER, RECEDED, STILL_WATER),
    (to_rgb("#000000"), to_rgb("#d55e00"), to_rgb("#f0e442"), to_rgb("#0072b2")),  # as in `classes.PALETTE`
)


@dataclass(frozen=True)
class Change:
    """Compares the water of scenes with that of an earlier map.

    Attributes:
        before: the earlier map.
        water: index of the class that is water in the maps of the scenes.
        options: of the comparison.
    """

    before: MapResult
    water: int
    options: ChangeOptions
    name = "change"

    def signature(self) -> dict[str, Any]:
        """Returns what a comparison depends on beside the mask of the scene."""
        return {
            "before": self._checksum, "source": self._source, "time": _text(self._time),
            "water": [self.before.water, self.water], **asdict(self.options),
        }  # fmt: skip

    @cached_property
    def _checksum(self) -> str:
        known = self.before.record.get("assets", {}).get("mask_tif", {}).get("file:checksum")
        return str(known or checksum(self.before.mask.path))

    @property
    def _source(self) -> str | None:
        asset = self.before.record.get("assets", {}).get("scene")
        return str(asset["href"]) if asset else None

    @property
    def _time(self) -> datetime | None:
        known = self.before.properties.get("flood_seg:datetime_source") == "scene"
        return self.before.time if known else None

    def check(self, scene: Scene) -> None:
        """Raises FloodSegError where the earlier map is of the same image, or of another place."""
        if self._source == scene.source or same_file(Path(self._source or "?"), scene.path):
            raise UsageError(f"--before {self.before.folder}: is the map of {scene.source} itself; give an earlier one")
        before = PixelGrid.of(self.before.georeference, self.before.height, self.before.width)
        PixelGrid.of_scene(scene).check_overlap(before, str(self.before.folder), scene.source)

    def write(self, scene: Scene, folder: Path, spec: ModelSpec, options: MapOptions) -> DerivedLayer:
        """Writes change.tif, change.json and the polygons; raises FloodSegError."""
        grid = PixelGrid.of_scene(scene)
        now, then = mask_values(spec)[self.water], self.before.mask.flooded
        both = 0
        with (
            grid.read_classes(folder / "mask.tif") as read_after,
            grid.read_classes(self.before.mask.path) as read_before,
        ):

            def compare(box: Box) -> np.ndarray:
                nonlocal both
                (after, after_known), (before, before_known) = read_after(box), read_before(box)
                known = before_known & after_known
                both += int(np.count_nonzero(known))
                return changes(np.isin(before, then), after == now, known)

            warnings, measured = self._examine(scene)
            about = {
                "before": {"name": self.before.name, "time": _text(self._time), "source": self._source},
                "after": {"name": scene.name, "time": _text(scene.time), "source": scene.source},
                **measured,
            }
            return write_layer(
                self.name, f"Change since {self.before.name}", LEGEND, grid, compare, folder, options, spec, self.water,
                about, lambda: warnings if both else [*warnings, f"no pixel was observed in {self.before.name} too"],
            )  # fmt: skip

    def _examine(self, scene: Scene) -> tuple[list[str], dict[str, Any]]:
        """Returns warnings on the two images, and how far they lie apart."""
        warnings = check_times(self.before.name, self._time, scene.time, self.options.max_season_days)
        if failed := self.before.properties.get("flood_seg:failed_blocks"):
            warnings.append(f"{self.before.name} is incomplete: {counted(len(failed), 'block')} of it failed")
        windows = {"compared": 0, "agreeing": 0}
        try:
            with Scene.open(gdal_name(self._source or ""), BandSelection.of(self.before.spec)) as earlier:
                shift = measure_shift(earlier, scene)
        except (FloodSegError, OSError):
            warnings.append(f"whether {self.before.name} lies at the same place could not be measured, since its image "
                            f"{self._source} cannot be read")  # fmt: skip
            return warnings, {"shift_px": None, "shift_windows": windows}
        windows = {"compared": shift.windows, "agreeing": shift.agreeing}
        if shift.pixels is None:
            warnings.append(f"whether {self.before.name} lies at the same place could not be measured reliably: "
                            f"{shift.agreeing} of {shift.windows} windows agree on a shift")  # fmt: skip
        elif shift.pixels > self.options.max_shift:
            warnings.append(
                f"{self.before.name} lies {shift.pixels:.1f} pixels away ({shift.cols:+g} columns, {shift.rows:+g} "
                "rows), so that shores show changes that are none; align the images first"
            )
        return warnings, {"shift_px": None if shift.pixels is None else [shift.cols, shift.rows],
                          "shift_windows": windows}  # fmt: skip


def changes(before: np.ndarray, after: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns values of change.tif, uint8 [h, w].

    Args:
        before: bool [h, w], where there was water.
        after: bool [h, w], where there is.
        known: bool [h, w], where both were observed.
    """
    table = np.array([[DRY, NEW_WATER], [RECEDED, STILL_WATER]], np.uint8)
    return np.where(known, table[before.astype(np.uint8), after.astype(np.uint8)], np.uint8(UNOBSERVED))


def check_times(name: str, before: datetime | None, after: datetime | None, most_days: float) -> list[str]:
    """Returns warnings on the order of two images, and on their seasons; a time is None where it is not known."""
    if before is None or after is None:
        return [f"when {name} or the scene was taken is not known, so that their order and seasons are not compared"]
    warnings = []
    if before > after:
        warnings.append(f"{name} is later than the scene ({_text(before)}, {_text(after)}): new and receded water are "
                        "the other way round")  # fmt: skip
    days = abs(before.timetuple().tm_yday - after.timetuple().tm_yday)
    apart = min(days, DAYS - days)
    if apart > most_days:
        warnings.append(f"{name} is of another season, {apart:.0f} days of the year apart ({before:%Y-%m-%d}, "
                        f"{after:%Y-%m-%d}): changes may be those of every year")  # fmt: skip
    return warnings


def _text(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)
