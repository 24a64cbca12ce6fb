"""The evaluate verb with what follows the measuring: trackers, and the model's spec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import say
from flood_seg.errors import UsageError
from flood_seg.evaluation.evaluate import Evaluated, evaluate
from flood_seg.export.update_spec import check_writable, write_spec
from flood_seg.inference.models import default_model

if TYPE_CHECKING:
    from flood_seg.config.schema import EvaluateConfig


def run_evaluate(
    config: EvaluateConfig, model: str | None, out: Path | None, at_network_size: bool, save: bool
) -> Evaluated:
    """Evaluates; hands the result to the trackers; writes what was found into the model on request.

    Args:
        config: as `evaluate`.
        model: likewise.
        out: likewise.
        at_network_size: likewise.
        save: whether the model's spec gets the threshold of the goal and the temperature.

    Raises:
        UsageError: there is nothing to save.
        ModelError: the model's spec cannot be changed.
        FloodSegError: as `evaluate`.
    """
    path = model or str(default_model(Path(config.output_dir))[0])
    if save:
        if not (config.evaluation.goal or config.evaluation.calibrate):
            raise UsageError("--save: writes a threshold or a temperature; give --goal GOAL or --calibrate, or both")
        check_writable(path)
    trackers = None
    if config.logger:
        from flood_seg.evaluation.tracking import keep, open_for_evaluation

        trackers = open_for_evaluation(config, path, out)
    try:
        evaluated = evaluate(config, path, out, at_network_size)
    except BaseException:
        if trackers:
            trackers.close(failed=True)
        raise
    if trackers and out:
        keep(trackers, evaluated, out)
    if save:
        found = evaluated.record["found"]
        write_spec(Path(path), replace(evaluated.spec, **found))
        say(f"{path}: threshold {found['threshold']:.4f}, temperature {found['temperature']:.4f} are in its spec now")
    return evaluated
