"""Runs the same images through several engines and compares the results."""

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
    "max Δp: largest difference of a probability; flipped: pixels; IoU: of the two masks; area: relative error of\n"
    "the foreground's; ms: per photo; MB: peak memory of the process (of a server, of its client)"
)


@dataclass(frozen=True)
class Answers:
    """What an engine answered.

    Attributes:
        name: the model, as it was given.
        description: the engine, device and precision.
        logits: float32 [channels, height, width] of each photo.
        milliseconds: the median of a photo, the first left out.
        memory_mb: the most that its process used; of a server, the client's.
    """

    name: str
    description: str
    logits: list[np.ndarray]
    milliseconds: float
    memory_mb: float


def verify(data: DataConfig, options: VerifyOptions, models: Sequence[str], out: Path | None = None) -> list[Agreement]:
    """Compares the first model with each of the others, on photos at the first one's network size.

    Args:
        data: the images.
        options: how many of them, and the tolerance.
        models: as `parse_engine` reads them; two or more.
        out: where to write the figures as JSON; None: nowhere.

    Returns:
        how far each model but the first lies from it.

    Raises:
        DisagreementError: one lies further away than the tolerance.
        ModelError: two models expect different inputs.
        UsageError: fewer than two models.
    """
    if len(models) < 2:
        raise UsageError("--models requires two or more: flood-seg verify --models best.ckpt model.onnx")
    if out:
        check_suffix(out, (".json",), "the report in JSON")
        check_writable(out, folder=False)
    engines = [parse_engine(model) for model in models]  # all names are checked before the first one loads
    spec: ModelSpec | None = None
    answers: list[Answers] = []
    for engine in engines:
        with EngineProcess(engine) as running:
            if spec is None:
                spec = running.spec
                photos, origin = load_images(data, spec, options.images)
                batches = [preprocess(photo.image, spec)[None] for photo in photos]
            check_same_spec(spec, running.spec, str(engine), (*SAME_TASK, *SAME_INPUT))
            answers.append(_answer(running, batches))
    assert spec is not None
    agreements = [compare(answers[0].logits, other.logits, spec.threshold, spec.temperature) for other in answers[1:]]
    _show(answers, agreements, options.tolerance, f"{len(photos)} {origin}, {spec.height}×{spec.width}")
    if out:
        _write(out, answers, agreements, options.tolerance)
    _judge(answers, agreements, options.tolerance)
    return agreements


def _answer(running: EngineProcess, batches: list[np.ndarray]) -> Answers:
    logits, seconds, memory = [], [], 0.0
    running.run(batches[0])  # a first run prepares what the later ones need
    for batch in track(batches, running.description, len(batches)):
        timed = running.run(batch)
        logits.append(check_logits(timed.logits[0], str(running.engine)))
        seconds += timed.seconds
        memory = timed.memory_mb
    return Answers(str(running.engine), running.description, logits, statistics.median(seconds) * 1e3, memory)


def _show(answers: list[Answers], agreements: list[Agreement], tolerance: float, title: str) -> None:
    first, *others = answers
    rows = [(*_names(first), "", "", "", "", *_costs(first), "reference")]
    for answer, found in zip(others, agreements, strict=True):
        shares = (f"{found.flipped:.3%}", f"{found.mask_iou:.4f}", f"{found.area_error:.3%}")
        verdict = "same" if found.worst <= tolerance else "differs"
        rows.append((*_names(answer), f"{found.probability:.2g}", *shares, *_costs(answer), verdict))
    show_table(title, COLUMNS, rows)
    say(*LEGEND.splitlines())


def _names(answer: Answers) -> tuple[str, str]:
    return short_name(answer.name), answer.description


def _costs(answer: Answers) -> tuple[str, str]:
    return f"{answer.milliseconds:.1f}", f"{answer.memory_mb:.0f}"


def _write(path: Path, answers: list[Answers], agreements: list[Agreement], tolerance: float) -> None:
    apart: list[Agreement | None] = [None, *agreements]
    records = [
        {
            "model": answer.name,
            "engine": answer.description,
            "milliseconds": answer.milliseconds,
            "memory_mb": answer.memory_mb,
            "agreement": asdict(found) if found else None,
        }
        for answer, found in zip(answers, apart, strict=True)
    ]
    write_json(path, {"reference": answers[0].name, "tolerance": tolerance, "models": records})


def _judge(answers: list[Answers], agreements: list[Agreement], tolerance: float) -> None:
    wrong = [a.name for a, found in zip(answers[1:], agreements, strict=True) if not found.worst <= tolerance]
    if wrong:
        raise DisagreementError(
            f"{', '.join(wrong)}: further from {answers[0].name} than verify.tolerance={tolerance:g} "
            "(the largest of flipped pixels, 1 - mask IoU, area error)"
        )
    say(f"All agree with {answers[0].name} within {tolerance:g}.")
