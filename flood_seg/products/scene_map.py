"""From one scene to its layers: the steps of `flood-seg map` for a scene, with resumption."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flood_seg.console import counted, say, warn
from flood_seg.errors import FloodSegError, ImageError
from flood_seg.files import clear_leftovers, write_json
from flood_seg.inference.values import unusual_values
from flood_seg.pipeline import pipeline
from flood_seg.products.archive import membership
from flood_seg.products.areas import write_areas
from flood_seg.products.layers import LayerWriter
from flood_seg.products.page.frame import Frame
from flood_seg.products.page.page import PAGE, write_page
from flood_seg.products.page.pictures import scene_picture
from flood_seg.products.scene_record import (
    has_layers,
    is_done,
    layer_figures,
    layer_statistics,
    of_blocks,
    signature,
)
from flood_seg.products.stac_item import RECORD, make_item
from flood_seg.resources import release_freed_memory
from flood_seg.scenes.cells import CellReader
from flood_seg.scenes.scale import lay_windows
from flood_seg.scenes.segment import check_scene, segment_scene, shift_of
from flood_seg.scenes.store import BlockStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.inference.predictor import Predictor
    from flood_seg.products.areas import ClassAreas
    from flood_seg.products.layers import LayerStatistics
    from flood_seg.products.progress import MapProgress
    from flood_seg.products.results import SceneResults
    from flood_seg.scenes.executor import Executor
    from flood_seg.scenes.grid import Block, Grid
    from flood_seg.scenes.scene import Scene

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


@dataclass(frozen=True)
class MapRun:
    """What all scenes of a run have in common.

    Attributes:
        model: that is used.
        options: how scenes are cut, and what is written.
        executor: where blocks are segmented.
        batch_size: windows that are run at once.
        max_shift: larger shifts of the input are warned of.
        progress: is told of each block.
    """

    model: MapModel
    options: MapOptions
    executor: Executor
    batch_size: int
    max_shift: float
    progress: MapProgress


@dataclass
class SceneMap:
    """A scene and how it is mapped.

    Attributes:
        scene: opened.
        place: of the results.
        scale: pixels of the network per pixel of the scene.
        grid: of the windows.
        warnings: on the scene.
        failed: blocks that have no result, and why.
    """

    scene: Scene
    place: SceneResults
    scale: float
    grid: Grid
    warnings: list[str] = field(default_factory=list)
    failed: dict[Block, FloodSegError] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder that the results are made in."""
        return self.place.folder


def plan_map(scene: Scene, place: SceneResults, run: MapRun) -> SceneMap:
    """Chooses the scale and lays the windows over a scene."""
    grid, scale, warnings = lay_windows(scene, run.model.predictor.spec, run.options)
    return SceneMap(scene, place, scale, grid, warnings)


def run_map(job: SceneMap, run: MapRun) -> dict[str, Any]:
    """Writes the layers and areas of a scene, unless that is done.

    Returns:
        the scene's STAC item.

    Raises:
        ImageError: the scene cannot be read, or its values cannot be on the model's scale.
        OutputError: a file cannot be written.
        StoreError: the results cannot be uploaded; they are still in `job.folder`.
    """
    state = signature(job.scene, job.scale, run.model.digest, run.model.predictor, run.options)
    published = job.place.published_record()
    if published and is_done(published, state):
        say(f"{job.place}: skipped, it is complete")
        return published
    record = job.place.local_record()
    if record and is_done(record, state):
        say(f"{job.place}: {'is uploaded' if job.place.remote else 'skipped'}, it is complete")
    else:
        record = _compute(job, run, state, record)
    job.place.publish(published, keep=bool(job.failed))
    return record


def _compute(job: SceneMap, run: MapRun, state: dict[str, Any], earlier: dict[str, Any] | None) -> dict[str, Any]:
    """Computes what is missing of a scene whose last run left the record `earlier`."""
    started, model, options = time.perf_counter(), run.model, run.options
    for warning in job.warnings:
        warn(warning)
    spec, size = model.predictor.spec, (job.scene.height, job.scene.width)
    clear_leftovers(job.folder)
    copy = job.place.remote if options.share_blocks else None
    work = job.folder / _WORK
    store = BlockStore(work, job.grid, copy and copy / _WORK)
    with ExitStack() as stack:
        if earlier and has_layers(earlier, state, job.folder):
            say(f"{job.place}: its layers are complete; the other files are made anew")
            layers, statistics = None, layer_statistics(earlier, spec, math.prod(size))
            shift = float(earlier["properties"]["flood_seg:input_shift"])
        else:
            if not _continues(job, store, state):
                check_scene(job.scene, model.predictor, job.grid)
                store.begin(of_blocks(state))
            place, threshold = job.scene.georeference, model.predictor.threshold
            layers = stack.enter_context(LayerWriter(work, spec, threshold, size, place, options.probability))
            _segment(job, run, store, layers)
            statistics = layers.finish()
            shift = _shift(job, model, store)
        if shift > run.max_shift:
            job.warnings.append(f"{job.scene.source}: {unusual_values(shift, run.max_shift)}")
            warn(job.warnings[-1])
        release_freed_memory()
        job.place.remove_record()  # it would describe other files if this run were killed
        areas = _write_products(job, model, options, statistics, layers)
    record = _report(job, model, state, statistics, areas, shift, time.perf_counter() - started, run.progress.note())
    if not job.failed:
        store.clear()
    return record


def _segment(job: SceneMap, run: MapRun, store: BlockStore, layers: LayerWriter) -> None:
    """Segments the blocks that are missing; meanwhile another thread writes the layers where neighbours are done."""

    def finished() -> Iterator[Block]:
        done = {block: block in store for block in job.grid.blocks()}
        yield from (block for block in done if done[block])
        todo = [block for block in done if not done[block]]
        blocks = segment_scene(job.scene, run.model.predictor, job.grid, store, run.executor, run.batch_size, todo)
        for block, error in run.progress.track(blocks, job.scene.name, job.grid, todo):
            if error:
                job.failed[block] = error
            yield block

    cells = CellReader(job.grid, store)
    write = (lambda block: layers.write(cells.read(block)), 1)
    for _ in pipeline(job.grid.completed(finished()), [write]):
        pass
    if len(job.failed) == job.grid.block_count:
        store.clear()
        raise next(iter(job.failed.values()))


def _write_products(
    job: SceneMap, model: MapModel, options: MapOptions, statistics: LayerStatistics, layers: LayerWriter | None
) -> dict[str, ClassAreas]:
    """Writes all files but the record side by side; layers that exist already are None."""
    (job.folder / PAGE).unlink(missing_ok=True)  # of an earlier run
    with ThreadPoolExecutor() as pool:
        published = pool.submit(layers.publish, job.folder) if layers else None
        picture = pool.submit(scene_picture, job.scene, Frame(job.scene)) if options.page else None
        areas = write_areas(job.folder, model.predictor.spec, options, layers.work if layers else None)
        if published:
            published.result()
        if picture:
            release_freed_memory()
            _write_page(job, model, statistics, picture.result)
    return areas


def _continues(job: SceneMap, store: BlockStore, state: dict[str, Any]) -> bool:
    """Whether the blocks of an earlier run can be used."""
    earlier, state = store.signature(), of_blocks(state)
    if earlier == state:
        return True
    if isinstance(earlier, dict):
        changed = ", ".join(key for key in state if earlier.get(key) != state[key])
        say(f"{job.place}: begins anew, since the interrupted run had another {changed}")
    elif (job.folder / RECORD).is_file():
        say(f"{job.place}: its result is of another model, threshold, input or option; it is computed anew")
    return False


def _shift(job: SceneMap, model: MapModel, store: BlockStore) -> float:
    """Returns the shift of all of a scene's values; raises ImageError where the blocks are of no use to another run."""
    try:
        statistics = store.statistics()
        if statistics is None:
            raise ImageError(f"{job.scene.source}: no pixel has data")
        return shift_of(job.scene, model.predictor, statistics)
    except ImageError:
        store.clear()
        raise


def _write_page(job: SceneMap, model: MapModel, statistics: LayerStatistics, picture: Callable[[], str]) -> None:
    notes = [warning.removeprefix(f"{job.scene.source}: ") for warning in job.warnings]
    if job.failed:
        notes.append(f"incomplete, {len(job.failed)} of {counted(job.grid.block_count, 'block')} failed")
    write_page(job.folder, job.scene, model.name, model.predictor, statistics, picture, notes)


def _report(
    job: SceneMap,
    model: MapModel,
    state: dict[str, Any],
    statistics: LayerStatistics,
    polygons: dict[str, ClassAreas],
    shift: float,
    seconds: float,
    note: str,
) -> dict[str, Any]:
    total = job.scene.height * job.scene.width
    spec = model.predictor.spec
    figures = layer_figures(statistics, spec, total) | {
        "polygons": {name: found.count for name, found in polygons.items()},
        "threshold": model.predictor.threshold,
        "input_shift": round(shift, 3),
        "seconds": round(seconds, 2),
        "warnings": job.warnings,
        "failed_blocks": {str(block): str(error) for block, error in job.failed.items()},
    }
    figures |= {"signature": state}
    item = make_item(job.scene, spec, model.name, job.folder, {f"flood_seg:{key}": figures[key] for key in figures})
    record = item.to_dict(include_self_link=False)
    if job.place.archive:
        record |= membership(job.place.archive)
    write_json(job.folder / RECORD, record)
    shares, areas = figures["shares"], figures["area_m2"]
    shown = ", ".join(
        f"{shares[name]:.1%} {name}" + (f" ({areas[name] / 1e6:.3g} km²)" if areas else "")
        for name in spec.class_names[1:]
    )
    unseen = f", {statistics.unobserved / total:.1%} without data" if statistics.unobserved else ""
    size = f"{job.scene.width}×{job.scene.height}, {counted(job.grid.window_count, 'window')}"
    say(f"{job.place}: {size}, {shown}{unseen}, {seconds:.1f} s{note}")
    return record
