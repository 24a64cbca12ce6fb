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
    rows = _rows(results)
    show_table(f"{size[0]}×{size[1]}; IoU on {len(images)} {origin}", COLUMNS, rows)
    say(machine, LEGEND)
    servers = [engine for engine in engines if backends()[engine.name].schemes]
    loads = {str(engine): _measure_server(engine, options, size) for engine in servers}
    if out:
        write_csv(out / "benchmark.csv", COLUMNS, rows)
        record = {
            "machine": machine,
            "height": size[0],
            "width": size[1],
            "engines": [asdict(result) for result in results],
            "servers": {name: [asdict(load) for load in steps] for name, steps in loads.items()},
        }
        write_json(out / "benchmark.json", record)
        draw_chart(out / "benchmark.png", results, machine)
        say(", ".join(str(out / f"benchmark.{suffix}") for suffix in ("csv", "json", "png")))
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
    shape = (len(running[0].spec.bands), *size)
    batches = {
        n: np.random.default_rng(0).standard_normal((n, *shape), np.float32) for n in sorted({1, *options.batch_sizes})
    }
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


def _measure_server(engine: Engine, options: BenchmarkOptions, size: tuple[int, int]) -> list[Load]:
    loads = measure_load(engine, size, options.clients, options.seconds)
    rows = [
        (one.clients, f"{one.throughput:.1f}", f"{one.p50:.0f}", f"{one.p95:.0f}", "knee" if one.knee else "")
        for one in loads
    ]
    show_table(f"{engine}: closed-loop load test", ("clients", "images/s", "p50 ms", "p95 ms", ""), rows)
    return loads


def _rows(results: Sequence[EngineResult]) -> list[tuple[str, ...]]:
    baseline = results[0].throughput[0]
    return [
        (
            short_name(result.model),
            result.description,
            "" if result.iou is None else f"{result.iou:.4f}",
            f"{result.percentile(50):.1f}",
            f"{result.percentile(95):.1f}",
            f"{result.throughput[0]:.1f}",
            str(result.throughput[1]),
            f"{result.throughput[0] / baseline:.1f}×",
            f"{result.load_seconds:.2f}",
            f"{result.memory_mb:.0f}",
        )
        for result in results
    ]
