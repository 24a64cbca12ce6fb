"""What maps of scenes would take, measured on a few windows: `flood-seg map --dry-run`."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.console import counted, duration, say, show_table, warn
from flood_seg.errors import FloodSegError, PartialFailureError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.source import address
from flood_seg.scenes.scale import lay_windows
from flood_seg.scenes.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flood_seg.config.schema.scenes import MapOptions
    from flood_seg.products.scene_map import MapModel
    from flood_seg.scenes.grid import Grid

TIMED_RUNS = 8
SUM_BYTES = 4  # of a pixel and a channel in a block's file
PROBABILITY_BYTES = {"uint8": 1, "float16": 2, "float32": 4, "none": 0}


def estimate_maps(scenes: Mapping[Path, Path], model: MapModel, options: MapOptions, batch_size: int) -> None:
    """Prints a table of the scenes: size, scale, windows, time and space; both are upper bounds.

    Raises:
        PartialFailureError: some scenes cannot be opened.
    """
    seconds = _time_window(model, batch_size)
    rows, total_seconds, total_bytes, failed = [], 0.0, 0, 0
    for path in scenes:
        try:
            with Scene.open(path, BandSelection.of(model.predictor.spec)) as scene:
                grid, scale, warnings = lay_windows(scene, model.predictor.spec, options)
        except FloodSegError as error:
            warn(str(error))
            failed += 1
            continue
        for warning in warnings:
            warn(warning)
        needed = grid.window_count * seconds
        size, temporary = _bytes(scene, grid, model, options)
        total_seconds, total_bytes = total_seconds + needed, total_bytes + size
        pixel = f"{scene.ground_sample_distance:.3g} m" if scene.ground_sample_distance else "unknown"
        name, shape = Path(address(path)).name, f"{scene.width}×{scene.height}"
        rows.append((name, shape, pixel, f"{scale:.3g}", grid.window_count,
                     duration(needed), _size(size), _size(temporary)))  # fmt: skip
    columns = ("scene", "pixels", "pixel", "scale", "windows", "time up to", "results up to", "temporary")
    show_table(f"{model.predictor.backend.description}: {seconds * 1e3:.1f} ms per window", columns, rows)
    parent = next(place for place in next(iter(scenes.values())).absolute().parents if place.is_dir())
    free = shutil.disk_usage(parent).free
    say(f"{counted(len(rows), 'scene')}: up to {duration(total_seconds)} and {_size(total_bytes)}; {_size(free)} free")
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


def _bytes(scene: Scene, grid: Grid, model: MapModel, options: MapOptions) -> tuple[int, int]:
    """Returns the bytes of the uncompressed results, and those of the blocks and layers in work."""
    pixels = scene.height * scene.width
    channels = model.predictor.spec.logit_channels
    results = pixels * (1 + channels * PROBABILITY_BYTES[options.probability])
    blocks = sum(extent.height * extent.width for extent in map(grid.extent, grid.blocks()))
    return results, blocks * channels * SUM_BYTES + results


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
