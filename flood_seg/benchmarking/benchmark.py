"""Measures accuracy, latency, throughput and memory of several engines in one run."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.benchmarking.engine_process import EngineProcess
from flood_seg.benchmarking.load import Load, measure_load
from flood_seg.benchmarking.machine import describe_machine
from flood_seg.benchmarking.results import EngineResult, draw_chart
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
LEGEND = "p50, p95: latency at batch 1; images/s, speed-up: at the best batch size; MB: peak memory of the process"


def benchmark(
    data: DataConfig, options: BenchmarkOptions, models: Sequence[str], out: Path | None = None
) -> list[EngineResult]:
    """Measures engines in alternation: each round runs all of them, so that other load affects all equally.

    Args:
        data: the images.
        options: number of images, batch sizes, rounds.
        models: in the format of `parse_engine`; the first is the baseline.
        out: folder for benchmark.csv, benchmark.json and benchmark.png; None: nothing is written.

    Returns:
        the result of each engine.

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
        images, origin = load_images(data, spec, options.images)
        results = [EngineResult(str(p.engine), p.description, p.load_seconds) for p in running]
        for process, result in zip(running, results, strict=True):
            _measure_accuracy(process, result, images)
        _measure_speed(running, results, size, options)
    machine = describe_machine()
    _show(results, f"{size[0]}×{size[1]}; IoU on {len(images)} {origin}\n{machine}")
    servers = [engine for engine in engines if backends()[engine.name].schemes]
    loads = {str(engine): _measure_server(engine, options, size) for engine in servers}
    if out:
        _write(out, results, loads, machine, size)
    return results


def default_engines(output_dir: Path) -> list[str]:
    """Returns the default model with each installed CPU engine, ONNX Runtime first."""
    from importlib.util import find_spec

    model = default_model(output_dir)[0]
    precisions = ("float32", "auto") if find_spec("openvino") else ()
    return [str(model), *(f"openvino,precision={precision}:{model}" for precision in precisions)]


def _measure_accuracy(process: EngineProcess, result: EngineResult, images: Sequence[EvalImage]) -> None:
    """Runs each image once, which also warms up the engine."""
    matrices, spec = [], process.spec
    for one in track(images, result.description, len(images)):
        logits = check_logits(process.run(preprocess(one.image, spec)[None]).logits[0], result.description)
        if one.mask is not None:
            predicted = to_classes(logits, spec.threshold, spec.temperature)
            matrices.append(confusion_matrix(predicted, one.mask, len(spec.class_names)))
    result.iou = task_metrics(np.stack(matrices), spec.task).iou if matrices else None


def _measure_speed(
    running: Sequence[EngineProcess], results: Sequence[EngineResult], size: tuple[int, int], options: BenchmarkOptions
) -> None:
    batches = {n: _random_batch(n, len(running[0].spec.bands), *size) for n in sorted({1, *options.batch_sizes})}
    turns = [(n, batch, round_) for round_ in range(options.rounds + 1) for n, batch in batches.items()]
    for n, batch, round_ in track(turns, "Measuring", len(turns)):
        for process, result in zip(running, results, strict=True):
            timed = process.run(batch, options.repeats if n == 1 else 1)
            result.memory_mb = timed.memory_mb
            if round_ == 0:  # warm-up
                continue
            result.batch_seconds.setdefault(n, []).extend(timed.seconds)
            if n == 1:
                result.latencies += timed.seconds


def _random_batch(count: int, bands: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, bands, height, width), np.float32)


def _measure_server(engine: Engine, options: BenchmarkOptions, size: tuple[int, int]) -> list[Load]:
    loads = measure_load(engine, size, options.clients, options.seconds)
    rows = []
    for load in loads:
        mark = "knee" if load.knee else ""
        rows.append((load.clients, f"{load.throughput:.1f}", f"{load.p50:.0f}", f"{load.p95:.0f}", mark))
    show_table(f"{engine}: closed-loop load test", ("clients", "images/s", "p50 ms", "p95 ms", ""), rows)
    return loads


def _rows(results: Sequence[EngineResult]) -> list[tuple[str, ...]]:
    baseline = results[0].throughput[0]
    rows: list[tuple[str, ...]] = []
    for result in results:
        throughput, batch = result.throughput
        rows.append(
            (
                short_name(result.model),
                result.description,
                "" if result.iou is None else f"{result.iou:.4f}",
                f"{result.percentile(50):.1f}",
                f"{result.percentile(95):.1f}",
                f"{throughput:.1f}",
                str(batch),
                f"{throughput / baseline:.1f}×",
                f"{result.load_seconds:.2f}",
                f"{result.memory_mb:.0f}",
            )
        )
    return rows


def _show(results: Sequence[EngineResult], title: str) -> None:
    show_table(title, COLUMNS, _rows(results))
    say(LEGEND)


def _write(
    folder: Path, results: Sequence[EngineResult], loads: dict[str, list[Load]], machine: str, size: tuple[int, int]
) -> None:
    write_csv(folder / "benchmark.csv", COLUMNS, _rows(results))
    record = {
        "machine": machine,
        "height": size[0],
        "width": size[1],
        "engines": [asdict(result) for result in results],
        "servers": {name: [asdict(load) for load in steps] for name, steps in loads.items()},
    }
    write_json(folder / "benchmark.json", record)
    draw_chart(folder / "benchmark.png", results, machine)
    say(", ".join(str(folder / f"benchmark.{suffix}") for suffix in ("csv", "json", "png")))
