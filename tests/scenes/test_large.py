"""A scene of 30,000 × 30,000 pixels, most of which has no data: what it costs, and what its parts show."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from flood_seg.resources import peak_memory
from tests.conftest import make_spec
from tests.scenes.conftest import RADIUS, write_scene, write_smoothing_model

SIDE = 30_000
PLACES = {
    (120, 400): (700, 900),
    (14_983, 15_021): (1100, 640),
    (29_300, 28_900): (700, 1100),
}  # the last ends the scene


def run(model: Path, scene: Path, out: Path) -> tuple[float, float]:
    """Maps a scene; returns the seconds and the peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "flood_seg", "map", "--model", str(model), "--image", str(scene), "--out", str(out)]
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_memory(process.pid))
        time.sleep(0.02)
    assert process.returncode == 0
    return time.perf_counter() - started, peak / 1e6


@pytest.mark.slow
def test_sparse_scene(tmp_path: Path) -> None:
    model = write_smoothing_model(tmp_path / "model.onnx", make_spec(height=256, width=256))
    random, patches = np.random.default_rng(0), {}
    profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 3, "dtype": "uint8", "nodata": 0,
               "tiled": True, "sparse_ok": True, "crs": "EPSG:32632", "photometric": "rgb",
               "transform": from_origin(500_000, 5_000_000, 0.5, 0.5)}  # fmt: skip
    with rasterio.open(tmp_path / "large.tif", "w", **profile) as out:
        for (row, col), (height, width) in PLACES.items():
            coarse = random.integers(1, 256, (3, height // 20 + 1, width // 20 + 1), np.uint8)
            patches[row, col] = coarse.repeat(20, axis=1).repeat(20, axis=2)[:, :height, :width]
            out.write(patches[row, col], window=Window(col, row, width, height))
    seconds, memory = run(model, tmp_path / "large.tif", tmp_path / "large")
    assert memory < 1000
    assert seconds < 150  # 24,336 windows, of which fewer than 150 have data; each of them took 3 ms before
    with rasterio.open(tmp_path / "large/mask.tif") as mask, rasterio.open(tmp_path / "large/probability.tif") as layer:
        observed = 0
        for number, ((row, col), patch) in enumerate(patches.items()):
            alone = write_scene(tmp_path / f"{number}.tif", np.moveaxis(patch, 0, 2), nodata=0)
            run(model, alone, tmp_path / str(number))
            edge = 2 * RADIUS  # where the patch ends, the model sees no data in one case and nothing in the other
            inner = Window(edge, edge, patch.shape[2] - 2 * edge, patch.shape[1] - 2 * edge)
            outer = Window(col + edge, row + edge, inner.width, inner.height)
            with rasterio.open(tmp_path / f"{number}/probability.tif") as truth:
                difference = layer.read(1, window=outer).astype(int) - truth.read(1, window=inner)
            assert np.abs(difference).max() <= 1
            with rasterio.open(tmp_path / f"{number}/mask.tif") as truth:
                assert np.mean(mask.read(1, window=outer) == truth.read(1, window=inner)) > 0.9999
            observed += patch[0].size
            around = Window(col - 100 if col > 100 else 0, row - 100, 100, 100)
            assert (mask.read(1, window=around) == 255).all()
        # Overviews of factor 4 have as many pixels with data, up to those at the edges.
        with rasterio.open(tmp_path / "large/mask.tif", overview_level=1) as reduced:
            assert reduced.shape == (SIDE // 4, SIDE // 4)
            assert np.count_nonzero(reduced.read(1) != 255) * 16 == pytest.approx(observed, rel=0.02)
        assert mask.overviews(1)[0] == 2 and max(mask.shape) / mask.overviews(1)[-1] <= 512
    counts = [pyogrio.read_info(tmp_path / f"{name}/areas.gpkg")["features"] for name in ("large", "0", "1", "2")]
    assert counts[0] == pytest.approx(sum(counts[1:]), rel=0.1)  # polygons at the edges differ
