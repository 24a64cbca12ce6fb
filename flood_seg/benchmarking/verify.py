"""Runs the same images with several engines and compares the results."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.benchmarking.engine_process import EngineProcess
from flood_seg.console import say, show_table, track
from flood_seg.errors import DisagreementError, UsageError
from flood_seg.evaluation.agreement import SAME_INPUT, SAME_TASK, Agreement, check_same_spec, compare
from flood_seg.evaluation.eval_images import load_images
from flood_seg.files import check_suffix, check_writable, write_json
from flood_seg.imaging.postprocess import check_logits
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.engines import parse_engine, short_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flood_seg.config.schema import DataConfig, VerifyOptions
    from flood_seg.spec import ModelSpec

COLUMNS = ("model", "engine", "max Δp", "flipped", "IoU", "area", "ms", "MB", "")
LEGEND = (
    "max Δp: maximum difference in probability; flipped: share of pixels; IoU: of the two masks; area: relative error\n"
    "of the foreground area; ms: per image; MB: peak memory of the process (for servers, of the client)"
)


@dataclass(frozen=True)
class EngineOutput:
    """The output of an engine.

    Attributes:
        name: the model, as given by the user.
        description: the engine, device and precision.
        logits: float32 [channels, height, width] of each image.
        milliseconds: median per image, after a warm-up.
        memory_mb: peak memory of the process; for servers, of the client.
    """

    name: str
    description: str
    logits: list[np.ndarray]
    milliseconds: float
    memory_mb: float


def verify(data: DataConfig, options: VerifyOptions, models: Sequence[str], out: Path | None = None) -> list[Agreement]:
    """Compares the first model with each of the others, on images at its network input size.

    Args:
        data: the images.
        options: number of images, and the tolerance.
        models: two or more, in the format of `parse_engine`; the first is the reference.
        out: JSON file for the results; None: nothing is written.

    Returns:
        the agreement of each further model with the first one.

    Raises:
        DisagreementError: a difference exceeds the tolerance.
        ModelError: two models expect different inputs.
        UsageError: fewer than two models.
    """
    if len(models) < 2:
        raise UsageError("--models requires two or more: flood-seg verify --models best.ckpt model.onnx")
    if out:
        check_suffix(out, (".json",), "the report in JSON")
        check_writable(out, folder=False)
    engines = [parse_engine(model) for model in models]  # all names are checked before the first model is loaded
    spec: ModelSpec | None = None
    outputs: list[EngineOutput] = []
    for engine in engines:
        with EngineProcess(engine) as running:
            if spec is None:
                spec = running.spec
                images, origin = load_images(data, spec, options.images)
                batches = [preprocess(one.image, spec)[None] for one in images]
            check_same_spec(spec, running.spec, str(engine), (*SAME_TASK, *SAME_INPUT))
            outputs.append(_run_all(running, batches))
    assert spec is not None
    agreements = [compare(outputs[0].logits, other.logits, spec.threshold, spec.temperature) for other in outputs[1:]]
    _show(outputs, agreements, options.tolerance, f"{len(images)} {origin}, {spec.height}×{spec.width}")
    if out:
        _write(out, outputs, agreements, options.tolerance)
    others = zip(outputs[1:], agreements, strict=True)
    if wrong := [other.name for other, found in others if not found.worst <= options.tolerance]:  # NaN is wrong too
        raise DisagreementError(
            f"{', '.join(wrong)}: differs from {outputs[0].name} by more than verify.tolerance={options.tolerance:g} "
            "(maximum of flipped pixels, 1 - mask IoU, area error)"
        )
    say(f"All agree with {outputs[0].name} within {options.tolerance:g}.")
    return agreements


def _run_all(running: EngineProcess, batches: list[np.ndarray]) -> EngineOutput:
    logits, seconds, memory = [], [], 0.0
    running.run(batches[0])  # warm-up
    for batch in track(batches, running.description, len(batches)):
        timed = running.run(batch)
        logits.append(check_logits(timed.logits[0], str(running.engine)))
        seconds += timed.seconds
        memory = timed.memory_mb
    return EngineOutput(str(running.engine), running.description, logits, statistics.median(seconds) * 1e3, memory)


def _show(outputs: list[EngineOutput], agreements: list[Agreement], tolerance: float, title: str) -> None:
    differences = [("", "", "", "")]
    verdicts = ["reference"]
    for found in agreements:
        shares = (f"{found.flipped:.3%}", f"{found.mask_iou:.4f}", f"{found.area_error:.3%}")
        differences.append((f"{found.probability:.2g}", *shares))
        verdicts.append("same" if found.worst <= tolerance else "differs")
    rows = [
        (short_name(one.name), one.description, *cells, f"{one.milliseconds:.1f}", f"{one.memory_mb:.0f}", verdict)
        for one, cells, verdict in zip(outputs, differences, verdicts, strict=True)
    ]
    show_table(title, COLUMNS, rows)
    say(*LEGEND.splitlines())


def _write(path: Path, outputs: list[EngineOutput], agreements: list[Agreement], tolerance: float) -> None:
    found: list[Agreement | None] = [None, *agreements]
    records = [
        {
            "model": output.name,
            "engine": output.description,
            "milliseconds": output.milliseconds,
            "memory_mb": output.memory_mb,
            "agreement": asdict(agreement) if agreement else None,
        }
        for output, agreement in zip(outputs, found, strict=True)
    ]
    write_json(path, {"reference": outputs[0].name, "tolerance": tolerance, "models": records})
