"""Scenes that are located by ground control points or RPCs, against the coordinates that their values encode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyogrio
import pystac
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import from_origin
from rasterio.warp import calculate_default_transform

from flood_seg.cli.main import main
from flood_seg.imaging.bands import BandSelection
from flood_seg.scenes.grid import Box
from flood_seg.scenes.scene import Scene
from tests.conftest import make_spec
from tests.scenes.conftest import write_smoothing_model

SIZE = 150, 200
WEST, NORTH, PIXEL, ANGLE = 500_000.0, 5_600_000.0, 2.0, np.deg2rad(12)
NAMES = ("vv", "vh")


def ground(row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns x and y of a place in the turned image."""
    x = WEST + PIXEL * (col * np.cos(ANGLE) + row * np.sin(ANGLE))
    return x, NORTH + PIXEL * (col * np.sin(ANGLE) - row * np.cos(ANGLE))


def write(path: Path, dtype: str, crs: str | CRS | None = "EPSG:32632", points: int = 9, **place: object) -> Path:
    """Writes two bands: x and y in metres from a corner, at the centre of each pixel."""
    x, y = ground(*(np.indices(SIZE) + 0.5))
    values = np.stack([x - WEST + 100, NORTH - y + 100]).astype(dtype)
    corners = [(row, col) for row in (0, 75, 150) for col in (0, 100, 200)][:points]
    found = {"gcps": [GroundControlPoint(*corner, *ground(*np.array(corner, float)), 0.0) for corner in corners]}
    with rasterio.open(path, "w", driver="GTiff", height=SIZE[0], width=SIZE[1], count=2, dtype=dtype, crs=crs,
                       **(place or found)) as out:  # fmt: skip
        out.write(values)
    return path


def run(tmp_path: Path, scene: Path) -> dict[str, object]:
    spec = make_spec(bands=NAMES, mean=(0.5,) * 2, std=(0.2,) * 2, value_scale=600.0)
    model = write_smoothing_model(tmp_path / "model.onnx", spec)
    main(["map", "--model", str(model), "--image", str(scene), "--out", str(tmp_path / "map")])
    return pystac.Item.from_file(tmp_path / "map/item.json").properties


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_pixels_lie_where_their_values_say(dtype: str, tmp_path: Path) -> None:
    with Scene.open(write(tmp_path / "s.tif", dtype), BandSelection(NAMES, value_scale=600)) as scene:
        assert scene.ground_sample_distance == pytest.approx(PIXEL, rel=1e-3)
        raster = scene.read(scene.box)
        rows, cols = np.indices(raster.values.shape[:2]) + 0.5
        x, y = scene.georeference["transform"] @ (cols, rows)
        along, down = (x - WEST) / PIXEL, (NORTH - y) / PIXEL
        col, row = along * np.cos(ANGLE) - down * np.sin(ANGLE), along * np.sin(ANGLE) + down * np.cos(ANGLE)
        depth = np.min([col, SIZE[1] - col, row, SIZE[0] - row], axis=0)  # pixels from the image's edge
        assert raster.valid is not None
        assert raster.valid[depth > 1].all() and not raster.valid[depth < -1].any()
        inside = depth > 1
        np.testing.assert_allclose(raster.values[inside, 0], (x - WEST + 100)[inside], atol=1.5)
        np.testing.assert_allclose(raster.values[inside, 1], (NORTH - y + 100)[inside], atol=1.5)
        part = Box(40, 60, 50, 70)
        whole = raster.values[part.within(scene.box)].astype(np.float32)
        np.testing.assert_allclose(scene.read(part).values, whole, atol=1)


def test_layers_are_georeferenced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write(tmp_path / "s.tif", "uint16")
    record = run(tmp_path, scene)
    assert "rectified by 9 ground control points, to EPSG:32632" in capsys.readouterr().out
    assert record["flood_seg:rectified"] and not record["flood_seg:warnings"]
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "map/mask.tif") as mask:
        transform, width, height = calculate_default_transform(
            source.gcps[1], source.gcps[1], source.width, source.height, gcps=source.gcps[0]
        )
        assert (mask.crs.to_epsg(), mask.shape) == (32632, (height, width))
        assert mask.transform.almost_equals(transform, 1e-6)
        observed = mask.read(1) != 255
    true_area = SIZE[0] * SIZE[1] * PIXEL**2 / 0.9996**2
    assert observed.sum() * PIXEL**2 == pytest.approx(true_area, rel=0.03)
    assert sum(record["flood_seg:area_m2"].values()) == pytest.approx(true_area, rel=0.03)
    _, _, shapes, _ = pyogrio.raw.read(tmp_path / "map/areas.gpkg")
    assert len(shapes)
    assert pyogrio.read_info(tmp_path / "map/areas.gpkg")["crs"] == "EPSG:32632"


def test_evaluation_sees_pixels_as_they_are_stored(tmp_path: Path) -> None:
    with Scene.open(write(tmp_path / "s.tif", "uint16"), BandSelection(NAMES), rectified=False) as scene:
        assert (scene.height, scene.width) == SIZE
        assert "gcps" in scene.georeference


def rpcs() -> RPC:
    line = [1.0] + [0.0] * 19
    return RPC(100, 200, 50, 0.1, line, line, 150, 300, 10, 0.1, line, line, 136, 272, -1, -1)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"crs": None, "rpcs": rpcs()}, "gdalwarp -rpc -to RPC_DEM=heights.tif s.tif ortho.tif"),
        ({"crs": CRS(), "gcps": [GroundControlPoint(0, 0, 1, 1), GroundControlPoint(9, 9, 2, 2)]}, "have no CRS"),
        ({"crs": "EPSG:4326", "gcps": [GroundControlPoint(0, 0, 1, 1)]}, "ground control points cannot be used"),
    ],
)
def test_scenes_that_stay_in_pixels_are_reported(
    place: dict, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run(tmp_path, write(tmp_path / "s.tif", "uint16", **place))
    assert message in capsys.readouterr().err
    assert len(record["flood_seg:warnings"]) == 1 and message in record["flood_seg:warnings"][0]
    assert message in (tmp_path / "map/map.html").read_text("utf-8")
    with rasterio.open(tmp_path / "map/mask.tif") as mask:
        assert mask.shape == SIZE


def test_bands_of_a_sibling_with_points_or_a_transform(tmp_path: Path) -> None:
    """The second band lies in another file, in another CRS, and lands on the first one's grid."""
    for folder in ("vv", "far"):
        (tmp_path / folder).mkdir()
    scene = write(tmp_path / "vv/s.tif", "float32")
    x, _ = np.meshgrid(WEST + np.arange(-200, 800, 4.0), np.arange(250))
    profile = {"driver": "GTiff", "height": 250, "width": 250, "count": 1, "dtype": "float32", "crs": "EPSG:32632"}
    place = from_origin(WEST - 202, NORTH + 402, 4, 4)
    with rasterio.open(tmp_path / "far/s.tif", "w", **profile, transform=place) as out:
        out.write((x - WEST + 100).astype(np.float32), 1)
    bands = BandSelection(("1", "far"), {"far": "far:1"}, 600.0)
    with Scene.open(scene, bands) as opened:
        raster = opened.read(opened.box)
    assert raster.valid is not None
    np.testing.assert_allclose(raster.values[raster.valid, 0], raster.values[raster.valid, 1], atol=1.5)
