"""The infer verb: from photos to water masks."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.config import instantiate
from flood_seg.console import say, track, warn
from flood_seg.errors import ImageError, OutputError, PartialFailureError
from flood_seg.imaging.overlay import draw_overlay
from flood_seg.imaging.postprocess import to_labels
from flood_seg.imaging.read import read_image
from flood_seg.imaging.write import write_image, write_json
from flood_seg.inference.files import Job, plan
from flood_seg.inference.models import default_model
from flood_seg.inference.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flood_seg.schema import InferConfig, OutputConfig


def infer(
    config: InferConfig,
    onnx: Path | None,
    image: str,
    out: Path | None = None,
    overlay: bool = False,
    json: Path | None = None,
) -> None:
    """Writes the mask of a photo, of a folder's photos or of those that a pattern matches.

    Args:
        config: backend, threshold, colours and values of what is written.
        onnx: the model; None: the newest run's, else the one in the box.
        image: a file, a folder or a glob.
        out: the mask, or the folder of several; None: beside the input.
        overlay: also write the photo with its water tinted.
        json: where to write the water share and the timings of each photo.

    Raises:
        PartialFailureError: some photos of several could not be read; the others are done.
        FloodSegError: of other kinds, before anything is written.
    """
    started = time.perf_counter()
    jobs = plan(image, out)
    if json and json.suffix.lower() != ".json":
        raise OutputError(f"{json}: the report is JSON; give --json a name that ends in .json")
    model, origin = (onnx, "as given") if onnx else default_model(Path(config.output_dir))
    backend = instantiate(config.backend, model)
    say(f"Model {model} ({origin}), {backend.provider}")
    predictor = Predictor(backend, config.threshold)
    records: list[dict[str, Any]] = []
    failures: list[ImageError] = []
    for job, photo, seconds in track(_read_ahead(jobs), "Segmenting", len(jobs)):
        if isinstance(photo, ImageError):
            failures.append(photo)
            if len(jobs) > 1:
                warn(str(photo))
            continue
        records.append(_segment(predictor, job, photo, seconds, config.output, overlay))
        if len(jobs) == 1:
            say(_describe(records[0], job, overlay))
    if json:
        report = {"model": str(model), "provider": backend.provider, "threshold": predictor.threshold}
        write_json(json, report | {"images": records, "failed": [str(failure) for failure in failures]})
    _conclude(jobs, records, failures, time.perf_counter() - started)


def _read_ahead(jobs: list[Job]) -> Iterator[tuple[Job, np.ndarray | ImageError, float]]:
    """Decodes the next photo while the present one is segmented: two in memory, however many there are."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(_read, jobs[0].image)
        for position, job in enumerate(jobs):
            photo, seconds = pending.result()
            if position + 1 < len(jobs):
                pending = pool.submit(_read, jobs[position + 1].image)
            yield job, photo, seconds


def _read(path: Path) -> tuple[np.ndarray | ImageError, float]:
    started = time.perf_counter()
    try:
        return read_image(path), time.perf_counter() - started
    except ImageError as error:
        return error, time.perf_counter() - started


def _segment(
    predictor: Predictor,
    job: Job,
    photo: np.ndarray,
    read_seconds: float,
    output: OutputConfig,
    overlay: bool,
) -> dict[str, Any]:
    """Predicts a photo, writes its files, returns its record."""
    started = time.perf_counter()
    prediction = predictor.predict(photo)
    mask, spec = prediction.mask, predictor.spec
    predicted = time.perf_counter()
    values = (0, output.foreground_value) if spec.task == "binary" else spec.label_values
    write_image(job.mask, to_labels(mask, values))
    if overlay:
        tinted = draw_overlay(
            photo, mask, _rgb(output.overlay_color), output.overlay_opacity, _rgb(output.outline_color)
        )
        write_image(job.overlay, tinted)
    written = time.perf_counter()
    seconds = {"read": read_seconds, "predict": predicted - started, "write": written - predicted}
    seconds["total"] = sum(seconds.values())
    return {
        "image": str(job.image),
        "mask": str(job.mask),
        "overlay": str(job.overlay) if overlay else None,
        "width": photo.shape[1],
        "height": photo.shape[0],
        "water_share": prediction.foreground_share,
        "milliseconds": {name: round(value * 1e3, 2) for name, value in seconds.items()},
    }


def _rgb(values: list[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return red, green, blue


def _describe(record: dict[str, Any], job: Job, overlay: bool) -> str:
    size = f"{record['width']}×{record['height']}"
    tinted = f", {job.overlay}" if overlay else ""
    took = record["milliseconds"]["total"]
    return f"{job.mask}{tinted}: {size}, {record['water_share']:.1%} water, {took:.0f} ms"


def _conclude(jobs: list[Job], records: list[dict[str, Any]], failures: list[ImageError], seconds: float) -> None:
    if len(jobs) == 1:
        if failures:
            raise failures[0]
        return
    folder = os.path.commonpath([job.mask.parent for job in jobs])
    if records:
        share = sum(record["water_share"] for record in records) / len(records)
        say(f"{folder}: {len(records)} masks, {share:.1%} water on average, {seconds:.1f} s")
    if failures:
        raise PartialFailureError(
            f"{len(failures)} of {len(jobs)} photos could not be read, see above; the rest is done"
        )
