"""Measures accuracy and speed of each engine in one run, so that they can be compared."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.benchmarking.engine_process import EngineProcess
from flood_seg.benchmarking.load import Load, measure_load
from flood_seg.benchmarking.machine import describe_machine
from flood_seg.benchmarking.measured import Measured
from flood_seg.console import say, show_table, track
from flood_seg.evaluation.agreement import SAME_INPUT, SAME_TASK, check_same_spec
from flood_seg.evaluation.eval_images import load_images
from flood_seg.files import check_writable, write_csv, write_json
from flood_seg.imaging.postprocess import check_logits, to_classes
from flood_seg.imaging.preprocess import preprocess
from flood_seg.inference.engines import backends, parse_engine, short_name
from flood_seg.inference.models import default_model
from flood_seg.metrics.confusion import confusion_matrix, task_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import BenchmarkOptions, DataConfig
    from flood_seg.evaluation.eval_images import EvalImage
    from flood_seg.inference.engines import Engine

COLUMNS = ("model", "engine", "IoU", "p50 ms", "p95 ms", "images/s", "batch", "speed-up", "load s", "MB")
LEGEND = (
    "p50, p95: latency at batch 1; images/s: at the best batch; speed-up: of images/s; MB: peak memory of the process"
)


def benchmark(
    data: DataConfig, options: BenchmarkOptions, models: Sequence[str], out: Path | None = None
) -> list[Measured]:
    """Measures engines in turns: each round runs all of them, so that a busy moment of the machine hits all alike.

    Args:
        data: the images.
        options: how many of them, batch sizes, rounds.
        models: as `parse_engine` reads them; the first is the baseline.
        out: folder of benchmark.csv, benchmark.json and benchmark.png; None: nothing is written.

    Returns:
        the figures of each.

    Raises:
        FloodSegError: a model or an engine cannot be used.
    """
    if out:
        check_writable(out)
    engines = [parse_engine(model) for model in models]
    with ExitStack() as stack:
        running = [stack.enter_context(EngineProcess(engine)) for engine in track(engines, "Loading", len(engines))]
        spec = running[0].spec
        for process in running[1:]:
            check_same_spec(spec, process.spec, str(process.engine), (*SAME_TASK, *SAME_INPUT))
        size = (options.height or spec.height, options.width or spec.width)
        photos, origin = load_images(data, spec, options.images)
        measured = [Measured(str(p.engine), p.description, p.load_seconds) for p in running]
        for process, figures in zip(running, measured, strict=True):
            _measure_accuracy(process, figures, photos)
        _measure_speed(running, measured, size, options)
    machine = describe_machine()
    _show(measured, f"{size[0]}×{size[1]}; IoU on {len(photos)} {origin}\n{machine}")
    servers = [engine for engine in engines if backends()[engine.name].schemes]
    loads = {str(engine): _measure_server(engine, options, size) for engine in servers}
    if out:
        _write(out, measured, loads, machine, size)
    return measured


def default_engines(output_dir: Path) -> list[str]:
    """Returns the default model in each engine that is installed, ONNX Runtime first."""
    from importlib.util import find_spec

    model = default_model(output_dir)[0]
    precisions = ("float32", "auto") if find_spec("openvino") else ()
    return [str(model), *(f"openvino,precision={precision}:{model}" for precision in precisions)]


def _measure_accuracy(process: EngineProcess, figures: Measured, photos: Sequence[EvalImage]) -> None:
    """Runs each photo once, which warms the engine up too."""
    matrices, spec = [], process.spec
    for photo in track(photos, figures.description, len(photos)):
        logits = check_logits(process.run(preprocess(photo.image, spec)[None]).logits[0], figures.description)
        if photo.mask is not None:
            predicted = to_classes(logits, spec.threshold, spec.temperature)
            matrices.append(confusion_matrix(predicted, photo.mask, len(spec.class_names)))
    figures.iou = task_metrics(np.stack(matrices), spec.task).iou if matrices else None


def _measure_speed(
    running: Sequence[EngineProcess], measured: Sequence[Measured], size: tuple[int, int], options: BenchmarkOptions
) -> None:
    batches = {n: _noise(n, len(running[0].spec.bands), *size) for n in sorted({1, *options.batch_sizes})}
    turns = [(n, batch, round_) for round_ in range(options.rounds + 1) for n, batch in batches.items()]
    for n, batch, round_ in track(turns, "Measuring", len(turns)):
        for process, figures in zip(running, measured, strict=True):
            timed = process.run(batch, options.repeats if n == 1 else 1)
            figures.memory_mb = timed.memory_mb
            if round_ == 0:  # warms up
                continue
            figures.batch_seconds.setdefault(n, []).extend(timed.seconds)
            if n == 1:
                figures.latencies += timed.seconds


def _noise(count: int, bands: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, bands, height, width), np.float32)


def _measure_server(engine: Engine, options: BenchmarkOptions, size: tuple[int, int]) -> list[Load]:
    loads = measure_load(engine, size, options.clients, options.seconds)
    rows = []
    for load in loads:
        mark = "knee" if load.knee else ""
        rows.append((load.clients, f"{load.throughput:.1f}", f"{load.p50:.0f}", f"{load.p95:.0f}", mark))
    show_table(f"{engine}: clients in a closed loop", ("clients", "images/s", "p50 ms", "p95 ms", ""), rows)
    return loads


def _rows(measured: Sequence[Measured]) -> list[tuple[str, ...]]:
    baseline = measured[0].throughput[0]
    rows: list[tuple[str, ...]] = []
    for figures in measured:
        throughput, batch = figures.throughput
        rows.append(
            (
                short_name(figures.model),
                figures.description,
                "" if figures.iou is None else f"{figures.iou:.4f}",
                f"{figures.percentile(50):.1f}",
                f"{figures.percentile(95):.1f}",
                f"{throughput:.1f}",
                str(batch),
                f"{throughput / baseline:.1f}×",
                f"{figures.load_seconds:.2f}",
                f"{figures.memory_mb:.0f}",
            )
        )
    return rows


def _show(measured: Sequence[Measured], title: str) -> None:
    show_table(title, COLUMNS, _rows(measured))
    say(LEGEND)


def _write(
    folder: Path, measured: Sequence[Measured], loads: dict[str, list[Load]], machine: str, size: tuple[int, int]
) -> None:
    from flood_seg.benchmarking.chart import draw_chart

    write_csv(folder / "benchmark.csv", COLUMNS, _rows(measured))
    record = {
        "machine": machine,
        "height": size[0],
        "width": size[1],
        "engines": [asdict(figures) for figures in measured],
        "servers": {name: [asdict(load) for load in steps] for name, steps in loads.items()},
    }
    write_json(folder / "benchmark.json", record)
    draw_chart(folder / "benchmark.png", measured, machine)
    say(", ".join(str(folder / f"benchmark.{suffix}") for suffix in ("csv", "json", "png")))
