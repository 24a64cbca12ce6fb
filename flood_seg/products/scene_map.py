"""From one scene to its layers: the steps of `flood-seg map` for a scene, with resumption."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.console import counted, say, track, warn
from flood_seg.errors import FloodSegError, ImageError
from flood_seg.files import write_json
from flood_seg.imaging.bands import BandSelection, band_files
from flood_seg.imaging.optional import OptionalBands
from flood_seg.imaging.source import address, is_gdal_name
from flood_seg.inference.values import missing_by_name, unusual_values
from flood_seg.object_store import fingerprint
from flood_seg.products.archive import RECORD, membership
from flood_seg.products.areas import write_areas
from flood_seg.products.layers import LayerStatistics, write_layers
from flood_seg.products.page.page import PAGE, write_page
from flood_seg.products.publish import upload_results
from flood_seg.products.stac_item import make_item
from flood_seg.scenes.cells import read_cells
from flood_seg.scenes.scale import lay_windows
from flood_seg.scenes.segment import check_scene, segment_scene, shift_of
from flood_seg.scenes.store import BlockStore

if TYPE_CHECKING:
    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.inference.predictor import Predictor
    from flood_seg.inference.values import BandStatistics
    from flood_seg.object_store import ObjectFolder
    from flood_seg.products.areas import ClassAreas
    from flood_seg.scenes.executor import Executor
    from flood_seg.scenes.grid import Block, Grid
    from flood_seg.scenes.scene import Scene

_NOT_IN_SIGNATURE = ("scale", "assets", "work_dir", "share_blocks")  # its own key; part of the input; without influence
_WORK = ".blocks"  # folder of the blocks until the scene is done


@dataclass(frozen=True)
class MapModel:
    """The model of a map.

    Attributes:
        name: its file or address.
        digest: SHA-256 of its file, or of its record where it runs on a server.
        predictor: the loaded model.
    """

    name: str
    digest: str
    predictor: Predictor


@dataclass
class SceneMap:
    """A scene and how it is mapped.

    Attributes:
        scene: opened.
        folder: of the results.
        scale: pixels of the network per pixel of the scene.
        grid: of the windows.
        warnings: on the scene.
        notes: on its inputs, which the page shows too.
        failed: blocks that have no result, and why.
        remote: where the finished files go; None: they stay in `folder`.
        archive: name of the collection in the folder above that the scene belongs to; None: none.
    """

    scene: Scene
    folder: Path
    scale: float
    grid: Grid
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: dict[Block, FloodSegError] = field(default_factory=dict)
    remote: ObjectFolder | None = None
    archive: str | None = None

    @property
    def place(self) -> str:
        """Where the results are, for messages."""
        return str(self.remote or self.folder)


def plan_map(scene: Scene, folder: Path, model: MapModel, options: MapOptions) -> SceneMap:
    """Chooses the scale and lays the windows over a scene."""
    grid, scale, warnings = lay_windows(scene, model.predictor.spec, options)
    return SceneMap(scene, folder, scale, grid, warnings)


def signature(job: SceneMap, model: MapModel, options: MapOptions) -> dict[str, Any]:
    """Returns what the result of a scene depends on; a run that finds another one begins anew."""
    predictor = model.predictor
    files: dict[str, Any] = {}
    for path in band_files(job.scene.path, BandSelection.of(predictor.spec)):
        if is_gdal_name(path):
            files[address(path)] = fingerprint(address(path)) if "://" in address(path) else None
        else:
            status, name = path.stat(), job.scene.source if path == job.scene.path else str(path)
            is_text = path.suffix.lower() == ".vrt"  # that of a STAC item is written anew on another machine
            version = sha256(path.read_bytes()).hexdigest() if is_text else status.st_mtime_ns
            files[name] = [status.st_size, version]
    return {
        "model": model.digest,
        "engine": predictor.backend.description,
        "threshold": predictor.threshold,
        "value_scale": predictor.spec.value_scale,
        "input": files,
        "size": [job.scene.height, job.scene.width],
        "scale": job.scale,
        "options": {key: value for key, value in asdict(options).items() if key not in _NOT_IN_SIGNATURE},
    }


def run_map(
    job: SceneMap, model: MapModel, options: MapOptions, executor: Executor, batch_size: int, max_shift: float
) -> dict[str, Any]:
    """Writes the layers and areas of a scene, unless that is done.

    Returns:
        the scene's STAC item.

    Raises:
        ImageError: the scene cannot be read, or its values cannot be on the model's scale.
        OutputError: a file cannot be written.
        StoreError: the results cannot be uploaded; they are still in `job.folder`.
    """
    state = signature(job, model, options)
    published = _parse(job.remote.read(RECORD)) if job.remote else None
    if published and _is_done(published, state):
        say(f"{job.place}: skipped, it is complete")
        return published
    record = _parse((job.folder / RECORD).read_bytes()) if (job.folder / RECORD).is_file() else None
    if record and _is_done(record, state):
        say(f"{job.place}: " + ("is uploaded, it is complete" if job.remote else "skipped, it is complete"))
    else:
        record = _compute(job, model, options, state, executor, batch_size, max_shift)
    if job.remote:
        upload_results(job.folder, job.remote, record, published)
        if not job.failed:
            shutil.rmtree(job.folder)
    return record


def _compute(
    job: SceneMap, model: MapModel, options: MapOptions, state: dict[str, Any], executor: Executor, batch_size: int,
    max_shift: float,
) -> dict[str, Any]:  # fmt: skip
    started = time.perf_counter()
    for warning in job.warnings:
        warn(warning)
    work = job.folder / _WORK
    store = BlockStore(work, job.grid, job.remote / _WORK if job.remote and options.share_blocks else None)
    if not _continues(job, store, state):
        check_scene(job.scene, model.predictor, job.grid)
        store.begin(state)
    blocks = segment_scene(job.scene, model.predictor, job.grid, store, executor, batch_size)
    for block, error in track(blocks, job.scene.name, job.grid.block_count):
        if error:
            job.failed[block] = error
    if len(job.failed) == job.grid.block_count:
        store.clear()
        raise next(iter(job.failed.values()))
    try:
        found = store.statistics()
        if found is None:
            raise ImageError(f"{job.scene.source}: no pixel has data")
        shift = _shift(job, model, found, max_shift)
    except FloodSegError:  # of no use to another run
        store.clear()
        raise
    missing = missing_by_name(found, model.predictor.spec)
    if missing:
        job.notes.append(f"without {OptionalBands.of(model.predictor.spec).describe(missing)}")
        say(f"{job.scene.source}: {job.notes[-1]}, which the model was trained to miss")
    spec, size = model.predictor.spec, (job.scene.height, job.scene.width)
    cells = read_cells(job.grid, store)
    statistics = write_layers(
        cells, spec, model.predictor.threshold, job.folder, size, job.scene.georeference, options.probability
    )
    areas = write_areas(job.folder, spec, options)
    (job.folder / PAGE).unlink(missing_ok=True)  # of an earlier run
    if options.page:
        _write_page(job, model, statistics)
    record = _report(job, model, state, statistics, areas, shift, missing, time.perf_counter() - started)
    if not job.failed:
        store.clear()
    return record


def _parse(content: bytes | None) -> dict[str, Any] | None:
    """Returns the STAC item of an earlier run; None where there is none."""
    with suppress(ValueError):
        found = json.loads(content or b"")
        return found if isinstance(found, dict) else None
    return None


def _is_done(record: dict[str, Any], state: dict[str, Any]) -> bool:
    with suppress(KeyError, TypeError):
        found = record["properties"]
        return bool(found["flood_seg:signature"] == state and not found["flood_seg:failed_blocks"])
    return False


def _continues(job: SceneMap, store: BlockStore, state: dict[str, Any]) -> bool:
    """Whether the blocks of an earlier run can be used."""
    earlier = store.signature()
    if earlier == state:
        return True
    if isinstance(earlier, dict):
        changed = ", ".join(key for key in state if earlier.get(key) != state[key])
        say(f"{job.place}: begins anew, since the interrupted run had another {changed}")
    elif (job.folder / RECORD).is_file():
        say(f"{job.place}: its result is of another model, threshold, input or option; it is computed anew")
    return False


def _shift(job: SceneMap, model: MapModel, statistics: BandStatistics, max_shift: float) -> float:
    shift = shift_of(job.scene, model.predictor, statistics)
    if shift > max_shift:
        job.warnings.append(f"{job.scene.source}: {unusual_values(shift, max_shift)}")
        warn(job.warnings[-1])
    return shift


def _write_page(job: SceneMap, model: MapModel, statistics: LayerStatistics) -> None:
    notes = [warning.removeprefix(f"{job.scene.source}: ") for warning in job.warnings] + job.notes
    if job.failed:
        notes.append(f"incomplete, {len(job.failed)} of {counted(job.grid.block_count, 'block')} failed")
    write_page(job.folder, job.scene, model.name, model.predictor, statistics, notes)


def _report(
    job: SceneMap,
    model: MapModel,
    state: dict[str, Any],
    statistics: LayerStatistics,
    polygons: dict[str, ClassAreas],
    shift: float,
    missing: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    total = job.scene.height * job.scene.width
    spec = model.predictor.spec
    by_class = {name: number for number, name in enumerate(spec.class_names)}
    shares = {name: statistics.pixels[number] / total for name, number in by_class.items()}
    areas = statistics.square_metres
    figures = {
        "shares": shares,
        "area_m2": {name: round(areas[number], 2) for name, number in by_class.items()} if areas else None,
        "polygons": {name: found.count for name, found in polygons.items()},
        "expected_shares": {name: statistics.expected[number] / total for name, number in by_class.items()},
        "unobserved_share": statistics.unobserved / total,
        "threshold": model.predictor.threshold,
        "input_shift": round(shift, 3),
        "seconds": round(seconds, 2),
        "warnings": job.warnings,
        "failed_blocks": {str(block): str(error) for block, error in job.failed.items()},
    }
    if spec.optional_bands:
        figures |= OptionalBands.of(spec).record(missing)
    figures |= {"signature": state}
    item = make_item(job.scene, spec, model.name, job.folder, {f"flood_seg:{key}": figures[key] for key in figures})
    record = item.to_dict(include_self_link=False)
    if job.archive:
        record |= membership(job.archive)
    write_json(job.folder / RECORD, record)
    shown = ", ".join(
        f"{shares[name]:.1%} {name}" + (f" ({areas[by_class[name]] / 1e6:.3g} km²)" if areas else "")
        for name in spec.class_names[1:]
    )
    unseen = f", {statistics.unobserved / total:.1%} without data" if statistics.unobserved else ""
    size = f"{job.scene.width}×{job.scene.height}, {counted(job.grid.window_count, 'window')}"
    say(f"{job.place}: {size}, {shown}{unseen}, {seconds:.1f} s")
    return record
