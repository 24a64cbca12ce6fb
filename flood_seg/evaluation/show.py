"""Prints the result of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flood_seg.console import counted, say, show_table, warn
from flood_seg.plots.confusion import show_classes

if TYPE_CHECKING:
    from flood_seg.config.schema import EvaluationOptions
    from flood_seg.evaluation.result import EvaluationResult


def show(result: EvaluationResult, options: EvaluationOptions) -> None:
    """Prints the metrics with their confidence intervals, and the results that the options request."""
    record = result.record
    if unusual := record["unusual_values"]:
        names = ", ".join(unusual[:3]) + (", ..." if len(unusual) > 3 else "")
        warn(f"{counted(len(unusual), 'image')} with unusual values (input_shift above max_input_shift): {names}")
    for what, count in record.get("missing", {}).items():
        say(f"{counted(count, 'image')} of {record['images']} without {what}")
    where = "network input size" if record["at_network_size"] else "original image size"
    rows = []
    for name, value in record.items():
        if isinstance(value, float) and name not in ("seconds", "threshold", "temperature"):
            interval = record["intervals"].get(name)
            rows.append((name, f"{value:.4f}", f"{interval[0]:.4f} – {interval[1]:.4f}" if interval else ""))
    show_table(f"{counted(record['images'], 'image')} at {where}", ("metric", "value", "95 % CI"), rows)
    show_classes(record["classes"])
    if "groups" in record:
        groups = [
            (one["name"], one["images"], f"{one['iou']:.4f}", "{:.4f} – {:.4f}".format(*one["iou_interval"]))
            for one in record["groups"]
        ]
        show_table("Metrics per group", ("group", "images", "IoU", "95 % CI"), groups)
    for key, text in (("views", "Test-time augmentation:"), ("comparison", "Compared with the other model:")):
        if key in record:
            say(_difference(record[key], text))
    if options.goal and (best := record.get("thresholds", {}).get(options.goal)):
        say(f"Best threshold for {options.goal}: " + ", ".join(f"{name} {value:.4f}" for name, value in best.items()))
    if options.calibrate:
        found = record["calibration"]
        say(
            f"Best temperature {found['best_temperature']:.3f}: expected calibration error (ECE) "
            f"{found['ece_at_best']:.4f}, currently {found['ece']:.4f}"
        )


def _difference(found: dict[str, Any], text: str) -> str:
    times = found["seconds"] / max(found["other_seconds"], 1e-9)
    return (
        f"{text} {found['difference']:+.4f} IoU (95 % CI {found['low']:+.4f} to {found['high']:+.4f}), better on "
        f"{counted(found['wins'], 'image')}, worse on {found['losses']}; {times:.1f}× the inference time"
    )
