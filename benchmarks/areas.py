"""Times the polygons of a scene of 10 000×10 000 against the bare calls of the libraries; prints JSON.

python benchmarks/areas.py

Both trace the same mask, compute the geodesic area and perimeter of each polygon, and write a GeoPackage; `write_areas`
also computes the mean probability of each.
"""

import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pyproj
import rasterio
import shapely
from pyogrio.raw import write
from rasterio.features import shapes
from rasterio.shutil import copy
from rasterio.transform import from_origin

from flood_seg.config.compose import compose
from flood_seg.config.schema.scenes import MapConfig
from flood_seg.products.vectors.areas import write_areas
from flood_seg.spec import ModelSpec

SIDE, ROUNDS = 10_000, 3
SPEC = ModelSpec(
    task="binary", class_names=("background", "water"), label_values=(0, 1), bands=("red", "green", "blue"), height=512,
    width=512, value_scale=255.0, mean=(0.0,) * 3, std=(1.0,) * 3,
)  # fmt: skip


def draw(folder: Path) -> None:
    """Writes mask.tif and probability.tif with about 1 500 polygons of 1.1 million vertices."""
    random = np.random.default_rng(0)

    def noise(cell: int) -> np.ndarray:
        coarse = random.normal(size=(SIDE // cell + 3, SIDE // cell + 3)).astype(np.float32)
        return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))

    values = noise(50) + 0.01 * noise(4)
    probability = (200 / (1 + np.exp(-4 * (values - 0.4)))).astype(np.uint8)
    grid = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5.6e6, 0.2, 0.2), "nodata": 255}
    for name, band in (("mask", (probability > 100).astype(np.uint8)), ("probability", probability)):
        with rasterio.open(folder / "plain.tif", "w", driver="GTiff", height=SIDE, width=SIDE, count=1, dtype="uint8",
                           tiled=True, **grid) as out:  # fmt: skip
            out.write(band, 1)
            out.scales = [0.005 if name == "probability" else 1]
        copy(folder / "plain.tif", folder / f"{name}.tif", driver="COG", compress="deflate")


def bare(folder: Path) -> tuple[int, int]:
    """Writes the polygons by the libraries alone; returns their number and that of their vertices."""
    with rasterio.open(folder / "mask.tif") as dataset:
        band = rasterio.band(dataset, 1)
        polygons = np.array([shapely.geometry.shape(one) for one, _ in shapes(band, mask=band)], object)
        crs = pyproj.CRS.from_wkt(dataset.crs.to_wkt())
    moved = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    geodetic = shapely.transform(polygons, lambda xy: np.column_stack(moved.transform(*xy.T)))
    geod = crs.get_geod()
    assert geod
    areas, perimeters = np.abs([geod.geometry_area_perimeter(one) for one in geodetic]).T
    names = np.full(len(polygons), "water", object)
    write(
        folder / "bare.gpkg", shapely.to_wkb(polygons), [names, areas, perimeters], ["class", "area_m2", "perimeter_m"],
        geometry_type="Polygon", crs=crs.to_wkt(),
    )  # fmt: skip
    return len(polygons), int(shapely.get_num_coordinates(polygons).sum())


def main() -> None:
    """Alternates the two, and prints the best time of each."""
    seconds: dict[str, float] = {"bare": np.inf, "write_areas": np.inf}
    options = compose("map", [], MapConfig).map
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name))
        for _ in range(ROUNDS):
            started = time.perf_counter()
            polygons, vertices = bare(Path(name))
            middle = time.perf_counter()
            write_areas(Path(name), SPEC, options)
            seconds["bare"] = min(seconds["bare"], middle - started)
            seconds["write_areas"] = min(seconds["write_areas"], time.perf_counter() - middle)
    ratio = seconds["write_areas"] / seconds["bare"]
    print(json.dumps({"polygons": polygons, "vertices": vertices, **seconds, "ratio": ratio}, indent=1))


if __name__ == "__main__":
    main()
