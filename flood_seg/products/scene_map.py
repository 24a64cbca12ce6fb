"""From one scene to its layers: the steps of `flood-seg map` for a scene, with resumption."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from flood_seg.console import counted, say, warn
from flood_seg.errors import FloodSegError, ImageError
from flood_seg.files import clear_leftovers, write_json
from flood_seg.imaging.optional import OptionalBands
from flood_seg.inference.values import missing_by_name, unusual_values
from flood_seg.pipeline import pipeline
from flood_seg.products.archive import membership
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
from flood_seg.products.stac_item import FILES, RECORD, make_item
from flood_seg.products.vectors.areas import write_areas
from flood_seg.resources import release_freed_memory
from flood_seg.scenes.cells import CellReader
from flood_seg.scenes.scale import lay_windows
from flood_seg.scenes.segment import check_scene, segment_scene, shift_of
from flood_seg.scenes.store import BlockStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np

    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.inference.predictor import Predictor
    from flood_seg.products.layers import DerivedLayer, LayerStatistics
    from flood_seg.products.progress import MapProgress
    from flood_seg.products.results import SceneResults
    from flood_seg.products.vectors.areas import ClassAreas
    from flood_seg.scenes.executor import Executor
    from flood_seg.scenes.grid import Block, Box, Grid
    from flood_seg.scenes.scale import Scale
    from flood_seg.scenes.scene import Scene
    from flood_seg.spec import ModelSpec

BLOCKS = ".blocks"  # folder of the blocks until the scene is done
DERIVED = [name for name in FILES if name.startswith(("change.", "flood."))]


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


class Cover(Protocol):
    """What hides parts of a scene, clouds for example, where nothing is observed then."""

    @property
    def path(self) -> Path:
        """Of its file, which its warnings name."""

    def signature(self) -> Any:
        """Returns what it depends on, as JSON."""

    def check(self, scene: Scene) -> None:
        """Raises FloodSegError before the work where it cannot be laid over the scene."""

    def over(self, scene: Scene, warnings: list[str]) -> AbstractContextManager[Callable[[Box], np.ndarray]]:
        """Opens it; the function returns where a rectangle of the scene is hidden, bool [height, width].

        When it is closed, what is odd about it is added to `warnings`.
        """


class Derivation(Protocol):
    """Makes a further layer of the mask of a scene."""

    @property
    def name(self) -> str:
        """The stem of its files."""

    def signature(self) -> Any:
        """Returns what it depends on beside the mask, as JSON."""

    def check(self, scene: Scene) -> None:
        """Raises FloodSegError before the work where it cannot be made of the scene."""

    def write(self, scene: Scene, folder: Path, spec: ModelSpec, options: MapOptions) -> DerivedLayer:
        """Writes its files beside mask.tif; raises FloodSegError."""


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
        cover: what hides parts of the scenes; None: nothing.
        derivations: what further layers are made.
    """

    model: MapModel
    options: MapOptions
    executor: Executor
    batch_size: int
    max_shift: float
    progress: MapProgress
    cover: Cover | None = None
    derivations: tuple[Derivation, ...] = ()

    def check(self, scene: Scene) -> None:
        """Raises FloodSegError where a file that is laid over a scene does not fit it."""
        if self.cover:
            self.cover.check(scene)
        for derivation in self.derivations:
            derivation.check(scene)


@dataclass
class SceneMap:
    """A scene and how it is mapped.

    Attributes:
        scene: opened.
        place: of the results.
        scale: pixels of the network per pixel of the scene, and why.
        grid: of the windows.
        warnings: on the scene.
        notes: on its inputs, which the page shows too.
        failed: blocks that have no result, and why.
    """

    scene: Scene
    place: SceneResults
    scale: Scale
    grid: Grid
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: dict[Block, FloodSegError] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder that the results are made in."""
        return self.place.folder


def plan_map(scene: Scene, place: SceneResults, run: MapRun) -> SceneMap:
    """Chooses the scale and lays the windows over a scene."""
    grid, scale = lay_windows(scene, run.model.predictor.spec, run.options)
    return SceneMap(scene, place, scale, grid, scene_warnings(scene, scale))


def scene_warnings(scene: Scene, scale: Scale) -> list[str]:
    """Returns the warnings of an opened scene and of its scale, each with the scene's name."""
    return [f"{scene.source}: {warning}" for warning in (*scene.warnings, *scale.warnings)]


def run_map(job: SceneMap, run: MapRun) -> dict[str, Any]:
    """Writes the layers and areas of a scene, unless that is done.

    Returns:
        the scene's STAC item.

    Raises:
        ImageError: the scene cannot be read, or its values cannot be on the model's scale.
        OutputError: a file cannot be written.
        StoreError: the results cannot be uploaded; they are still in `job.folder`.
    """
    state = signature(job.scene, job.scale.value, run.model.digest, run.model.predictor, run.options)
    state["layers"] |= {"cloud": run.cover.signature()} if run.cover else {}
    state["products"] |= {one.name: one.signature() for one in run.derivations}
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
    run.check(job.scene)
    if job.scene.rectified:
        say(f"{job.scene.source}: rectified {job.scene.rectified}")
    if job.scale.reason:
        say(f"{job.scene.source}: map.scale {job.scale}")
    for warning in job.warnings:
        warn(warning)
    spec, size = model.predictor.spec, (job.scene.height, job.scene.width)
    clear_leftovers(job.folder)
    copy = job.place.remote if options.share_blocks else None
    work = job.folder / BLOCKS
    store = BlockStore(work, job.grid, copy and copy / BLOCKS)
    with ExitStack() as stack:
        if earlier and has_layers(earlier, state, job.folder):
            say(f"{job.place}: its layers are complete; the other files are made anew")
            layers, statistics = None, layer_statistics(earlier, spec, math.prod(size))
            shift = float(earlier["properties"]["flood_seg:input_shift"])
            said = earlier["properties"]["flood_seg:warnings"]
            job.warnings += [one for one in said if run.cover and str(run.cover.path) in one]  # of the layers
            missing = earlier["properties"].get("flood_seg:missing", {})
        else:
            if not _continues(job, store, state):
                check_scene(job.scene, model.predictor, job.grid)
                store.begin(of_blocks(state))
            place, threshold = job.scene.georeference, model.predictor.threshold
            layers = stack.enter_context(LayerWriter(work, spec, threshold, size, place, options.probability))
            _segment(job, run, store, layers)
            statistics = layers.finish()
            shift, missing = _check_inputs(job, model, store)
        if missing:
            job.notes.append(f"without {OptionalBands.of(spec).describe(missing)}")
            say(f"{job.scene.source}: {job.notes[-1]}, which the model was trained to miss")
        if shift > run.max_shift:
            job.warnings.append(f"{job.scene.source}: {unusual_values(shift, run.max_shift)}")
            warn(job.warnings[-1])
        release_freed_memory()
        job.place.remove_record()  # it would describe other files if this run were killed
        areas, derived = _write_products(job, run, statistics, layers)
    seconds = time.perf_counter() - started
    record = _report(job, model, state, statistics, areas, derived, shift, missing, seconds, run.progress.note())
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
    with run.cover.over(job.scene, job.warnings) if run.cover else nullcontext() as hidden:
        write = (lambda block: layers.write(cells.read(block), hidden), 1)
        for _ in pipeline(job.grid.completed(finished()), [write]):
            pass
    if len(job.failed) == job.grid.block_count:
        store.clear()
        raise next(iter(job.failed.values()))


def _write_products(
    job: SceneMap, run: MapRun, statistics: LayerStatistics, layers: LayerWriter | None
) -> tuple[dict[str, ClassAreas], list[DerivedLayer]]:
    """Writes all files but the record side by side; layers that exist already are None."""
    spec, options = run.model.predictor.spec, run.options
    stale = {PAGE, *DERIVED}.intersection(path.name for path in job.folder.iterdir())  # of an earlier run
    for name in stale:
        (job.folder / name).unlink()
    with ThreadPoolExecutor() as pool:
        published = pool.submit(layers.publish, job.folder) if layers else None
        picture = pool.submit(scene_picture, job.scene, Frame(job.scene)) if options.page else None
        areas = write_areas(job.folder, spec, options, layers.work if layers else None)
        if published:
            published.result()
        derived = [one.write(job.scene, job.folder, spec, options) for one in run.derivations]
        for warning in (warning for layer in derived for warning in layer.warnings):
            job.warnings.append(f"{job.scene.source}: {warning}")
            warn(job.warnings[-1])
        if picture:
            release_freed_memory()
            _write_page(job, run.model, statistics, picture.result, derived)
    return areas, derived


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


def _check_inputs(job: SceneMap, model: MapModel, store: BlockStore) -> tuple[float, dict[str, float]]:
    """Returns the shift of all of a scene's values, and the share of the pixels that bands are missing in.

    Raises:
        ImageError: the blocks are of no use to another run.
    """
    try:
        statistics = store.statistics()
        if statistics is None:
            raise ImageError(f"{job.scene.source}: no pixel has data")
        spec = model.predictor.spec
        return shift_of(job.scene, model.predictor, statistics), missing_by_name(statistics, spec)
    except ImageError:
        store.clear()
        raise


def _write_page(
    job: SceneMap, model: MapModel, statistics: LayerStatistics, picture: Callable[[], str],
    derived: list[DerivedLayer],
) -> None:  # fmt: skip
    notes = [warning.removeprefix(f"{job.scene.source}: ") for warning in job.warnings] + job.notes
    if job.failed:
        notes.append(f"incomplete, {len(job.failed)} of {counted(job.grid.block_count, 'block')} failed")
    write_page(job.folder, job.scene, model.name, model.predictor, statistics, picture, notes, derived, str(job.scale))


def _report(
    job: SceneMap,
    model: MapModel,
    state: dict[str, Any],
    statistics: LayerStatistics,
    polygons: dict[str, ClassAreas],
    derived: list[DerivedLayer],
    shift: float,
    missing: dict[str, float],
    seconds: float,
    note: str,
) -> dict[str, Any]:
    total = job.scene.height * job.scene.width
    spec = model.predictor.spec
    figures = layer_figures(statistics, spec, total) | {
        "polygons": {name: found.count for name, found in polygons.items()},
        "threshold": model.predictor.threshold,
        "scale": job.scale.value,
        "scale_reason": job.scale.reason or None,
        "rectified": job.scene.rectified or None,
        "input_shift": round(shift, 3),
        "seconds": round(seconds, 2),
        "warnings": job.warnings,
        "failed_blocks": {str(block): str(error) for block, error in job.failed.items()},
    }
    if spec.optional_bands:
        figures |= OptionalBands.of(spec).record(missing)
    for layer in derived:
        figures |= layer.figures
    figures |= {"signature": state}
    properties = {f"flood_seg:{key}": figures[key] for key in figures}
    item = make_item(job.scene, spec, model.name, job.folder, properties, derived)
    record = item.to_dict(include_self_link=False)
    if job.place.archive:
        record |= membership(job.place.archive)
    write_json(job.folder / RECORD, record)
    shown = _shown(spec.class_names, statistics.pixels, statistics.square_metres, total)
    unseen = f", {statistics.unobserved / total:.1%} without data" if statistics.unobserved else ""
    size = f"{job.scene.width}×{job.scene.height}, {counted(job.grid.window_count, 'window')}"
    say(f"{job.place}: {size}, {shown}{unseen}, {seconds:.1f} s{note}")
    for layer in derived:
        shown = _shown(layer.legend.names, layer.pixels, layer.square_metres, total)
        say(f"{job.place}/{layer.file}: {shown}")
    return record


def _shown(names: Sequence[str], pixels: Sequence[int], areas: Sequence[float] | None, total: int) -> str:
    """Returns share and area of each class but the background, for readers."""
    return ", ".join(
        f"{pixels[number] / total:.1%} {name}" + (f" ({areas[number] / 1e6:.3g} km²)" if areas else "")
        for number, name in enumerate(names)
        if number
    )
