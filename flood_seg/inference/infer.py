"""The infer verb, and triton-client's: from photos to masks."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.console import counted, say, track, warn
from flood_seg.errors import FloodSegError, OutputError, PartialFailureError
from flood_seg.faults import EVERY, LeftOut
from flood_seg.imaging.bands import Bands
from flood_seg.imaging.size import limit_megapixels
from flood_seg.imaging.values import unusual_values
from flood_seg.imaging.write import check_name, check_suffix, check_writable, write_json
from flood_seg.inference.engines import open_backend, with_streams
from flood_seg.inference.files import Job, not_done, plan
from flood_seg.inference.models import default_model
from flood_seg.inference.pipeline import pipeline
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.segment import Segmenter, describe
from flood_seg.memory import check_batch_memory
from flood_seg.processors import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flood_seg.inference.predictor import Backend
    from flood_seg.inference.segment import Photo
    from flood_seg.schema import InferConfig

NAMED = 3  # images with unusual values that are named on the terminal


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
    head["skipped"] = len(jobs) - len(todo)
    failures, unusual = list[FloodSegError](), list[str]()
    listing = f"{json} lists each under failed" if json else f"--json FILE lists each, or {EVERY}"
    with _told(json, head, segmenter.done, todo, failures, unusual, overlay) as records, LeftOut(listing) as left_out:
        for photo in track(_segment(segmenter, backend, todo, config.batch_size), "Segmenting", len(todo)):
            if photo.error:
                failures.append(photo.error)
                if len(jobs) > 1:
                    left_out.add(str(photo.job.image), str(photo.error), str(photo.error))
                continue
            if photo.shift > config.max_input_shift:
                unusual.append(f"{photo.job.image}: {unusual_values(photo.shift, config.max_input_shift)}")
            if len(jobs) == 1:
                say(_line(describe(photo, overlay)))
    _warn_of(unusual, len(jobs))
    _conclude(jobs, records, failures, len(jobs) - len(todo), time.perf_counter() - started)


def _warn_of(unusual: list[str], images: int) -> None:
    for line in unusual[:NAMED]:
        warn(line)
    if len(unusual) > NAMED:
        warn(f"{len(unusual)} of {counted(images, 'image')} have unusual values; --json lists them all")


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


@contextmanager
def _told(
    json: Path | None,
    head: dict[str, Any],
    done: list[Photo],
    todo: list[Job],
    failures: list[FloodSegError],
    unusual: list[str],
    overlay: bool,
) -> Iterator[list[dict[str, Any]]]:
    """Yields a list that holds the records of what is done after the body, and writes the report.

    Where the body is stopped, by Ctrl-C too, the report says so, and a line says how to go on.
    """
    records = list[dict[str, Any]]()
    order = {job.image: number for number, job in enumerate(todo)}

    def report(stopped: str | None) -> None:
        in_order = sorted(done, key=lambda photo: order[photo.job.image])
        records.extend(describe(photo, overlay) for photo in in_order)
        if json:
            failed = [str(failure) for failure in failures]
            write_json(json, head | {"images": records, "failed": failed, "warnings": unusual, "stopped": stopped})

    try:
        yield records
    except BaseException as error:
        with suppress(OutputError):
            report("interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__)
        if len(todo) > 1:
            warn(f"{len(records)} of {len(todo)} photos are done; the same command with skip_existing=true goes on")
        raise
    report(None)


def _line(record: dict[str, Any]) -> str:
    size = f"{record['width']}×{record['height']}"
    tinted = f", {record['overlay']}" if record["overlay"] else ""
    took = record["milliseconds"]["total"]
    unseen = f", {record['nodata_share']:.1%} without data" if record["nodata_share"] else ""
    return f"{record['mask']}{tinted}: {size}, {_shares([record])}{unseen}, {took:.0f} ms"


def _shares(records: list[dict[str, Any]]) -> str:
    names = records[0]["shares"]
    means = {name: sum(record["shares"][name] for record in records) / len(records) for name in names}
    return ", ".join(f"{mean:.1%} {name}" for name, mean in means.items())


def _conclude(
    jobs: list[Job], records: list[dict[str, Any]], failures: list[FloodSegError], skipped: int, seconds: float
) -> None:
    if len(jobs) == 1:
        if failures:
            raise failures[0]
        if skipped:
            say(f"{jobs[0].mask}: skipped, the mask exists (skip_existing=true)")
        return
    folder = os.path.commonpath([job.mask.parent for job in jobs])
    passed = f", {skipped} skipped (skip_existing=true)" if skipped else ""
    if records:
        say(f"{folder}: {len(records)} masks, {_shares(records)} on average{passed}, {seconds:.1f} s")
    elif skipped:
        say(f"{folder}: 0 masks{passed}")
    if failures:
        raise PartialFailureError(f"{len(failures)} of {len(jobs)} photos have no mask, see above; the rest is done")
