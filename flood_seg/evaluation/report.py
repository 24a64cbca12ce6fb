"""Writes the result of an evaluation: metrics as JSON, per-image tables, and a self-contained HTML report."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import to_hex
from flood_seg.console import say
from flood_seg.evaluation.measure import THUMBNAIL_PX
from flood_seg.evaluation.rows import write_rows
from flood_seg.files import write_json
from flood_seg.imaging.display import class_colors, difference_legend, draw_classes, draw_difference
from flood_seg.imaging.write import write_image
from flood_seg.plots.confusion import plot_confusion
from flood_seg.plots.evaluation import (
    draw_differences,
    draw_iou_histogram,
    draw_precision_recall,
    draw_reliability,
    draw_thresholds,
)
from flood_seg.plots.page import chart, data_uri, encode_thumbnail, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema import EvaluationOptions
    from flood_seg.evaluation.measure import ImageResult, Thumbnails
    from flood_seg.evaluation.result import EvaluationResult
    from flood_seg.evaluation.rows import Row
    from flood_seg.spec import ModelSpec

CONFUSION = "confusion.png"
HIDDEN_COLUMNS = ("true_positives", "false_positives", "false_negatives", "true_negatives")
STEM_LENGTH = 50  # characters of a file name behind place and score; 255 bytes are the limit of most file systems
# Metrics of the report: title and definition.
DEFINITIONS = {
    "iou": ("IoU", "Intersection over union of prediction and ground truth, over the pixels of all images."),
    "f1": ("F1 (Dice)", "Harmonic mean of precision and recall."),
    "precision": ("Precision", "Share of the predicted foreground that is correct."),
    "recall": ("Recall", "Share of the true foreground that is detected."),
    "accuracy": (
        "Accuracy",
        "Share of correctly classified pixels. High even without detections if foreground is rare.",
    ),
    "loss": ("Loss", "Mean cross-entropy per pixel of the probabilities, with the natural logarithm; lower is better."),
    "image_iou": ("Mean IoU per image", "Mean of the IoU of each image: images of all sizes have the same weight."),
    "macro_iou": (
        "Macro IoU per image",
        "Mean over images of the mean of the IoU of each class, background included, that occurs in the image.",
    ),
    "frequency_weighted_iou": (
        "Frequency-weighted IoU per image",
        "As macro IoU, with each class weighted by its share of the image's ground truth.",
    ),
    "area_error": ("Area error", "Relative error of the foreground area. Negative: the area is underestimated."),
    "average_precision": ("Average precision", "Area under the precision-recall curve (AP), over all thresholds."),
}


def write_files(folder: Path, result: EvaluationResult, options: EvaluationOptions) -> None:
    """Writes `report.html`, `metrics.json`, `images.*`, `confusion.png`, `best/` and `worst/` into a folder."""
    write_json(folder / "metrics.json", result.record)
    files = write_rows(folder, result.rows)
    plot_confusion(result.record["confusion"], result.spec.class_names, folder / CONFUSION)
    write_report(folder / "report.html", result, options)
    _write_examples(folder, result, options.rank_by)
    names = ["report.html", "metrics.json", *(file.name for file in files), CONFUSION]
    say(", ".join(str(folder / name) for name in names))


def _write_examples(folder: Path, result: EvaluationResult, rank_by: str) -> None:
    """Writes the best and the worst images: image, truth, prediction and difference side by side."""
    scores = {row["stem"]: row[rank_by] for row in result.rows}
    for name, examples in (("best", result.gallery.best), ("worst", result.gallery.worst)):
        shutil.rmtree(folder / name, ignore_errors=True)  # of an earlier evaluation
        for place, one in enumerate(examples, 1):
            assert one.thumbnails is not None
            file = f"{place:02d}_{rank_by}{scores[one.stem]:.3f}_{one.stem.replace('/', '_')[-STEM_LENGTH:]}.jpg"
            drawn = (one.thumbnails.image, *_draw(one.thumbnails, result.spec).values())
            write_image(folder / name / file, np.hstack(drawn))


def write_report(path: Path, result: EvaluationResult, options: EvaluationOptions) -> None:
    """Writes the report; embeds `confusion.png`, which must exist beside it."""
    record, spec = result.record, result.spec
    by_stem = {row["stem"]: row for row in result.rows}
    legend = {name: to_hex(color) for name, color in difference_legend(spec.class_names).items()}
    write_page(
        path, "evaluation.html",
        title="Evaluation report",
        record=record,
        spec=spec,
        metrics=_metrics(record, options),
        columns=[name for name in result.rows[0] if name not in HIDDEN_COLUMNS],
        rows=result.rows,
        charts=_charts(result, options, path.with_name(CONFUSION)),
        galleries={
            "Lowest IoU": [_example(one, by_stem[one.stem], spec) for one in result.gallery.worst],
            "Highest IoU": [_example(one, by_stem[one.stem], spec) for one in result.gallery.best],
        },
        legend=legend,
        class_legend=list(zip(spec.class_names, map(to_hex, class_colors(spec)), strict=True))[1:],
    )  # fmt: skip


def _metrics(record: dict[str, Any], options: EvaluationOptions) -> list[dict[str, Any]]:
    boundary = {
        f"boundary_f1_{radius}px": (
            f"Boundary F1, {radius} px", f"F1 of outlines within a tolerance of {radius} pixels, mean over images."
        ) for radius in options.boundary
    }  # fmt: skip
    definitions = {name: text for name, text in (DEFINITIONS | boundary).items() if record.get(name) is not None}
    return [
        {"title": title, "definition": definition, "value": record[name], "interval": record["intervals"].get(name)}
        for name, (title, definition) in definitions.items()
    ]


def _charts(result: EvaluationResult, options: EvaluationOptions, confusion: Path) -> list[dict[str, str]]:
    record, curve = result.record, result.curve
    drawn = [
        ("Distribution of IoU", "Number of images by IoU.",
         chart(partial(draw_iou_histogram, ious=[row["iou"] for row in result.rows]))),
        ("Confusion matrix", "Each row is a true class and sums to 100 %; the columns are the predicted classes.",
         data_uri(confusion.read_bytes(), "image/png")),
    ]  # fmt: skip
    if curve is not None:
        goals = dict.fromkeys(("f1", options.goal or "recall>=0.95"))
        marks = {goal: mark for goal in goals if (mark := record["thresholds"][goal])}
        drawn += [
            ("Precision-recall curve", "Precision and recall at every threshold. Markers: the best threshold for each "
             "goal.",
             chart(partial(draw_precision_recall, curve=curve, marks=marks, name=result.spec.class_names[1]))),
            ("Metrics by threshold", "The dotted line is the current threshold.",
             chart(partial(draw_thresholds, curve=curve, current=record["threshold"]))),
        ]  # fmt: skip
    temperature, (before, after) = record["calibration"]["best_temperature"], result.reliability
    drawn.append((
        "Reliability diagram", "Observed frequency against predicted probability. Below the diagonal the model is "
        "overconfident. The expected calibration error (ECE) is the mean distance from the diagonal.",
        chart(partial(draw_reliability, before=before, after=after, temperature=temperature), height=4.8),
    ))  # fmt: skip
    if "comparison" in record:
        source = chart(partial(draw_differences, per_image=record["comparison"]["per_image"]))
        drawn.append(("IoU difference per image", "Positive (blue): this model is better than the other one.", source))
    return [{"title": title, "caption": caption, "source": source} for title, caption, source in drawn]


def _example(result: ImageResult, row: Row, spec: ModelSpec) -> dict[str, Any]:
    """Returns the row of an image and its thumbnails: truth, prediction, difference."""
    assert result.thumbnails is not None
    drawn = _draw(result.thumbnails, spec)
    sources = {name: data_uri(encode_thumbnail(image, THUMBNAIL_PX)) for name, image in drawn.items()}
    return {"row": row, "images": sources}


def _draw(small: Thumbnails, spec: ModelSpec) -> dict[str, np.ndarray]:
    colors = class_colors(spec)
    return {
        "truth": draw_classes(small.image, small.truth, colors, 0.45, None),
        "prediction": draw_classes(small.image, small.predicted, colors, 0.45, None),
        "difference": draw_difference(small.image, small.truth, small.predicted),
    }
