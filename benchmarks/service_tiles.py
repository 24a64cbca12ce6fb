"""Times map tiles of a scene of 10,000 × 10,000 pixels over HTTP and prints JSON, in milliseconds.

`cpu` is the time that the service has computed per tile, which other load of the machine hardly changes.

python benchmarks/service_tiles.py [--pixels 10000] [--tiles 200]

Each layer is asked for different tiles at random places, of all zoom levels and one beyond, by one client, so that none
is known already. The baseline opens the file for each tile and draws it by rio-tiler alone, without HTTP.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil
import rasterio

from flood_seg.files import write_json
from flood_seg.imaging.gdal import utm_32n
from flood_seg.products.layers import Legend, write_classes
from flood_seg.service.jobs.records import JobRequest, JobState, as_record, new_id
from flood_seg.service.jobs.store import JobStore
from flood_seg.spec import ModelSpec

SPEC = ModelSpec(
    task="binary", class_names=("background", "water"), label_values=(0, 1), bands=("red", "green", "blue"), height=512,
    width=512, value_scale=255.0, mean=(0.0,) * 3, std=(1.0,) * 3,
)  # fmt: skip
LAYERS = {"scene": "", "probability": "", "threshold": "?threshold=0.4", "mask": ""}


def write_job(work: Path, scene: Path, side: int) -> str:
    """Writes a scene and the layers of its map, and returns the identifier of the job."""
    random = np.random.default_rng(0)
    coarse = cv2.GaussianBlur(random.random((side // 14, side // 14), np.float32), (0, 0), 6)
    water = cv2.resize((coarse - coarse.min()) / np.ptp(coarse), (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    place = utm_32n(360_000, 5_600_000, 0.25)
    store, job = JobStore(work), new_id()
    results = store.prepare(job) / "results"
    results.mkdir()
    with write_classes(results / "probability.tif", (side, side), place, None) as out:
        out.scales = (0.005,)
        out.write(np.rint(water * 200).astype(np.uint8), 1)
    with write_classes(results / "mask.tif", (side, side), place, Legend.of(SPEC)) as out:
        out.write((water > 0.5).astype(np.uint8), 1)
    layout = {"driver": "GTiff", "tiled": True, "compress": "deflate", "zlevel": 1, "count": 3, "dtype": "uint8"}
    with rasterio.open(scene, "w", height=side, width=side, **layout, **place) as image:
        for band in (1, 2, 3):
            image.write((random.integers(0, 60, (side, side), np.uint8) + water * 190).astype(np.uint8), band)
    write_json(results / "item.json", {"properties": {"flood_seg:model_spec": SPEC.to_json()}})
    store.accept(JobRequest(job, "2026-11-28T12:00:00Z", "somebody", "scene", "default", {"scene": str(scene)}))
    write_json(work / "jobs" / job / "state" / "0.json", as_record(JobState(status="successful")))
    return job


def random_tiles(record: dict[str, Any], count: int) -> list[list[int]]:
    """Returns different tiles (z, x, y) at random places of a scene, most of them of the larger zoom levels."""
    import morecantile

    grid, random = morecantile.tms.get("WebMercatorQuad"), np.random.default_rng(1)
    west, south, east, north = record["bounds"]
    low, high = record["minzoom"], record["maxzoom"]
    found = set[tuple[int, int, int]]()
    while len(found) < count:
        across, down = random.uniform(0.05, 0.95, 2)  # the scene does not reach the corners of the rectangle around it
        place = west + across * (east - west), north - down * (north - south)
        tile = grid.tile(*place, int(random.integers(low, high + 2)))
        found.add((tile.z, tile.x, tile.y))
    return [[int(number) for number in tile] for tile in random.permutation(sorted(found))]


def times(process: int, tiles: list[list[int]], draw: Callable[[int, int, int], object]) -> dict[str, float]:
    """Returns the median and the 95th percentile of drawing tiles, and what a process computes for one, in ms."""
    seconds, before = [], sum(psutil.Process(process).cpu_times()[:2])
    for tile in tiles:
        started = time.perf_counter()
        draw(*tile)
        seconds.append(time.perf_counter() - started)
    cpu = (sum(psutil.Process(process).cpu_times()[:2]) - before) / len(tiles)
    p50, p95 = statistics.median(seconds), float(np.percentile(seconds, 95))
    return {"p50": 1e3 * p50, "p95": 1e3 * p95, "cpu": 1e3 * cpu}


def draw_alone(path: Path, z: int, x: int, y: int) -> bytes:
    """Draws a tile by rio-tiler alone."""
    from rio_tiler.io import Reader

    with Reader(str(path)) as reader:
        image = reader.tile(x, y, z, resampling_method="bilinear", reproject_method="bilinear")
        return bytes(image.render(img_format="PNG"))


def main() -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=10_000)
    parser.add_argument("--tiles", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = write_job(folder / "work", folder / "scene.tif", options.pixels)
        keys = ["serve.limits.rate=0", "serve.jobs.workers=0", f"serve.work_dir={folder / 'work'}"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "flood_seg", "serve", "--port", "0", *keys], stdout=log, stderr=log
            )
        try:
            while not (ready := re.search(r"Ready at (\S+?);", (folder / "log").read_text("utf-8"))):
                if process.poll() is not None:
                    sys.exit((folder / "log").read_text("utf-8"))
                time.sleep(0.1)
            with httpx.Client(base_url=f"{ready[1]}/jobs/{job}/tiles", timeout=120) as client:
                print(json.dumps(measure(client, process.pid, folder, options.tiles, job)))
        finally:
            process.terminate()
            process.wait()


def measure(client: httpx.Client, process: int, folder: Path, count: int, job: str) -> dict[str, object]:
    """Returns the times of each layer, and of the picture of the scene."""
    record = client.get("/mask/tilejson.json").raise_for_status().json()
    tiles = random_tiles(record, count)
    z, x, y = tiles[0]
    started = time.perf_counter()
    while (found := client.get(f"/scene/{z}/{x}/{y}.png")).status_code == 503:
        time.sleep(0.5)
    found.raise_for_status()
    picture = time.perf_counter() - started

    results = dict[str, object]()
    for name, query in LAYERS.items():
        layer = "probability" if name == "threshold" else name

        def ask(z: int, x: int, y: int, layer: str = layer, query: str = query) -> None:
            client.get(f"/{layer}/{z}/{x}/{y}.png{query}").raise_for_status()

        results[name] = times(process, tiles, ask)
    path = folder / "work" / "jobs" / job / "results" / "probability.tif"
    alone = times(os.getpid(), tiles[: count // 2], lambda z, x, y: draw_alone(path, z, x, y))
    return results | {"rio_tiler": alone, "picture_seconds": picture, "cores": len(os.sched_getaffinity(0))}


if __name__ == "__main__":
    main()
