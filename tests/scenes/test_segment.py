"""The blended probabilities of a scene against the model run on the whole image at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import from_bounds
from rasterio.warp import transform_bounds

from flood_seg.errors import FloodSegError, ImageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.postprocess import to_probabilities
from flood_seg.imaging.preprocess import normalize
from flood_seg.inference.backends.contract import Backend
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.predictor import Predictor
from flood_seg.scenes.cells import read_cells
from flood_seg.scenes.executor import LocalExecutor
from flood_seg.scenes.grid import Block, Box, Grid
from flood_seg.scenes.scene import Scene
from flood_seg.scenes.segment import check_scene, segment_scene
from flood_seg.scenes.store import BlockStore
from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model

LOCAL = LocalExecutor(None, retries=2)


def segment(
    path: Path, backend: Backend, folder: Path, overlap: float = 0.25, block_size: int = 150, scale: float = 1,
    batch_size: int = 1,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Returns probabilities [channels, H, W] and where they are valid."""
    predictor = Predictor(backend)
    spec = predictor.spec
    with Scene.open(path, BandSelection.of(spec)) as scene:
        window = (round(spec.height / scale), round(spec.width / scale))
        grid = Grid.of((scene.height, scene.width), window, overlap, block_size)
        store = BlockStore(folder, grid)
        assert not any(error for _, error in segment_scene(scene, predictor, grid, store, LOCAL, batch_size))
        probabilities = np.full((spec.logit_channels, scene.height, scene.width), np.nan, np.float32)
        valid = np.zeros((scene.height, scene.width), bool)
        for cell in read_cells(grid, store):
            index = cell.box.within(scene.box)
            assert np.isnan(probabilities[:, *index]).all()  # once only
            probabilities[:, *index] = 0 if cell.probabilities is None else cell.probabilities
            valid[index] = cell.valid
    return probabilities, valid


def whole(image: np.ndarray, backend: Backend) -> np.ndarray:
    logits = backend.run(normalize(image, backend.spec)[None])[0]
    return np.moveaxis(to_probabilities(logits), 2, 0)


def noise(height: int, width: int, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (height, width, bands), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 63 + 64), (200, 333), (137, 64), (300, 129)])
def test_no_seams(height: int, width: int, smoothing_backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    image = noise(height, width)
    found, valid = segment(write_scene(tmp_path / "a.tif", image), smoothing_backend, tmp_path / "blocks")
    assert valid.all()
    np.testing.assert_allclose(found, whole(image, smoothing_backend), rtol=0, atol=1e-5)


def test_a_scene_smaller_than_a_window_is_mirrored(smoothing_backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    image = noise(20, 70)
    found, valid = segment(write_scene(tmp_path / "a.tif", image), smoothing_backend, tmp_path / "blocks")
    expected = whole(np.pad(image, ((0, 44), (0, 0), (0, 0)), mode="symmetric"), smoothing_backend)[:, :20]
    assert valid.all()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_several_classes(tmp_path: Path) -> None:
    spec = make_spec(task="multiclass", class_names=("a", "b", "c"), label_values=(0, 1, 2))
    backend = OnnxRuntimeBackend(write_smoothing_model(tmp_path / "model.onnx", spec))
    image = noise(150, 170)
    found, _ = segment(write_scene(tmp_path / "a.tif", image), backend, tmp_path / "blocks")
    np.testing.assert_allclose(found, whole(image, backend), rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=5e-5)


@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("scale", [0.5, 1])
def test_the_result_does_not_depend_on_blocks_and_batches(
    overlap: float, scale: float, smoothing_backend: OnnxRuntimeBackend, tmp_path: Path
) -> None:
    scene = write_scene(tmp_path / "a.tif", noise(301, 407))
    results = [
        segment(scene, smoothing_backend, tmp_path / f"{size}-{batch}", overlap, size, scale, batch)[0]
        for size, batch in ((1, 1), (150, 1), (150, 5), (10_000, 4))
    ]
    assert all(np.array_equal(results[0], other) for other in results[1:])
    assert np.isfinite(results[0]).all()


def test_pixels_without_data(smoothing_backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    image = noise(300, 400).clip(1)
    image[:200, :300] = 0
    scene = write_scene(tmp_path / "a.tif", image, nodata=0)
    runs: list[int] = []

    class Counting(OnnxRuntimeBackend):
        def run(self, batch: np.ndarray) -> np.ndarray:
            runs.append(len(batch))
            return super().run(batch)

    smoothing_backend.__class__ = Counting
    found, valid = segment(scene, smoothing_backend, tmp_path / "blocks")
    assert np.array_equal(valid, (image > 0).all(axis=2))
    assert (found[:, ~valid] == 0).all()
    expected = whole(image, smoothing_backend)
    np.testing.assert_allclose(found[:, valid], expected[:, valid], rtol=0, atol=1e-5)
    runs.pop()
    grid = Grid.of((300, 400), (64, 64), 0.25, 10_000)
    assert sum(runs) < grid.window_count * 0.7  # windows without data are not run


def test_an_interrupted_scene_goes_on(smoothing_backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", noise(300, 400))
    expected, _ = segment(scene, smoothing_backend, tmp_path / "all")
    segment(scene, smoothing_backend, tmp_path / "part")
    files = sorted((tmp_path / "part").iterdir())
    assert len(files) > 5
    files[1].unlink()
    files[3].write_bytes(files[3].read_bytes()[:-100])  # a machine that lost power
    kept = files[0].stat().st_mtime_ns
    found, _ = segment(scene, smoothing_backend, tmp_path / "part")
    assert np.array_equal(expected, found)
    assert files[0].stat().st_mtime_ns == kept


def test_a_damaged_tile_costs_its_blocks_alone(smoothing_backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    image = noise(400, 400)
    path = write_scene(tmp_path / "a.tif", image, compress="deflate")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    predictor = Predictor(smoothing_backend)
    with Scene.open(path, BandSelection.of(predictor.spec)) as scene:
        grid = Grid.of((400, 400), (64, 64), 0.25, 120)
        store = BlockStore(tmp_path / "blocks", grid)
        done = list(segment_scene(scene, predictor, grid, store, LOCAL))
        cells = list(read_cells(grid, store))
    errors = [error for _, error in done if error]
    assert 0 < len(errors) < len(done) / 2
    assert all(isinstance(error, ImageError) and "a.tif" in str(error) for error in errors)
    assert sorted(str(block) for block, _ in done) == sorted(map(str, grid.blocks()))
    unseen = sum(int((~cell.valid).sum()) for cell in cells)
    assert 0 < unseen < 400 * 400 / 2
    expected = whole(image, smoothing_backend)
    for cell in cells:
        if cell.probabilities is None or not cell.valid.all():
            continue
        inner = expected[:, *cell.box.within(Box(0, 0, 400, 400))]
        assert np.mean(np.abs(cell.probabilities - inner) < 1e-5) > 0.5


def test_a_block_is_tried_three_times(smoothing_backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    scene_path = write_scene(tmp_path / "a.tif", noise(200, 200))
    predictor, calls = Predictor(smoothing_backend), []

    def unreliable(box: Box, read=Scene.read) -> object:
        if box.row == 0 and box.col == 0:
            calls.append(box)
            if len(calls) <= LOCAL.retries:
                raise ImageError("connection lost")
        return read(scene, box)

    with Scene.open(scene_path, BandSelection.of(predictor.spec)) as scene:
        scene.read = unreliable  # type: ignore[method-assign, assignment]
        grid = Grid.of((200, 200), (64, 64), 0.25, 100)
        done = list(segment_scene(scene, predictor, grid, BlockStore(tmp_path / "blocks", grid), LOCAL))
    assert [error for _, error in done] == [None] * len(list(grid.blocks()))
    assert len(calls) == 1 + LOCAL.retries == 3


def test_a_scene_on_another_scale_is_refused(smoothing_backend: OnnxRuntimeBackend, tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", (noise(200, 200) / 255).astype(np.float32))
    predictor = Predictor(smoothing_backend)
    with (
        Scene.open(path, BandSelection.of(predictor.spec)) as scene,
        pytest.raises(FloodSegError, match="value_scale=1"),
    ):
        check_scene(scene, predictor, Grid.of((200, 200), (64, 64), 0.25, 100))


def test_bands_in_another_crs_are_warped_to_the_scene(tmp_path: Path) -> None:
    """A ramp from west to east, stored in degrees at another resolution, read on the scene's grid."""
    for folder in ("images", "ramp"):
        (tmp_path / folder).mkdir()
    scene_file = write_scene(tmp_path / "images" / "a.tif", noise(120, 160))
    with rasterio.open(scene_file) as scene:
        west, south, east, north = transform_bounds(scene.crs, "EPSG:4326", *scene.bounds)
    margin = 0.0005
    place = from_bounds(west - margin, south - margin, east + margin, north + margin, 900, 900)
    longitudes = west - margin + (np.arange(900) + 0.5) * place.a
    ramp = np.broadcast_to(((longitudes - west) / (east - west) * 200).clip(0, 255), (900, 900)).astype(np.float32)
    write_scene(tmp_path / "ramp" / "a.tif", ramp[:, :, None], crs="EPSG:4326", transform=place)
    bands = BandSelection(("red", "green", "blue", "ramp"), {"ramp": "ramp"})
    with Scene.open(scene_file, bands) as opened:
        found = opened.read(Box(20, 40, 64, 100)).values[:, :, 3]
    to_degrees = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    x = 500_000 + (40 + np.arange(100) + 0.5) * 0.5
    longitude, _ = to_degrees.transform(x, np.full(100, 5_000_000 - (20 + 32) * 0.5))
    np.testing.assert_allclose(found[32], (longitude - west) / (east - west) * 200, atol=1.0)


@pytest.mark.parametrize(("scene", "block_size"), [((700, 500), 128), ((330, 64), 1), ((65, 70), 512)])
def test_cells_are_completed_by_the_last_block_that_reaches_into_them(scene: tuple[int, int], block_size: int) -> None:
    grid = Grid.of(scene, (64, 64), 0.5, block_size)
    order = list(grid.blocks())
    np.random.default_rng(0).shuffle(order)
    done, found = list[Block](), dict[Block, int]()

    def finished() -> Iterator[Block]:
        for block in order:
            done.append(block)
            yield block

    for cell in grid.completed(finished()):
        assert cell not in found
        found[cell] = len(done)
    places = {block: place for place, block in enumerate(order, 1)}
    assert found == {cell: max(places[block] for block in grid.touching(cell)) for cell in order}
