"""The infer verb, and triton-client's: from photos to masks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import say, track
from flood_seg.files import check_name, check_suffix, check_writable
from flood_seg.imaging.bands import Bands
from flood_seg.imaging.size import limit_megapixels
from flood_seg.inference.engines import open_backend, with_streams
from flood_seg.inference.files import Job, not_done, plan
from flood_seg.inference.models import default_model
from flood_seg.inference.pipeline import pipeline
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.report import Report
from flood_seg.inference.segment import Segmenter
from flood_seg.resources import check_batch_memory, cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flood_seg.config.schema import InferConfig
    from flood_seg.inference.predictor import Backend
    from flood_seg.inference.segment import Photo


def infer(
    config: InferConfig,
    model: str | None,
    image: str,
    out: Path | None = None,
    overlay: bool = False,
    json: Path | None = None,
) -> None:
    """Writes the mask of a photo, of a folder's photos or of those that a pattern matches.

    Args:
        config: backend, threshold, batch size, colours and values of what is written.
        model: a file, or an address of a Triton server; None: the newest run's, else the one in the box.
        image: a file, a folder or a glob.
        out: the mask, or the folder of several; None: beside the input.
        overlay: also write the photo with its classes tinted.
        json: where to write the share of each class and the timings of each photo.

    Raises:
        PartialFailureError: some photos of several failed; the others are done.
        FloodSegError: of other kinds, before anything is written.
    """
    started = time.perf_counter()
    limit_megapixels(config.max_megapixels)
    jobs = plan(image, out)
    for job in jobs if overlay else ():
        check_name(job.overlay)
    if json:
        check_suffix(json, (".json",), "the report in JSON")
        check_writable(json, folder=False)
    model, origin = (model, "as given") if model else _default(config)
    backend = open_backend(with_streams(config.backend, -(-len(jobs) // config.batch_size)), model, config.warmup)
    say(f"Model {model} ({origin}), {backend.description}")
    spec, most = backend.spec, min(config.batch_size, len(jobs))
    check_batch_memory("batch_size", most, len(spec.bands), spec.height, spec.width)
    predictor = Predictor(backend, config.threshold, config.value_scale)
    segmenter = Segmenter(predictor, config.output, overlay)
    todo = not_done(jobs, overlay, Bands.of(predictor.spec), model) if config.skip_existing else jobs
    head = {"model": model, "engine": backend.description, "threshold": predictor.threshold}
    with Report(json, head, jobs, todo, segmenter.done, config.max_input_shift) as report:
        for photo in track(_segment(segmenter, backend, todo, config.batch_size), "Segmenting", len(todo)):
            report.add(photo)
    report.conclude(time.perf_counter() - started)


def _default(config: InferConfig) -> tuple[str, str]:
    path, origin = default_model(Path(config.output_dir))
    return str(path), origin


def _segment(segmenter: Segmenter, backend: Backend, jobs: list[Job], batch_size: int) -> Iterator[Photo]:
    """Yields each photo when its files are written, while the next ones are read and run."""
    files = max(1, min(4, cores() // 2))
    stages = ((segmenter.read, files), (segmenter.run, backend.concurrency), (segmenter.write, files))
    batches = [jobs[start : start + batch_size] for start in range(0, len(jobs), batch_size)]
    for batch in pipeline(batches, stages, ahead=2 * files + backend.concurrency):
        yield from batch
