"""The evaluate verb: how good a model is on a folder of photos and masks, photo by photo."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.console import say, show_table, track, warn
from flood_seg.data.pairing import Fault
from flood_seg.data.store import load_pair, load_sample
from flood_seg.errors import DataError, ImageError
from flood_seg.evaluation.metrics import image_counts, image_ious, metrics_from_counts
from flood_seg.evaluation.photos import choose_pairs
from flood_seg.imaging.write import atomic_path, write_json
from flood_seg.inference.engines import open_backend
from flood_seg.inference.models import default_model
from flood_seg.inference.predictor import Predictor

if TYPE_CHECKING:
    from flood_seg.data.pairing import Pair
    from flood_seg.schema import EvaluateConfig


def evaluate(
    config: EvaluateConfig, model: str | None = None, out: Path | None = None, at_network_size: bool = False
) -> dict[str, Any]:
    """Predicts every photo of the data set and counts its pixels.

    Args:
        config: the data set, the backend, the threshold. With `datamodule.split_file` only its validation part counts.
        model: a file, or an address of a Triton server; None: the newest run's model, else the one in the box.
        out: folder of `metrics.json` and `images.csv`; None: nothing is written.
        at_network_size: count at the network's size, as training does; otherwise at each photo's own.

    Returns:
        what `metrics.json` holds.

    Raises:
        DataError: no usable pair.
    """
    path = model or str(default_model(Path(config.output_dir))[0])
    backend = open_backend(config.backend, path)
    predictor = Predictor(backend, config.threshold)
    pairs = choose_pairs(config.datamodule)
    say(f"{path}, {backend.description}, on {len(pairs)} photos of {config.datamodule.data_dir}")
    rows, faults = _count(predictor, pairs, at_network_size)
    record = _summarize(rows, path, at_network_size, faults)
    _show(record)
    if out:
        _write(out, record, rows)
    return record


def _count(
    predictor: Predictor, pairs: list[Pair], at_network_size: bool
) -> tuple[list[tuple[str, np.ndarray]], list[Fault]]:
    """Returns (stem, counts int64 [4]) of each usable pair, and the faulty ones."""
    rows, faults = [], []
    size = (predictor.spec.height, predictor.spec.width)
    for pair in track(pairs, "Evaluating", len(pairs)):
        try:
            image, mask = load_sample(pair, *size) if at_network_size else load_pair(pair)
        except ImageError as error:
            faults.append(Fault(pair.stem, pair.image, str(error)))
            warn(f"{pair.stem} left out: {error}")
            continue
        rows.append((pair.stem, image_counts(predictor.predict(image).mask, mask)))
    if not rows:
        raise DataError(f"no usable pair among {len(pairs)}; the lines above say why")
    return rows, faults


def _summarize(
    rows: list[tuple[str, np.ndarray]], model: str, at_network_size: bool, faults: list[Fault]
) -> dict[str, Any]:
    counts = np.stack([row for _, row in rows])
    low, median, high = np.percentile(image_ious(counts), (10, 50, 90))
    return {
        "model": model,
        "images": len(rows),
        "left_out": [fault.stem for fault in faults],
        "at_network_size": at_network_size,
        **asdict(metrics_from_counts(counts)),
        "image_iou_p10": float(low),
        "image_iou_median": float(median),
        "image_iou_p90": float(high),
    }


def _show(record: dict[str, Any]) -> None:
    figures = [(name, f"{value:.4f}") for name, value in record.items() if isinstance(value, float)]
    where = "network size" if record["at_network_size"] else "each photo's own size"
    show_table(f"{record['images']} photos at {where}", ("metric", "value"), figures)


def _write(folder: Path, record: dict[str, Any], rows: list[tuple[str, np.ndarray]]) -> None:
    ious = image_ious(np.stack([counts for _, counts in rows]))
    write_json(folder / "metrics.json", record)
    with (
        atomic_path(folder / "images.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["stem", "iou", "true_positives", "false_positives", "false_negatives", "true_negatives"])
        writer.writerows([stem, f"{iou:.6f}", *counts] for (stem, counts), iou in zip(rows, ious, strict=True))
    say(f"{folder / 'metrics.json'}, {folder / 'images.csv'}")
