"""`flood-seg map` as a command: its files, read by rasterio, and what it does again and not again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from flood_seg.cli.main import main
from flood_seg.imaging.postprocess import to_probabilities
from flood_seg.imaging.preprocess import normalize
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.products import scene_map
from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model

OPTIONS = ["map.block_size=128"]


def run(model: Path, image: Path | str, out: Path | None, *overrides: str) -> int:
    place = ["--out", str(out)] if out else []
    try:
        main(["map", "--model", str(model), "--image", str(image), *place, *OPTIONS, *overrides])
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def properties(folder: Path) -> dict[str, Any]:
    return pystac.Item.from_file(folder / "item.json").properties


def noise(height: int = 300, width: int = 420, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)


def expected_probability(image: np.ndarray, model: Path) -> np.ndarray:
    backend = OnnxRuntimeBackend(model)
    return to_probabilities(backend.run(normalize(image, backend.spec)[None])[0])


def test_layers(smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = noise(600, 700)
    image[:100, :150] = 0
    scene = write_scene(tmp_path / "scene.tif", image, nodata=0)
    assert run(smoothing_model, scene, tmp_path / "map") == 0
    probability = expected_probability(image, smoothing_model)[:, :, 0]
    observed = (image > 0).all(axis=2)
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "map" / "mask.tif") as mask:
        assert (mask.crs, mask.transform, mask.shape) == (source.crs, source.transform, source.shape)
        assert (mask.dtypes, mask.nodata, mask.count) == (("uint8",), 255, 1)
        assert mask.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert mask.overviews(1) == [2]
        assert mask.colormap(1)[1] == (31, 119, 180, 255) or mask.colormap(1)[1][3] == 255
        assert mask.tags(1) | {"CLASS_0": "background", "CLASS_1": "water"} == mask.tags(1)
        classes = mask.read(1)
    assert (classes[~observed] == 255).all()
    assert np.mean(classes[observed] == (probability > 0.5)[observed]) > 0.9999
    with rasterio.open(tmp_path / "map" / "probability.tif") as layer:
        assert (layer.dtypes, layer.nodata, layer.scales) == (("uint8",), 255, (0.005,))
        assert layer.descriptions == ("water",)
        steps = layer.read(1)
    assert (steps[~observed] == 255).all()
    np.testing.assert_allclose(steps[observed] * 0.005, probability[observed], atol=0.0026)
    record = properties(tmp_path / "map")
    assert record["flood_seg:shares"]["water"] == pytest.approx((classes == 1).mean())
    assert record["flood_seg:unobserved_share"] == pytest.approx((~observed).mean())
    # The scale of UTM at its central meridian is 0.9996.
    area = (classes == 1).sum() * 0.25 / 0.9996**2
    assert record["flood_seg:area_m2"]["water"] == pytest.approx(area, rel=1e-4)
    assert not (tmp_path / "map" / ".blocks").exists()
    assert "% water" in capsys.readouterr().out


def test_pixels_without_data_do_not_count_in_the_input_shift(smoothing_model: Path, tmp_path: Path) -> None:
    image = noise()
    whole = write_scene(tmp_path / "whole.tif", image)
    image[:, :230] = 0  # within windows
    part = write_scene(tmp_path / "part.tif", image, nodata=0)
    for scene in (whole, part):
        assert run(smoothing_model, scene, tmp_path / scene.stem, "map.page=false") == 0
    shifts = [properties(tmp_path / name)["flood_seg:input_shift"] for name in ("whole", "part")]
    assert shifts[1] == pytest.approx(shifts[0], abs=0.02)


@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 1e-5), ("float16", 5e-4)])
def test_float_probabilities(kind: str, tolerance: float, smoothing_model: Path, tmp_path: Path) -> None:
    image = noise()
    scene = write_scene(tmp_path / "scene.tif", image)
    assert run(smoothing_model, scene, tmp_path / "map", f"map.probability={kind}") == 0
    with rasterio.open(tmp_path / "map" / "probability.tif") as layer:
        found = layer.read(1)
        assert np.isnan(layer.nodata)
    np.testing.assert_allclose(found, expected_probability(image, smoothing_model)[:, :, 0], atol=tolerance)


def test_classes_of_a_multiclass_model(tmp_path: Path) -> None:
    spec = make_spec(task="multiclass", class_names=("none", "road", "house"), label_values=(0, 7, 9))
    model = write_smoothing_model(tmp_path / "model.onnx", spec)
    image = noise()
    assert run(model, write_scene(tmp_path / "scene.tif", image), tmp_path / "map") == 0
    probabilities = expected_probability(image, model)
    with rasterio.open(tmp_path / "map" / "mask.tif") as mask, rasterio.open(tmp_path / "map" / "probability.tif") as p:
        assert np.mean(mask.read(1) == np.array([0, 7, 9])[probabilities.argmax(axis=2)]) > 0.9999
        assert p.descriptions == ("none", "road", "house")
        np.testing.assert_allclose(np.moveaxis(p.read(), 0, 2) * 0.005, probabilities, atol=0.0026)


def test_photo_without_georeference(smoothing_model: Path, tmp_path: Path) -> None:
    Image.fromarray(noise()).save(tmp_path / "photo.png")
    assert run(smoothing_model, tmp_path / "photo.png", None) == 0
    with rasterio.open(tmp_path / "photo_map" / "mask.tif") as mask:
        assert mask.crs is None
        assert np.mean(mask.read(1) == (expected_probability(noise(), smoothing_model)[:, :, 0] > 0.5)) > 0.9999


def test_a_local_reference_system_gives_no_areas(smoothing_model: Path, tmp_path: Path) -> None:
    site = 'LOCAL_CS["site",LOCAL_DATUM["site",32767],UNIT["metre",1],AXIS["E",EAST],AXIS["N",NORTH]]'
    scene = write_scene(tmp_path / "scene.tif", noise(), crs=site)
    assert run(smoothing_model, scene, tmp_path / "map") == 0
    item = json.loads((tmp_path / "map" / "item.json").read_text())
    assert (item["geometry"], item["properties"]["flood_seg:area_m2"]) == (None, None)
    assert item["properties"]["mlm:name"] == f"{smoothing_model.parent.name}/{smoothing_model.name}"  # no folders above
    with rasterio.open(tmp_path / "map" / "mask.tif") as mask:
        assert mask.crs.to_wkt().startswith("LOCAL_CS")  # as the scene, for QGIS to lay it over others of the site


def test_complete_scenes_are_skipped_and_changes_begin_anew(
    smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, out = write_scene(tmp_path / "scene.tif", noise()), tmp_path / "map"
    assert run(smoothing_model, scene, out) == 0
    written = (out / "mask.tif").stat().st_mtime_ns
    assert run(smoothing_model, scene, out) == 0
    assert "skipped, it is complete" in capsys.readouterr().out
    assert (out / "mask.tif").stat().st_mtime_ns == written
    assert run(smoothing_model, scene, out, "threshold=0.9") == 0
    assert "computed anew" in capsys.readouterr().out
    assert (out / "mask.tif").stat().st_mtime_ns > written
    write_scene(scene, noise(seed=8))
    assert run(smoothing_model, scene, out, "threshold=0.9") == 0
    assert "computed anew" in capsys.readouterr().out


def test_files_made_of_the_layers_do_not_run_the_model_again(
    smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene, out, fresh = write_scene(tmp_path / "scene.tif", noise()), tmp_path / "map", tmp_path / "fresh"
    changes = ["map.vectors=[geojson]", "map.min_area=3", "map.page=false"]
    assert run(smoothing_model, scene, out) == 0
    layers = {name: (out / name).stat().st_mtime_ns for name in ("mask.tif", "probability.tif")}
    assert run(smoothing_model, scene, out, *changes) == 0
    assert "its layers are complete" in capsys.readouterr().out
    assert {name: (out / name).stat().st_mtime_ns for name in layers} == layers
    assert run(smoothing_model, scene, fresh, *changes) == 0
    assert sorted(file.name for file in out.iterdir()) == sorted(file.name for file in fresh.iterdir())
    assert (out / "areas.geojson").read_bytes() == (fresh / "areas.geojson").read_bytes()
    made, expected = properties(out), properties(fresh)
    figures = ("shares", "area_m2", "polygons", "expected_shares", "unobserved_share", "input_shift", "warnings")
    for key in (f"flood_seg:{figure}" for figure in figures):
        assert made[key] == (pytest.approx(expected[key]) if isinstance(made[key], dict) else expected[key])
    with (out / "mask.tif").open("ab") as file:
        file.write(b"changed by someone")
    assert run(smoothing_model, scene, out, "map.vectors=[gpkg]") == 0
    assert (out / "mask.tif").read_bytes() == (fresh / "mask.tif").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a single process")
def test_killed_and_continued(smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(1200, 1200))
    assert run(smoothing_model, scene, tmp_path / "whole") == 0
    out = tmp_path / "map"
    command = [sys.executable, "-m", "flood_seg", "map", "--model", str(smoothing_model), "--image", str(scene),
               "--out", str(out), *OPTIONS]  # fmt: skip
    for stop, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        before = len(list(out.glob(".blocks/*.npz")))
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and len(list(out.glob(".blocks/*.npz"))) < before + 12:
            time.sleep(0.005)
        process.send_signal(stop)
        error = process.communicate()[1]
        assert process.returncode == code
    assert error == "flood-seg: interrupted\n"
    finished = {file.name: file.stat().st_mtime_ns for file in out.glob(".blocks/*.npz")}
    assert 12 <= len(finished) < 144
    assert not (out / "item.json").exists()
    assert run(smoothing_model, scene, out) == 0
    for name in ("mask.tif", "probability.tif"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())


def test_no_old_item_stands_beside_new_layers(
    smoothing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, out = write_scene(tmp_path / "scene.tif", noise()), tmp_path / "map"
    assert run(smoothing_model, scene, out) == 0
    old = (out / "mask.tif").read_bytes()

    def stopped(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scene_map, "write_areas", stopped)
        assert run(smoothing_model, scene, out, "threshold=0.9") == 130
    assert (out / "mask.tif").read_bytes() != old
    assert not (out / "item.json").exists()
    (leftover := out / ".mask.999999999.part.tif.tif").touch()  # of a killed process
    assert run(smoothing_model, scene, out, "threshold=0.9") == 0
    assert not leftover.exists()
    assert properties(out)["flood_seg:threshold"] == 0.9


def test_a_damaged_scene_among_others(
    smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_scene(folder / "a.tif", noise())
    (folder / "b.tif").write_bytes(b"II*\0 no tiff")
    write_scene(folder / "c.tif", noise(seed=5))
    assert run(smoothing_model, folder, tmp_path / "maps") == 2
    error = capsys.readouterr().err
    assert "b.tif: damaged" in error
    assert "1 of 3 scenes" in error
    written = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert written == ["a", "c", "collection.json", "index.parquet"]


def test_a_truncated_scene_is_mapped_as_far_as_it_goes(
    smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise(600, 600), compress="deflate")
    scene.write_bytes(scene.read_bytes()[: scene.stat().st_size * 3 // 4])
    assert run(smoothing_model, scene, tmp_path / "map") == 2
    assert "block r" in capsys.readouterr().err
    with rasterio.open(tmp_path / "map" / "mask.tif") as mask:
        assert 0.1 < np.mean(mask.read(1) == 255) < 0.5
    assert properties(tmp_path / "map")["flood_seg:failed_blocks"]


def test_ground_sample_distance_sets_the_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_smoothing_model(tmp_path / "model.onnx", make_spec(ground_sample_distance=2.0))
    scene = write_scene(tmp_path / "scene.tif", noise())  # 0.5 m
    assert run(model, scene, tmp_path / "map") == 0
    assert "pixels of 0.5 m, resampled by 0.25 to the 2 m" in capsys.readouterr().err
    assert properties(tmp_path / "map")["flood_seg:signature"]["scale"] == 0.25
    assert run(model, scene, tmp_path / "native", "map.scale=native") == 0
    assert "map.scale=native gives the model pixels of 0.5 m" in capsys.readouterr().err


def test_geographic_scene_and_windows_without_data(smoothing_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", noise(), crs="EPSG:4326", transform=from_origin(7, 51, 1e-5, 1e-5))
    assert run(smoothing_model, scene, tmp_path / "map") == 0
    empty = write_scene(tmp_path / "empty.tif", np.zeros((200, 200, 3), np.uint8), nodata=0)
    assert run(smoothing_model, empty, tmp_path / "none") == 2


def test_a_dry_run_knows_the_polygons(
    smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The part that it maps is the whole of this scene."""
    folder, out = tmp_path / "scenes", tmp_path / "maps"
    folder.mkdir()
    write_scene(folder / "a.tif", np.zeros((300, 300, 3), np.uint8), nodata=0)  # nothing to try out
    scene = write_scene(folder / "b.tif", noise(300, 300))
    assert run(smoothing_model, folder, out, "--dry-run", "map.page=false") == 0
    shown = capsys.readouterr().out
    assert not out.exists()
    assert f"these are by 300×300 pixels in the middle of {scene}" in shown
    assert run(smoothing_model, scene, out, "map.page=false") == 0
    size = (out / "areas.gpkg").stat().st_size
    assert size > 500_000
    assert f"up to 0.4 MB and about {2 * size / 1e6:.1f} MB of polygons" in shown  # 2 bytes per pixel of layers
    capsys.readouterr()
    assert run(smoothing_model, folder / "a.tif", out, "--dry-run") == 0
    assert "no part of a scene with data could be tried out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("map.scale=large", "give auto, native or a number"),
        ("map.overlap=0.9", "map.overlap"),
        ("map.probability=int4", "uint8"),
        ("map.sale=1", "map.scale"),
    ],
)
def test_wrong_options(
    override: str, message: str, smoothing_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = write_scene(tmp_path / "scene.tif", noise())
    assert run(smoothing_model, scene, tmp_path / "map", override) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "map").exists()
