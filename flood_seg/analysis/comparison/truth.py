"""How well a finished map agrees with the true water of a scene: a label raster, or polygons."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.analysis.comparison.overlay import Overlay
from flood_seg.analysis.pixel_grid import PixelGrid
from flood_seg.analysis.result import UNOBSERVED, MapResult
from flood_seg.classes import IGNORED, to_rgb
from flood_seg.errors import DataError, ImageError
from flood_seg.files import write_json
from flood_seg.imaging.binary_mask import foreground_above, value_range
from flood_seg.imaging.gdal import open_raster
from flood_seg.metrics.confusion import class_metrics, confusion_matrix
from flood_seg.products.layers import Legend, mask_values, write_classes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRUTH, TRUTH_RASTER, DIFFERENCES = "truth.json", "truth.tif", "differences.tif"
RIGHT, MISSED, FALSE_ALARM = 0, 1, 2  # values of differences.tif, beside UNOBSERVED
LEGEND = Legend(
    ("right", "missed", "false_alarm"),
    (RIGHT, MISSED, FALSE_ALARM),
    (to_rgb("#000000"), to_rgb("#0072b2"), to_rgb("#d55e00")),  # as in `classes.PALETTE`
)
TRUTH_LEGEND = Legend(("land", "water"), (0, 1), (to_rgb("#000000"), to_rgb("#0072b2")))
ADVICE = "give a raster with one band, of 0 where there is no water and 1 or 255 where there is, or polygons of water"


def compare_with_truth(folder: Path, truth: Path, water: str | None = None) -> dict[str, Any]:
    """Compares the water of a map with the true one, and writes it and where they differ beside the map.

    Pixels that either of the two has no data for are not compared. A raster that lies otherwise than the scene is read
    as `PixelGrid.read_classes` does.

    Args:
        folder: of the map.
        truth: a label raster of 0 and 1 or 255, of models with several classes one of the mask's values; or polygons
            of water.
        water: name of the class that is water; see `MapResult.open`.

    Returns:
        what truth.json holds: pixels by kind, and IoU, F1, precision and recall of the water, in [0, 1].

    Raises:
        FloodSegError: the map is not complete, or the truth cannot be read, means something else or lies elsewhere.
    """
    result = MapResult.open(folder, water)
    grid = PixelGrid.of(result.georeference, result.height, result.width)
    overlay = Overlay(truth, _is_water(truth, result))
    overlay.check(grid, result.name)
    matrix, unknown = np.zeros((2, 2), np.int64), 0
    with (
        grid.read_classes(result.mask.path) as read_mask,
        overlay.over(grid, result.name) as laid,
        write_classes(folder / TRUTH_RASTER, grid.shape, grid.georeference, TRUTH_LEGEND) as out_truth,
        write_classes(folder / DIFFERENCES, grid.shape, grid.georeference, LEGEND) as out,
    ):
        for box in grid.parts():
            (mask, observed), (true, known) = read_mask(box), laid.read(box)
            compared = observed & known
            found = np.isin(mask, result.mask.flooded)
            matrix += confusion_matrix(found.astype(np.uint8), np.where(compared, true, IGNORED), 2)
            unknown += int(np.count_nonzero(~compared))
            values = np.where(found == true, np.uint8(RIGHT), np.where(true, np.uint8(MISSED), np.uint8(FALSE_ALARM)))
            values[~compared] = UNOBSERVED
            window = ((box.row, box.row + box.height), (box.col, box.col + box.width))
            out.write(values, 1, window=window)
            out_truth.write(np.where(known, true, np.uint8(UNOBSERVED)).astype(np.uint8), 1, window=window)
        if not matrix.any():
            raise DataError(f"{truth}: has no data where {result.name} has some; give one of the same place")
    (right_dry, alarms), (missed, hits) = matrix.tolist()
    scores = asdict(class_metrics(matrix)[1])
    record = {
        "truth": truth.name,
        "class": result.spec.class_names[result.water],
        **{name: round(scores[name], 6) for name in ("iou", "f1", "precision", "recall", "accuracy")},
        "pixels": {
            "water_right": hits, "land_right": right_dry, "missed": missed, "false_alarm": alarms,
            "not_compared": unknown,
        },
        "warnings": list(laid.warnings),
    }  # fmt: skip
    write_json(folder / TRUTH, record)
    return record


def _is_water(truth: Path, result: MapResult) -> Callable[[np.ndarray], np.ndarray]:
    """Returns which values of the truth are water; of polygons all."""
    if not Overlay(truth, np.isnan).is_raster:
        return lambda values: values > 0
    if len(result.spec.class_names) > 2:
        value = mask_values(result.spec)[result.water]
        return lambda values: values == value
    with open_raster(truth) as dataset:
        if dataset.count > 2:
            raise DataError(f"{truth}: has {dataset.count} bands; {ADVICE}")
    try:
        threshold = foreground_above(value_range(truth), str(truth))
    except (DataError, ImageError) as error:
        raise DataError(f"{truth}: its values are not those of water and land; {ADVICE}") from error
    return lambda values: values > threshold
