"""The evaluate verb: how good a model is on a folder of photos and masks, photo by photo."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.console import say, show_table, track, warn
from flood_seg.data.layout import choose_pairs
from flood_seg.data.pairing import Fault
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, ImageError
from flood_seg.evaluation.classes import plot_confusion, show_classes
from flood_seg.evaluation.metrics import by_class, class_metrics, confusion_matrix, image_ious, task_metrics
from flood_seg.imaging.write import atomic_path, write_json
from flood_seg.inference.engines import open_backend
from flood_seg.inference.models import default_model
from flood_seg.inference.predictor import Predictor

if TYPE_CHECKING:
    from flood_seg.data.pairing import Pair
    from flood_seg.schema import EvaluateConfig
    from flood_seg.spec import ModelSpec

Row = tuple[str, np.ndarray]  # a stem and its confusion matrix, int64 [classes, classes]


def evaluate(
    config: EvaluateConfig, model: str | None = None, out: Path | None = None, at_network_size: bool = False
) -> dict[str, Any]:
    """Predicts every photo of the data set and counts its pixels.

    Args:
        config: the data set, the part of it, the backend, the threshold.
        model: a file, or an address of a Triton server; None: the newest run's model, else the one in the box.
        out: folder of `metrics.json`, `images.csv` and `confusion.png`; None: nothing is written.
        at_network_size: count at the network's size, as training does; otherwise at each photo's own.

    Returns:
        what `metrics.json` holds.

    Raises:
        DataError: no usable pair, no such part, or a mask has a value that the labels do not list.
    """
    path = model or str(default_model(Path(config.output_dir))[0])
    backend = open_backend(config.backend, path)
    predictor = Predictor(backend, config.threshold)
    reader = SampleReader.for_model(config.datamodule, backend.spec)
    pairs = choose_pairs(config.datamodule, config.part)
    say(f"{path}, {backend.description}, on {len(pairs)} photos of {config.datamodule.place}")
    rows, faults = _count(predictor, reader, pairs, at_network_size)
    record = _summarize(rows, backend.spec, path, at_network_size, faults)
    _show(record)
    if out:
        _write(out, record, rows, backend.spec)
    return record


def _count(
    predictor: Predictor, reader: SampleReader, pairs: list[Pair], at_network_size: bool
) -> tuple[list[Row], list[Fault]]:
    """Returns the stem and the confusion matrix of each usable pair, and the faulty ones."""
    rows, faults = [], []
    size, classes = (predictor.spec.height, predictor.spec.width), len(predictor.spec.class_names)
    for pair in track(pairs, "Evaluating", len(pairs)):
        try:
            image, mask = reader.load_at(pair, *size) if at_network_size else reader.load(pair)
        except ImageError as error:
            faults.append(Fault(pair.stem, pair.image, str(error)))
            warn(f"{pair.stem} left out: {error}")
            continue
        rows.append((pair.stem, confusion_matrix(predictor.predict(image).mask, mask, classes)))
    if not rows:
        raise DataError(f"no usable pair among {len(pairs)}; the lines above say why")
    return rows, faults


def _summarize(
    rows: list[Row], spec: ModelSpec, model: str, at_network_size: bool, faults: list[Fault]
) -> dict[str, Any]:
    matrices = np.stack([matrix for _, matrix in rows])
    low, median, high = np.percentile(image_ious(matrices, spec.task), (10, 50, 90))
    return {
        "model": model,
        "images": len(rows),
        "left_out": [fault.stem for fault in faults],
        "at_network_size": at_network_size,
        **asdict(task_metrics(matrices, spec.task)),
        "image_iou_p10": float(low),
        "image_iou_median": float(median),
        "image_iou_p90": float(high),
        "classes": by_class(matrices, spec.class_names),
        "confusion": matrices.sum(axis=0).tolist(),
    }


def _show(record: dict[str, Any]) -> None:
    figures = [(name, f"{value:.4f}") for name, value in record.items() if isinstance(value, float)]
    where = "network size" if record["at_network_size"] else "each photo's own size"
    show_table(f"{record['images']} photos at {where}", ("metric", "value"), figures)
    show_classes(record["classes"])


def _write(folder: Path, record: dict[str, Any], rows: list[Row], spec: ModelSpec) -> None:
    ious = image_ious(np.stack([matrix for _, matrix in rows]), spec.task)
    write_json(folder / "metrics.json", record)
    with (
        atomic_path(folder / "images.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["stem", "iou", *_columns(spec)])
        for (stem, matrix), iou in zip(rows, ious, strict=True):
            writer.writerow([stem, f"{iou:.6f}", *_cells(matrix, spec)])
    plot_confusion(record["confusion"], spec.class_names, folder / "confusion.png")
    say(", ".join(str(folder / name) for name in ("metrics.json", "images.csv", "confusion.png")))


def _columns(spec: ModelSpec) -> list[str]:
    if spec.task == "binary":
        return ["true_positives", "false_positives", "false_negatives", "true_negatives"]
    return [f"iou_{name}" for name in spec.class_names]


def _cells(matrix: np.ndarray, spec: ModelSpec) -> list[Any]:
    """Counts of a binary task, in the order of the columns; else each class's IoU, empty where the image has none."""
    if spec.task == "binary":
        return [matrix[1, 1], matrix[0, 1], matrix[1, 0], matrix[0, 0]]
    return [f"{one.iou:.6f}" if one.present else "" for one in class_metrics(matrix)]
