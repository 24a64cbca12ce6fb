"""One row per image, as JSON, CSV and Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.files import atomic_path, encodable, write_csv, write_json
from flood_seg.imaging.optional import OptionalBands
from flood_seg.metrics.confusion import class_metrics, image_ious, task_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.evaluation.measure import ImageResult
    from flood_seg.spec import ModelSpec

Row = dict[str, Any]


def image_rows(
    results: Sequence[ImageResult], spec: ModelSpec, radii: Sequence[int], groups: dict[str, str] | None
) -> list[Row]:
    """Returns the metrics of each image by name.

    Scores lie in [0, 1]; `area_error` is the predicted share of foreground minus the true one, in [-1, 1]; pixels are
    counts; `iou_NAME` of a class is None where neither truth nor prediction contains it; `missing` is in words, of
    models that may miss bands.
    """
    rows = []
    for result in results:
        matrix = result.matrix
        one = task_metrics(matrix[None], spec.task)
        pixels = max(int(matrix.sum()), 1)
        true, predicted = (float(matrix.sum(axis=axis)[1:].sum()) / pixels for axis in (1, 0))
        row: Row = {"stem": result.stem}
        if groups is not None:
            row["group"] = groups[result.stem]
        row |= {"width": result.size[1], "height": result.size[0], "iou": one.iou, "f1": one.f1}
        row |= {"precision": one.precision, "recall": one.recall, "accuracy": one.accuracy, "loss": result.loss}
        row |= {"macro_iou": one.macro_iou, "frequency_weighted_iou": one.frequency_weighted_iou}
        row |= {f"boundary_f1_{radius}px": score for radius, score in zip(radii, result.boundary, strict=True)}
        row |= {"foreground_true": true, "foreground_predicted": predicted, "area_error": predicted - true}
        row |= {"brightness": result.brightness, "sharpness": result.sharpness, "input_shift": result.shift}
        if spec.optional_bands:
            row["missing"] = OptionalBands.of(spec).describe(result.missing)
        row |= _cells(matrix, spec)
        for name, other in result.matrices.items():
            if other is not matrix:
                row[f"iou_{name}_model" if name == "other" else f"iou_{name}"] = float(
                    image_ious(other[None], spec.task)[0]
                )
        rows.append(row)
    return rows


def _cells(matrix: np.ndarray, spec: ModelSpec) -> Row:
    if spec.task == "binary":
        cells = {"true_positives": matrix[1, 1], "false_positives": matrix[0, 1], "false_negatives": matrix[1, 0]}
        return {name: int(count) for name, count in (cells | {"true_negatives": matrix[0, 0]}).items()}
    classes = zip(spec.class_names, class_metrics(matrix), strict=True)
    return {f"iou_{name}": one.iou if one.present else None for name, one in classes}


def write_rows(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Writes `images.json`, `images.csv` and `images.parquet`."""
    import pyarrow as pa
    from pyarrow import parquet

    files = [folder / f"images.{suffix}" for suffix in ("json", "csv", "parquet")]
    write_json(files[0], list(rows))
    cells = [[f"{value:.6f}" if isinstance(value, float) else value for value in row.values()] for row in rows]
    write_csv(files[1], list(rows[0]), cells)
    unicode = [  # UTF-8 is the only encoding of Arrow's strings
        {name: encodable(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows
    ]
    with atomic_path(files[2]) as temporary:
        parquet.write_table(pa.Table.from_pylist(unicode), temporary)
    return files
