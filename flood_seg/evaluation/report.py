"""Writes an evaluation: metrics as JSON, images as tables, and a report in one HTML file that opens offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flood_seg.classes import to_hex
from flood_seg.console import say
from flood_seg.evaluation.measure import SMALL
from flood_seg.evaluation.rows import write_rows
from flood_seg.files import write_json
from flood_seg.imaging.display import class_colors, difference_legend, draw_classes, draw_difference
from flood_seg.plots import evaluation as charts
from flood_seg.plots.confusion import plot_confusion
from flood_seg.plots.page import data_uri, encode_thumbnail, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema import EvaluationOptions
    from flood_seg.evaluation.evaluated import Evaluated
    from flood_seg.evaluation.measure import ImageResult
    from flood_seg.evaluation.rows import Row
    from flood_seg.spec import ModelSpec

CONFUSION = "confusion.png"
# What the page says of each figure.
MEANINGS = {
    "iou": ("IoU", "Shared area over the area of both masks together, all photos' pixels counted as one."),
    "f1": ("F1 (Dice)", "Twice the shared area over the sum of both areas."),
    "precision": ("Precision", "Of what the model calls foreground, the share that is."),
    "recall": ("Recall", "Of the true foreground, the share that the model finds."),
    "accuracy": ("Accuracy", "Share of all pixels that are right; high by itself where there is little foreground."),
    "image_iou": ("IoU of a photo", "The mean over photos of each one's IoU, so that small ones count like large."),
    "area_error": ("Area error", "Predicted foreground area over the true one, minus 1: below 0 too little is found."),
    "average_precision": ("Average precision", "The area below the precision-recall curve, over all thresholds."),
}


def write_files(folder: Path, evaluated: Evaluated, options: EvaluationOptions) -> None:
    """Writes `report.html`, `metrics.json`, `images.*` and `confusion.png` into a folder."""
    write_json(folder / "metrics.json", evaluated.record)
    files = write_rows(folder, evaluated.rows)
    plot_confusion(evaluated.record["confusion"], evaluated.spec.class_names, folder / CONFUSION)
    write_report(folder / "report.html", evaluated, options)
    names = ["report.html", "metrics.json", *(file.name for file in files), CONFUSION]
    say(", ".join(str(folder / name) for name in names))


def write_report(path: Path, evaluated: Evaluated, options: EvaluationOptions) -> None:
    """Writes the page; `confusion.png` lies beside it already."""
    record, spec = evaluated.record, evaluated.spec
    by_stem = {row["stem"]: row for row in evaluated.rows}
    legend = {name: to_hex(color) for name, color in difference_legend(spec.class_names).items()}
    write_page(
        path, "evaluation.html",
        title="How good the model is",
        record=record,
        spec=spec,
        figures=_figures(record, options),
        columns=_columns(evaluated.rows),
        rows=evaluated.rows,
        pictures=_charts(evaluated, options, path.with_name(CONFUSION)),
        galleries={
            "The worst photos": [_example(one, by_stem[one.stem], spec) for one in evaluated.gallery.worst],
            "The best photos": [_example(one, by_stem[one.stem], spec) for one in evaluated.gallery.best],
        },
        legend=legend,
        class_legend=list(zip(spec.class_names, map(to_hex, class_colors(spec)), strict=True))[1:],
    )  # fmt: skip


def _figures(record: dict[str, Any], options: EvaluationOptions) -> list[dict[str, Any]]:
    boundary = {
        f"boundary_f1_{radius}px": (
            f"Boundary F1, {radius} px", f"How well outlines lie within {radius} pixels, the mean over photos."
        ) for radius in options.boundary
    }  # fmt: skip
    meanings = {name: text for name, text in (MEANINGS | boundary).items() if name in record}
    return [
        {"title": title, "meaning": meaning, "value": record[name], "interval": record["intervals"].get(name)}
        for name, (title, meaning) in meanings.items()
    ]


def _columns(rows: list[Row]) -> list[str]:
    hidden = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return [name for name in rows[0] if name not in hidden]


def _charts(evaluated: Evaluated, options: EvaluationOptions, confusion: Path) -> list[dict[str, str]]:
    record, curve = evaluated.record, evaluated.curve
    pictures = [
        ("Photos by IoU", "How many photos are how good.",
         charts.iou_histogram([row["iou"] for row in evaluated.rows])),
        ("Where pixels went", "Each row is a true class, its cells the shares that were called so.",
         data_uri(confusion.read_bytes(), "image/png")),
    ]  # fmt: skip
    if curve is not None:
        goals = dict.fromkeys(("f1", options.goal or "recall>=0.95"))
        marks = {goal: mark for goal in goals if (mark := record["thresholds"][goal])}
        pictures += [
            ("Precision and recall", "What a lower threshold finds more, and what it calls foreground wrongly. Marked "
             "are the best thresholds for a goal.",
             charts.precision_recall(curve, marks, evaluated.spec.class_names[1])),
            ("Thresholds", "What each threshold would give.", charts.thresholds(curve, record["threshold"])),
        ]  # fmt: skip
    temperature = record["calibration"]["best_temperature"]
    pictures.append((
        "Reliability", "Whether the probabilities mean what they say: below the diagonal the model is too sure. The "
        "expected calibration error (ECE) is the mean distance from it.",
        charts.reliability_diagram(*evaluated.reliability, temperature),
    ))  # fmt: skip
    if "comparison" in record:
        drawn = charts.differences(record["comparison"]["per_image"])
        pictures.append(("Who wins where", "Each photo's IoU minus the other model's; blue: ours is better.", drawn))
    return [{"title": title, "meaning": meaning, "source": source} for title, meaning, source in pictures]


def _example(result: ImageResult, row: Row, spec: ModelSpec) -> dict[str, Any]:
    """Returns a photo's pictures: truth, prediction, difference."""
    looks, colors = result.looks, class_colors(spec)
    assert looks is not None
    drawn = {
        "truth": draw_classes(looks.image, looks.truth, colors, 0.45, None),
        "prediction": draw_classes(looks.image, looks.predicted, colors, 0.45, None),
        "difference": draw_difference(looks.image, looks.truth, looks.predicted),
    }
    sources = {name: data_uri(encode_thumbnail(picture, SMALL)) for name, picture in drawn.items()}
    return {"row": row, "pictures": sources}
