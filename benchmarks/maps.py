"""Times `map` of a scene against its model alone, and against a simple loop over windows; prints JSON.

python benchmarks/maps.py MODEL [--side 10000] [--images FOLDER] [--skip-loop] [key=value ...]
python benchmarks/maps.py MODEL --workers 1 2 [--side 10000] [key=value ...]    executor=ray against executor=local
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import rasterio
from rasterio.transform import from_origin

from flood_seg.config.compose import compose
from flood_seg.config.schema.scenes import MapConfig
from flood_seg.inference.backends.contract import Backend
from flood_seg.inference.engines import open_backend, with_streams
from flood_seg.resources import peak_memory
from flood_seg.scenes.grid import Grid
from flood_seg.synthetic.scene import draw_scene

PICTURE = 1024  # height and width of the pictures that the scene is a mosaic of


def write_mosaic(path: Path, side: int, images: Path | None) -> None:
    """Writes a GeoTIFF of photos, or of synthetic scenes, side by side."""
    files = sorted(images.iterdir()) if images else []
    decoded = [cv2.imread(str(file)) for file in files[:100]]
    pictures = [picture[:, :, ::-1] for picture in decoded if picture is not None]
    pictures = pictures or [draw_scene(seed, PICTURE, PICTURE)[0] for seed in range(12)]
    pictures = [cv2.resize(picture, (PICTURE, PICTURE), interpolation=cv2.INTER_AREA) for picture in pictures]
    place = {"crs": "EPSG:32632", "transform": from_origin(500_000, 5_500_000, 0.1, 0.1)}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "photometric": "RGB"}
    size = {"height": side, "width": side, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **size, **layout, **place) as out:
        number = 0
        for row in range(0, side, PICTURE):
            for col in range(0, side, PICTURE):
                height, width = min(PICTURE, side - row), min(PICTURE, side - col)
                picture = pictures[number % len(pictures)][:height, :width]
                out.write(np.moveaxis(picture, 2, 0), window=((row, row + height), (col, col + width)))
                number += 1


def time_model(backend: Backend, windows: int) -> float:
    """Returns the seconds that the model alone takes for so many windows, with all of its streams."""
    spec = backend.spec
    batch = np.random.default_rng(0).normal(size=(1, len(spec.bands), spec.height, spec.width)).astype(np.float32)
    with ThreadPoolExecutor(backend.concurrency) as pool:
        list(pool.map(backend.run, [batch] * 4 * backend.concurrency))
        started = time.perf_counter()
        list(pool.map(backend.run, [batch] * windows))
    return time.perf_counter() - started


def time_loop(model: Path, backend: Backend, scene: Path, out: Path, grid: Grid) -> float:
    """Returns the seconds of the simple loop: read a window, run ONNX Runtime in float32, write the mask."""
    spec = backend.spec
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    started = time.perf_counter()
    with rasterio.open(scene) as source:
        profile = source.profile | {"count": 1, "compress": "deflate", "photometric": "MINISBLACK"}
        with rasterio.open(out, "w", **profile) as target:
            for block in grid.blocks():
                for box in grid.windows(block):
                    window = ((box.row, box.row + box.height), (box.col, box.col + box.width))
                    image = np.moveaxis(source.read(window=window), 0, 2).astype(np.float32) / 255
                    batch = np.ascontiguousarray(np.moveaxis((image - mean) / std, 2, 0))[None]
                    (logits,) = session.run(None, {spec.input_name: batch})
                    target.write((logits[0] > 0).astype(np.uint8), window=window)
    return time.perf_counter() - started


def run_map(*arguments: str, kill_after: float | None = None) -> tuple[float, float]:
    """Runs `flood-seg map`; returns its seconds and peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "flood_seg", "map", *arguments], stdout=subprocess.DEVNULL)
    if kill_after:
        time.sleep(kill_after)
        process.send_signal(signal.SIGKILL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.02)
    if process.returncode and not kill_after:
        sys.exit("flood-seg map failed")
    return time.perf_counter() - started, peak / 1e6


def session_cpu(session: int) -> dict[int, tuple[str, float]]:
    """Returns name and CPU seconds of each process of a session, by its id; of the children that ended, too."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = file.read_text().rpartition(")")
        except OSError:  # it ended
            continue
        fields = tail.split()
        if int(fields[3]) == session:
            ticks = sum(int(field) for field in fields[11:15])
            found[int(file.parent.name)] = (head.partition("(")[2], ticks / os.sysconf("SC_CLK_TCK"))
    return found


def time_executor(arguments: list[str]) -> dict[str, float]:
    """Runs `flood-seg map`; returns its elapsed seconds, and the CPU seconds of the command, its workers and Ray."""
    seen: dict[int, tuple[str, float]] = {}
    ended = threading.Event()

    def watch(session: int) -> None:
        while not ended.wait(0.2):
            seen.update(session_cpu(session))

    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "flood_seg", "map", *arguments], stdout=subprocess.DEVNULL, start_new_session=True
    )
    watcher = threading.Thread(target=watch, args=[process.pid])
    watcher.start()
    if process.wait():
        sys.exit("flood-seg map failed")
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    workers = sum(cpu for name, cpu in seen.values() if name.startswith("ray::Segment"))
    command = seen.pop(process.pid)[1]
    others = sum(cpu for _, cpu in seen.values()) - workers
    return {"elapsed": seconds, "command": command, "workers": workers, "ray": others}


def compare_executors(command: list[str], folder: Path, workers: list[int], grid: Grid) -> dict[str, Any]:
    """Returns elapsed and CPU seconds of the command with each executor.

    executor=local is run before and after the others, since other work on the machine comes and goes. `start` is the
    same for a scene of one window; `per_block` the difference of the two in CPU seconds, by the number of blocks.
    """
    runs: dict[str, list[str]] = {"local": [], "local again": []} | {
        f"ray {n}": ["executor=ray", f"executor.actors={n}"] for n in workers
    }
    order = ["local", *(name for name in runs if name.startswith("ray")), "local again"]
    tiny = folder / "tiny.tif"
    write_mosaic(tiny, min(grid.window), None)
    result: dict[str, Any] = {"windows": grid.window_count, "blocks": grid.block_count, "load": os.getloadavg()[0]}
    files = set()
    for name in order:
        out = folder / name.replace(" ", "_")
        other = [str(tiny) if word.endswith("scene.tif") else word for word in command]
        start = time_executor([*other, f"{out}_start", *runs[name]])
        whole = time_executor([*command, str(out), *runs[name]])
        record = json.loads((out / "item.json").read_text("utf-8"))["properties"]
        per_block = {key: (whole[key] - start[key]) / grid.block_count for key in ("command", "workers", "ray")}
        result[name] = {"scene": record["flood_seg:seconds"], "whole": whole, "start": start, "per_block": per_block}
        files.add((out / "mask.tif").read_bytes() + (out / "probability.tif").read_bytes())
    rounded: dict[str, Any] = json.loads(json.dumps(result), parse_float=lambda number: round(float(number), 3))
    return rounded | {"load_after": os.getloadavg()[0], "same_bytes": len(files) == 1}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--skip-loop", action="store_true")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of workers of executor=ray to compare")
    options, overrides = parser.parse_known_args()
    config = compose("map", overrides, MapConfig)
    backend = open_backend(with_streams(config.backend, 100), str(options.model))
    size = (backend.spec.height, backend.spec.width)
    grid = Grid.of((options.side, options.side), size, config.map.overlap, config.map.block_size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = folder / "scene.tif"
        write_mosaic(scene, options.side, options.images)
        command = ["--model", str(options.model), "--image", str(scene), "map.scale=1", *overrides, "--out"]
        if options.workers:
            print(json.dumps(compare_executors(command, folder, options.workers, grid)))
            return
        alone = time_model(backend, grid.window_count)
        whole, memory = run_map(*command, str(folder / "map"))
        alone = min(alone, time_model(backend, grid.window_count))
        run_map(*command, str(folder / "resumed"), kill_after=whole / 2)
        resumed, _ = run_map(*command, str(folder / "resumed"))
        loop = None if options.skip_loop else time_loop(options.model, backend, scene, folder / "loop.tif", grid)
    result = {"windows": grid.window_count, "engine": backend.description, "model": alone, "map": whole,
              "memory_mb": memory, "resumed": resumed, "loop": loop}  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
