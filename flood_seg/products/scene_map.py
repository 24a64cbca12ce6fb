"""From one scene to its layers: the steps of `flood-seg map` for a scene, with resumption."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.config.schema.scenes import AUTO, NATIVE
from flood_seg.console import counted, say, track, warn
from flood_seg.errors import FloodSegError, ImageError
from flood_seg.files import write_json
from flood_seg.imaging.bands import BandSelection, band_files
from flood_seg.inference.values import check_statistics, unusual_values
from flood_seg.products.areas import write_areas
from flood_seg.products.layers import LayerStatistics, write_layers
from flood_seg.products.page.page import PAGE, write_page
from flood_seg.products.stac_item import make_item
from flood_seg.scenes.cells import read_cells
from flood_seg.scenes.grid import Grid
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.segment import check_scene, segment_scene
from flood_seg.scenes.store import BlockStore

if TYPE_CHECKING:
    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.inference.predictor import Predictor
    from flood_seg.products.areas import ClassAreas
    from flood_seg.scenes.executor import Executor
    from flood_seg.scenes.grid import Block

SCALE_WARNING = 2.0  # a scene whose ground sample distance differs from the model's by more than this factor
RECORD = "item.json"  # written last: where it is, the scene is done
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
        failed: blocks that have no result, and why.
    """

    scene: Scene
    folder: Path
    scale: float
    grid: Grid
    warnings: list[str] = field(default_factory=list)
    failed: dict[Block, FloodSegError] = field(default_factory=dict)


def plan_map(scene: Scene, folder: Path, model: MapModel, options: MapOptions) -> SceneMap:
    """Chooses the scale and lays the windows over a scene."""
    spec = model.predictor.spec
    scale, warnings = choose_scale(options.scale, scene.ground_sample_distance, spec.ground_sample_distance)
    window = (max(1, round(spec.height / scale)), max(1, round(spec.width / scale)))
    grid = Grid.of((scene.height, scene.width), window, options.overlap, options.block_size)
    return SceneMap(scene, folder, scale, grid, [f"{scene.path}: {warning}" for warning in warnings])


def choose_scale(given: str, scene_size: float | None, model_size: float | None) -> tuple[float, list[str]]:
    """Returns how many pixels of the network a pixel of the scene is, and warnings.

    Args:
        given: `auto`, `native` or a number.
        scene_size: ground sample distance of the scene in metres; None: unknown.
        model_size: ground sample distance that the model was trained at.
    """
    fitting = scene_size / model_size if scene_size and model_size else 1.0
    scale = fitting if given == AUTO else 1.0 if given == NATIVE else float(given)
    if not (scene_size and model_size):
        return scale, []
    ratio = max(fitting / scale, scale / fitting)
    if given == AUTO and max(fitting, 1 / fitting) > SCALE_WARNING:
        coarse = "; it lacks the detail that the model was trained on" if fitting > 1 else ""
        what = f"resampled by {scale:.3g} to the {model_size:.3g} m that the model was trained at"
        return scale, [f"pixels of {scene_size:.3g} m, {what}{coarse}"]
    if ratio > SCALE_WARNING:
        what = f"pixels of {scene_size / scale:.3g} m, the model was trained at {model_size:.3g} m"
        return scale, [f"map.scale={given} gives the model {what}; map.scale=auto resamples"]
    return scale, []


def signature(job: SceneMap, model: MapModel, options: MapOptions) -> dict[str, Any]:
    """Returns what the result of a scene depends on; a run that finds another one begins anew."""
    predictor = model.predictor
    files = {}
    for path in band_files(job.scene.path, BandSelection.of(predictor.spec)):
        with suppress(OSError):  # a remote file
            status = path.stat()
            files[str(path)] = [status.st_size, status.st_mtime_ns]
    return {
        "model": model.digest,
        "engine": predictor.backend.description,
        "threshold": predictor.threshold,
        "value_scale": predictor.spec.value_scale,
        "input": files,
        "size": [job.scene.height, job.scene.width],
        "scale": job.scale,
        "options": {key: value for key, value in asdict(options).items() if key != "scale"},
    }


def run_map(
    job: SceneMap, model: MapModel, options: MapOptions, executor: Executor, batch_size: int, max_shift: float
) -> bool:
    """Writes the layers and areas of a scene.

    Returns:
        whether anything was left to do.

    Raises:
        ImageError: the scene cannot be read, or its values cannot be on the model's scale.
        OutputError: a file cannot be written.
    """
    started = time.perf_counter()
    state = signature(job, model, options)
    if _is_done(job.folder, state):
        say(f"{job.folder}: skipped, it is complete")
        return False
    for warning in job.warnings:
        warn(warning)
    work = job.folder / _WORK
    store = BlockStore(work, job.grid)
    if not _continues(job, work, state):
        check_scene(job.scene, model.predictor, job.grid)
        write_json(work / "signature.json", state)
    blocks = segment_scene(job.scene, model.predictor, job.grid, store, executor, batch_size)
    for block, error in track(blocks, job.scene.name, job.grid.block_count):
        if error:
            job.failed[block] = error
    if len(job.failed) == job.grid.block_count:
        shutil.rmtree(work)
        raise next(iter(job.failed.values()))
    try:
        shift = _shift(job, model, store, max_shift)
    except FloodSegError:  # of no use to another run
        shutil.rmtree(work)
        raise
    spec, size = model.predictor.spec, (job.scene.height, job.scene.width)
    cells = read_cells(job.grid, store)
    statistics = write_layers(
        cells, spec, model.predictor.threshold, job.folder, size, job.scene.georeference, options.probability
    )
    areas = write_areas(job.folder, spec, options)
    (job.folder / PAGE).unlink(missing_ok=True)  # of an earlier run
    if options.page:
        _write_page(job, model, statistics)
    _report(job, model, state, statistics, areas, shift, time.perf_counter() - started)
    if not job.failed:
        shutil.rmtree(work)
    return True


def _is_done(folder: Path, state: dict[str, Any]) -> bool:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))["properties"]
        return bool(found["flood_seg:signature"] == state and not found["flood_seg:failed_blocks"])
    return False


def _continues(job: SceneMap, work: Path, state: dict[str, Any]) -> bool:
    """Whether the blocks of an earlier run can be used; removes them where not."""
    if not work.is_dir():
        if (job.folder / RECORD).is_file():
            say(f"{job.folder}: its result is of another model, threshold, input or option; it is computed anew")
        return False
    try:
        earlier = json.loads((work / "signature.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        earlier = None
    if earlier == state:
        return True
    if earlier is not None:
        changed = ", ".join(key for key in state if earlier.get(key) != state[key])
        say(f"{job.folder}: begins anew, since the interrupted run had another {changed}")
    shutil.rmtree(work)
    return False


def _shift(job: SceneMap, model: MapModel, store: BlockStore, max_shift: float) -> float:
    statistics = store.statistics()
    if statistics is None:
        raise ImageError(f"{job.scene.path}: no pixel has data")
    try:
        shift = check_statistics(statistics, model.predictor.spec)
    except FloodSegError as error:
        raise type(error)(f"{job.scene.path}: {error}") from error
    if shift > max_shift:
        job.warnings.append(f"{job.scene.path}: {unusual_values(shift, max_shift)}")
        warn(job.warnings[-1])
    return shift


def _write_page(job: SceneMap, model: MapModel, statistics: LayerStatistics) -> None:
    notes = [warning.removeprefix(f"{job.scene.path}: ") for warning in job.warnings]
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
    seconds: float,
) -> None:
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
    figures |= {"signature": state}
    item = make_item(job.scene, spec, model.name, job.folder, {f"flood_seg:{key}": figures[key] for key in figures})
    write_json(job.folder / RECORD, item.to_dict(include_self_link=False))
    shown = ", ".join(
        f"{shares[name]:.1%} {name}" + (f" ({areas[by_class[name]] / 1e6:.3g} km²)" if areas else "")
        for name in spec.class_names[1:]
    )
    unseen = f", {statistics.unobserved / total:.1%} without data" if statistics.unobserved else ""
    size = f"{job.scene.width}×{job.scene.height}, {counted(job.grid.window_count, 'window')}"
    say(f"{job.folder}: {size}, {shown}{unseen}, {seconds:.1f} s")
