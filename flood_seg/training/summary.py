"""The summary of a finished run: metrics, files and the next command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flood_seg.console import duration, say, show_table
from flood_seg.files import shorten


@dataclass(frozen=True)
class Summary:
    """The outcome of a run."""

    run_dir: Path
    epochs: int
    best_epoch: int
    metrics: dict[str, float]
    best_checkpoint: Path
    onnx: Path | None
    plots: Path
    seconds: float
    tracking: str
    monitor: str = "val_iou"  # metric that selects the best epoch
    validated_on: str = "validation part"


METRIC_NAMES = {
    "val_iou": "IoU",
    "val_f1": "F1 (Dice)",
    "val_accuracy": "accuracy",
    "val_image_iou": "IoU, mean per image",
    "val_macro_iou": "macro IoU, mean per image",
    "val_loss": "loss",
}


def print_summary(summary: Summary) -> None:
    """Prints the summary."""
    named = METRIC_NAMES if summary.monitor in METRIC_NAMES else {summary.monitor: summary.monitor, **METRIC_NAMES}
    rows = [(name, f"{summary.metrics[key]:.4f}") for key, name in named.items() if key in summary.metrics]
    epochs = f"{summary.epochs} epoch{'' if summary.epochs == 1 else 's'}, counted from 0"
    by = "" if summary.monitor == "val_iou" else f" by {summary.monitor}"
    best = f"Best epoch {summary.best_epoch}{by} ({epochs})"
    title = f"{best}, {summary.validated_on}, {duration(summary.seconds)} in total"
    show_table(title, ("metric", "value"), rows)
    if summary.best_checkpoint.exists():  # fast_dev_run saves none
        say(f"checkpoint  {shorten(summary.best_checkpoint)}")
    if summary.onnx:
        say(f"ONNX        {shorten(summary.onnx)}")
    say(f"plots       {shorten(summary.plots)}")
    if summary.tracking:
        say(f"tracking    {summary.tracking}")
    say("next        flood-seg infer --image photo.jpg --overlay")
