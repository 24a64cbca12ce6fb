"""Prints an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flood_seg.console import counted, say, show_table, warn
from flood_seg.plots.confusion import show_classes

if TYPE_CHECKING:
    from flood_seg.config.schema import EvaluationOptions
    from flood_seg.evaluation.evaluated import Evaluated


def show(evaluated: Evaluated, options: EvaluationOptions) -> None:
    """Prints the metrics with their intervals, and what the options asked for."""
    record = evaluated.record
    if unusual := record["unusual_values"]:
        names = ", ".join(unusual[:3]) + (", ..." if len(unusual) > 3 else "")
        warn(f"{counted(len(unusual), 'photo')} with unusual values (input_shift above max_input_shift): {names}")
    where = "network size" if record["at_network_size"] else "each photo's own size"
    rows = []
    for name, value in record.items():
        if isinstance(value, float) and name not in ("seconds", "threshold", "temperature"):
            interval = record["intervals"].get(name)
            rows.append((name, f"{value:.4f}", f"{interval[0]:.4f} – {interval[1]:.4f}" if interval else ""))
    show_table(f"{record['images']} photos at {where}", ("metric", "value", "95 % interval"), rows)
    show_classes(record["classes"])
    if "groups" in record:
        groups = [
            (one["name"], one["images"], f"{one['iou']:.4f}", "{:.4f} – {:.4f}".format(*one["iou_interval"]))
            for one in record["groups"]
        ]
        show_table("Each group", ("group", "photos", "IoU", "95 % interval"), groups)
    for key, text in (("views", "Views add"), ("comparison", "The model against the other one:")):
        if key in record:
            say(_difference(record[key], text))
    if options.goal and (best := record.get("thresholds", {}).get(options.goal)):
        say(f"Best for {options.goal}: " + ", ".join(f"{name} {value:.4f}" for name, value in best.items()))
    if options.calibrate:
        found = record["calibration"]
        say(
            f"Temperature {found['best_temperature']:.3f}: expected calibration error {found['ece_at_best']:.4f}, "
            f"{found['ece']:.4f} now"
        )


def _difference(found: dict[str, Any], text: str) -> str:
    times = found["seconds"] / max(found["other_seconds"], 1e-9)
    return (
        f"{text} {found['difference']:+.4f} IoU ({found['low']:+.4f} to {found['high']:+.4f}), better on "
        f"{found['wins']} photos, worse on {found['losses']}; {times:.1f} times the time"
    )
