"""Times `flood-seg impact` on a synthetic country and prints JSON: time and peak memory, by what is given.

python benchmarks/impact.py [--segments 2000000] [--pixels 20000]

The roads are a lattice of segments between crossings, each of four straight pieces, with depots and villages; the flood
are rivers and lakes on a raster of 10 m that covers all of it. Districts, buildings and a population raster are added.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pystac
import rasterio
import shapely
from pyogrio.raw import read_arrow, write, write_arrow
from pyproj import Transformer
from rasterio.transform import from_origin

from flood_seg.files import write_json
from flood_seg.spec import ModelSpec

PIXEL, WEST, NORTH, CRS = 10, 300_000, 5_800_000, "EPSG:32632"
CLASSES = np.array(["primary", "secondary", "residential", "service", "footway"])
FLAGS = {"roads.fgb": "roads", "buildings.fgb": "buildings", "people.tif": "population", "districts.gpkg": "districts",
         "places.gpkg": "places", "depots.gpkg": "depots"}  # fmt: skip
RUNS = (("roads.fgb",), ("roads.fgb", "places.gpkg", "depots.gpkg"), ("buildings.fgb",), ("people.tif",), tuple(FLAGS))
BATCH_ROWS = 50  # of crossings
SPEC = ModelSpec(
    task="binary", class_names=("background", "water"), label_values=(0, 1), bands=("red", "green", "blue"), height=512,
    width=512, value_scale=255.0, mean=(0.0,) * 3, std=(1.0,) * 3,
)  # fmt: skip


def draw_flood(folder: Path, side: int, random: np.random.Generator) -> None:
    """Writes the result of a map, 4 % of which is water and 1 % is not observed."""
    folder.mkdir()
    coarse = random.normal(size=(side // 100, side // 100)).astype(np.float32)
    fine = random.normal(size=(side // 4, side // 4)).astype(np.float32)
    profile = {"driver": "GTiff", "height": side, "width": side, "count": 1, "dtype": "uint8", "nodata": 255,
               "crs": CRS, "transform": from_origin(WEST, NORTH, PIXEL, PIXEL), "tiled": True, "compress": "deflate",
               "blockxsize": 512, "blockysize": 512}  # fmt: skip
    heights = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    heights += 0.05 * cv2.resize(fine, (side, side), interpolation=cv2.INTER_LINEAR)
    sample = heights[::50, ::50]
    mask = (heights > np.quantile(sample, 0.96)).astype(np.uint8)
    mask[heights < np.quantile(sample, 0.01)] = 255
    with rasterio.open(folder / "mask.tif", "w", **profile) as out:
        out.write(mask, 1)
    item = pystac.Item(
        "country", None, None, datetime(2026, 7, 1, tzinfo=UTC), {"flood_seg:model_spec": SPEC.to_json()}
    )
    write_json(folder / "item.json", item.to_dict(include_self_link=False))


def draw_roads(path: Path, segments: int, metres: float, random: np.random.Generator) -> int:
    """Writes about as many road segments on a square of so many metres; returns their number."""
    side = round((segments / 2) ** 0.5) + 1
    step = metres / side
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    moved = random.normal(0, step / 8, (side, side, 2))
    crossings = np.stack(np.meshgrid(np.arange(side) * step, -np.arange(side) * step), -1) + moved
    crossings += (WEST + step / 2, NORTH - step / 2)
    schema = pa.schema([("highway", pa.string()), ("bridge", pa.string()), ("geometry", pa.binary())])
    written = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal written
        for row in range(0, side, BATCH_ROWS):
            here = crossings[row : row + BATCH_ROWS + 1]
            own = here[:BATCH_ROWS]
            pairs = [(own[:, :-1], own[:, 1:]), (here[:-1], here[1:])]
            begin, end = (np.concatenate([pair[one].reshape(-1, 2) for pair in pairs]) for one in (0, 1))
            shares = np.linspace(0, 1, 5)[:, None, None]
            lines = begin + shares * (end - begin)
            lines[1:-1] += random.normal(0, step / 30, lines[1:-1].shape)
            degrees = np.stack(to_degrees.transform(lines[..., 0].ravel(), lines[..., 1].ravel()), 1)
            degrees = np.rint(degrees * 1e7) / 1e7  # as of OpenStreetMap
            shapes = shapely.linestrings(degrees.reshape(lines.shape).transpose(1, 0, 2))
            count = len(shapes)
            bridges = np.array(["no", "yes"])[(random.random(count) < 0.01).astype(int)]
            written += count
            yield pa.record_batch([pa.array(random.choice(CLASSES, count).tolist()), pa.array(bridges.tolist()),
                                   pa.array(shapely.to_wkb(shapes), pa.binary())], schema=schema)  # fmt: skip

    write_arrow(pa.RecordBatchReader.from_batches(schema, batches()), path, driver="FlatGeobuf",
                geometry_name="geometry", geometry_type="LineString", crs="EPSG:4326")  # fmt: skip
    return written


def draw_others(folder: Path, metres: float, random: np.random.Generator) -> None:
    """Writes 100 districts, 10 000 villages, 20 depots, 300 000 buildings, and people per cell of 100 m."""
    corners = np.stack(np.meshgrid(WEST + np.arange(10) * metres / 10, NORTH - np.arange(10) * metres / 10), -1)
    x, y = corners.reshape(-1, 2).T
    districts = shapely.segmentize(shapely.box(x, y - metres / 10, x + metres / 10, y), 500)
    names = np.array([f"district {number}" for number in range(100)], object)
    write(folder / "districts.gpkg", shapely.to_wkb(districts), [names], ["name"], geometry_type="Polygon", crs=CRS)
    for name, count in (("places", 10_000), ("depots", 20)):
        points = random.uniform(0, metres, (count, 2)) * (1, -1) + (WEST, NORTH)
        names = np.array([f"{name} {number}" for number in range(count)], object)
        write(folder / f"{name}.gpkg", shapely.to_wkb(shapely.points(points)), [names], ["name"],
              geometry_type="Point", crs=CRS)  # fmt: skip
    x, y = (random.uniform(0, metres, (300_000, 2)) * (1, -1) + (WEST, NORTH)).T
    width, height = random.uniform(6, 25, (2, 300_000))
    write(folder / "buildings.fgb", shapely.to_wkb(shapely.box(x, y, x + width, y + height)), [], [],
          geometry_type="Polygon", crs=CRS, driver="FlatGeobuf")  # fmt: skip
    people = random.gamma(0.3, 10, (int(metres // 100), int(metres // 100))).astype(np.float32)
    grid = {"crs": CRS, "transform": from_origin(WEST, NORTH, 100, 100), "height": len(people), "width": len(people)}
    with rasterio.open(folder / "people.tif", "w", driver="GTiff", count=1, dtype="float32", tiled=True, **grid) as out:
        out.write(people, 1)


def draw(folder: Path, segments: int, pixels: int) -> None:
    """Writes the country."""
    random, metres = np.random.default_rng(0), pixels * PIXEL
    folder.mkdir(exist_ok=True)
    draw_flood(folder / "map", pixels, random)
    print(draw_roads(folder / "roads.fgb", segments, metres, random), "segments", file=sys.stderr)
    draw_others(folder, metres, random)


def measure(folder: Path, *inputs: str) -> dict[str, float]:
    """Returns seconds and gigabytes of a run in a process of its own."""
    flags = [word for name in inputs for word in (f"--{FLAGS[name]}", str(folder / name))]
    command = [sys.executable, "-m", "flood_seg", "impact", "--flood", str(folder / "map"), *flags]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--out", str(folder / "out")], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"flood-seg impact has failed ({status})")
    seconds, processor = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
    memory = usage.ru_maxrss * 1024 / 1e9
    return {"seconds": round(seconds, 1), "processor_seconds": round(processor, 1), "gigabytes": round(memory, 2)}


def main() -> None:
    """Draws the country, measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=2_000_000)
    parser.add_argument("--pixels", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="for the data, or with that of an earlier run")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = chosen.folder or Path(name) / "country"
        if not (folder / "people.tif").exists():  # in another process, whose memory those measured would inherit
            drawing = get_context("spawn").Process(target=draw, args=(folder, chosen.segments, chosen.pixels))
            drawing.start()
            drawing.join()
        started = time.perf_counter()
        read_arrow(folder / "roads.fgb")
        reading = round(time.perf_counter() - started, 1)
        found = {" ".join(run): measure(folder, *run) for run in RUNS}
    print(json.dumps({"segments": chosen.segments, "pixels": chosen.pixels, "reading": reading, "runs": found}))


if __name__ == "__main__":
    main()
