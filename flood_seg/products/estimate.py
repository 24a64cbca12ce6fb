"""What maps of scenes would take, measured on a part of one: `flood-seg map --dry-run`."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.config.schema.scenes import VECTORS
from flood_seg.console import counted, duration, say, show_table, warn
from flood_seg.errors import FloodSegError, PartialFailureError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.source import address
from flood_seg.products.layers import LayerWriter
from flood_seg.products.scene_map import scene_warnings
from flood_seg.products.vectors.areas import write_areas
from flood_seg.scenes.cells import read_cells
from flood_seg.scenes.executor import LocalExecutor
from flood_seg.scenes.grid import Block, Grid
from flood_seg.scenes.scale import lay_windows
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.segment import segment_scene
from flood_seg.scenes.store import BlockStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.products.scene_map import MapModel

TIMED_RUNS = 8
TRIED_WINDOWS = 6  # of the part that is mapped, along each side
SUM_BYTES = 4  # of a pixel and a channel in a block's file
PROBABILITY_BYTES = {"uint8": 1, "float16": 2, "float32": 4, "none": 0}
PAGE_BYTES = 8_000_000  # at most; see docs/maps.md


@dataclass(frozen=True)
class _Trial:
    """What a part of a scene took.

    Attributes:
        source: says which part.
        window_seconds: of a window: reading, model and blending.
        pixel_seconds: of a pixel: layers and polygons.
        pixel_bytes: of a pixel: files of polygons.
    """

    source: str
    window_seconds: float
    pixel_seconds: float
    pixel_bytes: float


def estimate_maps(scenes: Mapping[Path, Path], model: MapModel, options: MapOptions, batch_size: int) -> None:
    """Prints a table of the scenes: size, scale, windows, time and space.

    A part of the first scene that has data in its middle is mapped in a temporary folder. Time and polygons are those
    of that part, the space of the other files is an upper bound.

    Raises:
        PartialFailureError: some scenes cannot be opened.
    """
    seconds, trial = _time_window(model, batch_size), None
    opened, failed = [], 0
    for path in scenes:
        try:
            with Scene.open(path, BandSelection.of(model.predictor.spec)) as scene:
                grid, scale = lay_windows(scene, model.predictor.spec, options)
                trial = trial or _try_out(scene, grid, model, options, batch_size)
        except FloodSegError as error:
            warn(str(error))
            failed += 1
            continue
        for warning in scene_warnings(scene, scale):
            warn(warning)
        opened.append((path, scene, grid, scale))
    rows, totals = [], np.zeros(3)
    for path, scene, grid, scale in opened:
        pixels = scene.height * scene.width
        rasters, temporary = _bytes(pixels, grid, model, options)
        needed = np.array([grid.window_count * seconds, rasters + PAGE_BYTES * options.page, 0])
        if trial:
            per_window = max(seconds, trial.window_seconds)
            needed += [grid.window_count * (per_window - seconds) + pixels * trial.pixel_seconds, 0,
                       pixels * trial.pixel_bytes]  # fmt: skip
        totals += needed
        pixel = f"{scene.ground_sample_distance:.3g} m" if scene.ground_sample_distance else "unknown"
        name, shape = Path(address(path)).name, f"{scene.width}×{scene.height}"
        rows.append((name, shape, pixel, f"{scale.value:.3g}", grid.window_count, duration(needed[0]), _size(needed[1]),
                     _size(needed[2]) if trial else "unknown", _size(temporary)))  # fmt: skip
    columns = ("scene", "pixels", "pixel", "scale", "windows", "time", "results up to", "polygons", "temporary")
    show_table(f"{model.predictor.backend.description}: {seconds * 1e3:.1f} ms per window", columns, rows)
    parent = next(place for place in next(iter(scenes.values())).absolute().parents if place.is_dir())
    say(f"{counted(len(rows), 'scene')}: about {duration(totals[0])}, up to {_size(totals[1])} and about "
        f"{_size(totals[2])} of polygons; {_size(shutil.disk_usage(parent).free)} free")  # fmt: skip
    if trial:
        say(f"time and polygons depend on what the scenes show; these are by {trial.source}")
    elif rows:
        say("time is that of the model alone, without polygons: no part of a scene with data could be tried out")
    if failed:
        raise PartialFailureError(f"{failed} of {len(scenes)} scenes cannot be mapped, see above")


def _time_window(model: MapModel, batch_size: int) -> float:
    """Returns the seconds that a window takes where the model's streams are all in use."""
    from concurrent.futures import ThreadPoolExecutor

    backend, spec = model.predictor.backend, model.predictor.spec
    batch = np.zeros((batch_size, len(spec.bands), spec.height, spec.width), np.float32)
    runs = TIMED_RUNS * backend.concurrency
    with ThreadPoolExecutor(backend.concurrency) as pool:
        list(pool.map(backend.run, [batch] * backend.concurrency))  # the first runs prepare
        started = time.perf_counter()
        list(pool.map(backend.run, [batch] * runs))
    return (time.perf_counter() - started) / runs / batch_size


def _try_out(scene: Scene, grid: Grid, model: MapModel, options: MapOptions, batch_size: int) -> _Trial | None:
    """Maps a part in the middle of a scene; returns None where it has no data or cannot be read."""
    grid = Grid(*(replace(axis, per_block=TRIED_WINDOWS) for axis in (grid.rows, grid.cols)))
    block = Block(grid.rows.blocks // 2, grid.cols.blocks // 2)
    box, spec, predictor = grid.cell(block), model.predictor.spec, model.predictor
    place = dict(scene.georeference)
    if "transform" in place:
        place["transform"] = place["transform"] @ place["transform"].translation(box.col, box.row)
    with TemporaryDirectory() as name:
        folder, store = Path(name), BlockStore(Path(name) / "blocks", grid)
        started = time.perf_counter()
        [(_, error)] = segment_scene(scene, predictor, grid, store, LocalExecutor(None, 0), batch_size, [block])
        segmenting = time.perf_counter() - started
        if error or store.statistics() is None:
            return None
        for _ in range(2):  # the first time loads libraries
            started = time.perf_counter()
            with LayerWriter(
                folder / "layers", spec, predictor.threshold, (box.height, box.width), place, options.probability
            ) as layers:
                cells = read_cells(grid, store, [block])
                layers.write(
                    replace(cell, box=replace(cell.box, row=cell.box.row - box.row, col=cell.box.col - box.col))
                    for cell in cells
                )
                layers.finish()
                write_areas(folder, spec, options, layers.work)
                layers.publish(folder)
            writing = time.perf_counter() - started
        files = (folder / f"areas.{suffix}" for suffix in VECTORS)
        size = sum(file.stat().st_size for file in files if file.is_file())
    source, pixels = f"{box.width}×{box.height} pixels in the middle of {scene.source}", box.height * box.width
    return _Trial(source, segmenting / grid.windows_in(block), writing / pixels, size / pixels)


def _bytes(pixels: int, grid: Grid, model: MapModel, options: MapOptions) -> tuple[int, int]:
    """Returns the bytes of the uncompressed layers, and those of the blocks and layers in work."""
    channels = model.predictor.spec.logit_channels
    layers = pixels * (1 + channels * PROBABILITY_BYTES[options.probability])
    blocks = sum(extent.height * extent.width for extent in map(grid.extent, grid.blocks()))
    return layers, blocks * channels * SUM_BYTES + layers


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
