"""What a finished run says: how good, where everything lies, what to type next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flood_seg.console import say, show_table


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


NAMES = {
    "val_iou": "IoU",
    "val_f1": "F1 (Dice)",
    "val_accuracy": "accuracy",
    "val_image_iou": "IoU, mean per image",
    "val_loss": "loss",
}


def print_summary(summary: Summary) -> None:
    """Writes the summary to stdout."""
    minutes, seconds = divmod(round(summary.seconds), 60)
    rows = [(name, f"{summary.metrics[key]:.4f}") for key, name in NAMES.items() if key in summary.metrics]
    title = f"Best epoch {summary.best_epoch} of {summary.epochs}, validation part, {minutes} min {seconds} s in all"
    show_table(title, ("metric", "value"), rows)
    say(f"checkpoint  {shorten(summary.best_checkpoint)}")
    if summary.onnx:
        say(f"ONNX        {shorten(summary.onnx)}")
    say(f"plots       {shorten(summary.plots)}")
    if summary.tracking:
        say(f"tracking    {summary.tracking}")
    say("next        flood-seg infer --image photo.jpg --overlay")


def shorten(path: Path) -> Path:
    """Returns the path relative to the working directory where it lies inside."""
    absolute = path.absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path
