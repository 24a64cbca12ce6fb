"""`flood-seg infer`: from images to masks."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema import InferConfig
from flood_seg.console import counted, say, track
from flood_seg.errors import UsageError
from flood_seg.files import check_name, check_suffix, check_writable
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.imaging.gdal import GEOTIFF, import_rasterio
from flood_seg.imaging.video import is_video
from flood_seg.inference.engines import choose_engine, open_backend, with_streams
from flood_seg.inference.files import not_done, plan, with_probabilities
from flood_seg.inference.models import choose_model
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.report import Report
from flood_seg.inference.segment import ImageState, Segmenter
from flood_seg.resources import check_batch_memory
from flood_seg.verbs.common import as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.inference.files import Job
    from flood_seg.inference.photos.locations import Locations
    from flood_seg.verbs.common import PathLike


def infer(
    overrides: Sequence[str] = (),
    *,
    onnx: PathLike | None = None,
    image: str | None = None,
    out: PathLike | None = None,
    overlay: bool = False,
    json: PathLike | None = None,
) -> None:
    """Segment an image, a folder or a glob pattern, and write the masks; raises as `segment_images`."""
    if image is None:
        raise UsageError("--image is missing: flood-seg infer --image photo.jpg")
    engine, model = choose_engine(overrides, None if onnx is None else str(onnx))
    config = compose("infer", engine, InferConfig)
    if is_video(image):
        from flood_seg.verbs.infer_video import segment_video

        segment_video(config, model, image, as_path(out), as_path(json))
        return
    segment_images(config, model, image, as_path(out), overlay, as_path(json))


def segment_images(
    config: InferConfig,
    model: str | None,
    image: str,
    out: Path | None = None,
    overlay: bool = False,
    json: Path | None = None,
) -> None:
    """Writes the mask of an image, of a folder's images or of those that a glob pattern matches.

    Args:
        config: backend, threshold, batch size, colours and values of what is written.
        model: a file, or the address of a Triton server; None: the newest run's model, else the bundled one.
        image: a file, a folder or a glob pattern.
        out: the mask, or the folder of several; None: beside the input.
        overlay: also write the image with its classes tinted.
        json: file for the share of each class and the timings of each image.

    Raises:
        PartialFailureError: some of several images failed; the others are done.
        FloodSegError: of other kinds, before anything is written.
    """
    started = time.perf_counter()
    limit_megapixels(config.max_megapixels)
    jobs = plan(image, out, f".{config.output.format}")
    for job in jobs if overlay else ():
        check_name(job.overlay)
    if json:
        check_suffix(json, (".json",), "the report in JSON")
        check_writable(json, folder=False)
    model, origin = choose_model(model, config.output_dir)
    backend = open_backend(with_streams(config.backend, -(-len(jobs) // config.batch_size)), model, config.warmup)
    say(f"Model {model} ({origin}), {backend.description}")
    if config.output.probability:
        jobs = with_probabilities(jobs, multiclass=backend.spec.task == "multiclass")
    if any(path.suffix.lower() in GEOTIFF for job in jobs for path in job.results(overlay=False)):
        import_rasterio()  # before any work, where it is not installed
    spec, most = backend.spec, min(config.batch_size, len(jobs))
    check_batch_memory("batch_size", most, len(spec.bands), spec.height, spec.width)
    predictor = Predictor(backend, config.threshold, config.value_scale)
    several = not Path(image).is_file()
    locate = several and bool(config.output.locations)
    segmenter = Segmenter(predictor, config.output, overlay, locate)
    bands = BandSelection.of(predictor.spec)
    todo = not_done(jobs, overlay, bands, model) if config.skip_existing else jobs
    images = [ImageState(job) for job in todo]
    head = {"model": model, "engine": backend.description, "threshold": predictor.threshold}
    locations = _locations(jobs, images, segmenter) if locate else None
    with (
        Report(json, head, jobs, images, config.max_input_shift, (spec.height, spec.width), bands.optional) as report,
        locations or nullcontext(),
    ):
        for done in track(segmenter.each(images, config.batch_size), "Segmenting", len(images)):
            report.add(done)
    if locations:
        _write_locations(locations, config.output.locations, model)
    if several:
        _remove_locations(jobs, config.output.locations)
    report.conclude(time.perf_counter() - started)


def _locations(jobs: list[Job], images: list[ImageState], segmenter: Segmenter) -> Locations:
    from flood_seg.inference.photos.locations import Locations  # only of several images, to begin sooner with one

    return Locations(jobs, images, segmenter.recall)


def _remove_locations(jobs: list[Job], formats: Sequence[str]) -> None:
    from flood_seg.inference.photos.locations import masks_folder, remove_locations

    remove_locations(masks_folder(jobs), formats)


def _write_locations(locations: Locations, formats: Sequence[str], model: str) -> None:
    photos = locations.write(formats)
    if not photos:
        return
    if "html" in formats:
        from flood_seg.products.page.photos import write_photos_page

        write_photos_page(locations.folder, photos, model)
    placed = sum(photo.coordinates is not None for photo in photos)
    files = ", ".join(str(locations.folder / f"photos.{name}") for name in formats)
    say(f"{files}: where {placed} of {counted(len(photos), 'photo')} were taken")
