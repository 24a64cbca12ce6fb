"""What infer writes beside PNG masks: GeoTIFFs that lie where the image does, and probabilities."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine

import flood_seg
from flood_seg.classes import IGNORED
from flood_seg.cli.main import main
from flood_seg.imaging import gdal
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.imaging.gdal import read_georeference
from tests.inference.conftest import red_spec, write_model

VALUES = np.random.default_rng(0).integers(0, 256, (300, 272, 3), np.uint8)
PLACE = {"crs": "EPSG:32632", "transform": Affine(0.5, 0.1, 500000, 0.1, -0.5, 5400000)}
WATER = VALUES[:, :, 0] > 127
PROBABILITY = 1 / (1 + np.exp(-(VALUES[:, :, 0] - 127.5) / 10))

Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`flood-seg infer` with a model of the images' own size; see `write_model`."""
    model = write_model(tmp_path / "red.onnx", red_spec(300, 272))
    return lambda image, *more: main(["infer", "--onnx", str(model), "--image", str(image), *map(str, more)])


def write_scene(path: Path, values: np.ndarray = VALUES, nodata: int | None = None, **place: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    profile = {"height": height, "width": width, "count": count, "dtype": values.dtype, "nodata": nodata}
    with rasterio.open(path, "w", "GTiff", **profile, **place) as out:
        out.write(np.moveaxis(values, 2, 0))
    return path


def several(tmp_path: Path) -> Path:
    spec = red_spec(300, 272, task="multiclass", class_names=("land", "road", "water"), label_values=(0, 7, 9),
                    class_colors=("#000000", "#ff8000", "#0000ff"))  # fmt: skip
    return write_model(tmp_path / "m.onnx", spec, weights=(25.5 * np.eye(3)).tolist(), bias=[0.0] * 3)


def test_a_geotiff_lies_where_the_image_does_and_holds_the_pixels_of_the_png(run, tmp_path):
    scene = write_scene(tmp_path / "scene.tif", **PLACE)
    run(scene, "--out", tmp_path / "m.png")
    run(scene, "--out", tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as mask, rasterio.open(scene) as image:
        assert (mask.crs, mask.transform, mask.bounds) == (image.crs, image.transform, image.bounds)
        assert mask.dtypes == ("uint8",) and mask.nodata == 254, "255 is water"
        assert mask.profile["tiled"] and mask.compression.value == "DEFLATE"
        colors = mask.colormap(1)
        assert colors[0][:3] == (0, 0, 0) and colors[255] == (30, 144, 255, 255)
        np.testing.assert_array_equal(mask.read(1), np.array(Image.open(tmp_path / "m.png")))
        np.testing.assert_array_equal(mask.read(1), WATER * np.uint8(255))


def test_pixels_without_data_are_nodata(run, tmp_path):
    values = VALUES.clip(1)
    values[:100] = 0
    scene = write_scene(tmp_path / "scene.tif", values, nodata=0, **PLACE)
    run(scene, "--out", tmp_path / "m.tif", "output.foreground_value=1", "output.probability=true")
    with rasterio.open(tmp_path / "m.tif") as mask, rasterio.open(tmp_path / "m_probability.tif") as probability:
        assert mask.nodata == 255 and (mask.read(1)[:100] == 255).all()
        assert (read_binary_mask(tmp_path / "m.tif")[:100] == IGNORED).all(), "as truth it counts nowhere either"
        np.testing.assert_array_equal(mask.read(1)[100:], WATER[100:])
        assert (probability.crs, probability.transform) == (mask.crs, mask.transform)
        assert probability.dtypes == ("float32",) and np.isnan(probability.nodata)
        assert probability.descriptions == ("water",) and np.isnan(probability.read(1)[:100]).all()
        np.testing.assert_allclose(probability.read(1)[100:], PROBABILITY[100:], atol=1e-3)
    run(scene, "--out", tmp_path / "m.png", "output.probability=true")
    with Image.open(tmp_path / "m_probability.png") as written:
        assert written.mode == "I;16" and not np.array(written)[:100].any()


def test_a_probability_is_a_16_bit_png(run, tmp_path):
    Image.fromarray(VALUES).save(tmp_path / "a.png")
    run(tmp_path / "a.png", "--json", tmp_path / "r.json", "output.probability=true")
    (record,) = json.loads((tmp_path / "r.json").read_text())["images"]
    assert record["probability"] == str(tmp_path / "a_probability.png")
    values = np.array(Image.open(tmp_path / "a_probability.png"))
    np.testing.assert_allclose(values / 65535, PROBABILITY, atol=1e-3)
    np.testing.assert_array_equal(values > 32767, WATER)
    run(tmp_path / "a.png", "--json", tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text())["images"][0]["probability"] is None


@pytest.mark.parametrize("form", ["png", "tif"])
def test_probabilities_of_several_classes_are_the_bands_of_a_geotiff(form, tmp_path):
    model, scene = several(tmp_path), write_scene(tmp_path / "scene.tif", **PLACE)
    out = ["--out", str(tmp_path / f"m.{form}"), "output.probability=true"]
    main(["infer", "--onnx", str(model), "--image", str(scene), *out])
    scores = np.exp(VALUES / 10)
    with rasterio.open(tmp_path / "m_probability.tif") as written:
        assert written.descriptions == ("land", "road", "water") and written.crs == PLACE["crs"]
        np.testing.assert_allclose(np.moveaxis(written.read(), 0, 2), scores / scores.sum(2, keepdims=True), atol=1e-3)
    with rasterio.open(tmp_path / f"m.{form}") as mask:
        np.testing.assert_array_equal(mask.read(1), np.array([0, 7, 9])[VALUES.argmax(2)])
        if form == "tif":
            assert mask.nodata == 255 and mask.colormap(1)[7][:3] == (255, 128, 0)


def test_a_folder_gives_files_of_the_configured_format(run, tmp_path):
    for name in "ab":
        write_scene(tmp_path / "in" / f"{name}.tif", **PLACE)
    wanted = ["output.format=tif", "output.probability=true", "skip_existing=true", "--json", tmp_path / "r.json"]
    run(tmp_path / "in", *wanted)
    masks = tmp_path / "in_masks"
    names = ["a.tif", "a_probability.tif", "b.tif", "b_probability.tif"]
    assert sorted(path.name for path in masks.iterdir()) == names

    def redone() -> list[str]:
        run(tmp_path / "in", *wanted)
        return [Path(one["image"]).name for one in json.loads((tmp_path / "r.json").read_text())["images"]]

    assert redone() == []
    (masks / "a_probability.tif").unlink()
    whole = (masks / "b.tif").read_bytes()
    (masks / "b.tif").write_bytes(whole[:-1])
    assert redone() == ["a.tif", "b.tif"] and (masks / "b.tif").read_bytes() == whole
    os.utime(masks / "a_probability.tif", (1000, 1000))
    assert redone() == ["a.tif"]


def test_beside_the_images_no_file_is_taken_for_an_image(run, tmp_path):
    write_scene(tmp_path / "in" / "a.tif", **PLACE)
    for form in ("tif", "png", "tif"):
        run(tmp_path / "in", "--out", tmp_path / "in", f"output.format={form}", "output.probability=true")
    names = ["a.tif", "a_mask.png", "a_mask.tif", "a_probability.png", "a_probability.tif"]
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == names


def test_a_probability_never_takes_the_place_of_a_mask_or_an_image(run, tmp_path, capsys):
    for name in ("a.jpg", "a_probability.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(VALUES).save(tmp_path / "in" / name)
    with pytest.raises(SystemExit):
        run(tmp_path / "in", "output.probability=true")
    assert "a_probability.png: would be a mask and a probability; rename" in capsys.readouterr().err
    (tmp_path / "in" / "a.jpg").rename(tmp_path / "in" / "x_probability.png")
    with pytest.raises(SystemExit):
        run(tmp_path / "in" / "x_probability.png", "--out", tmp_path / "in" / "x.png", "output.probability=true")
    assert "would be overwritten" in capsys.readouterr().err and not (tmp_path / "in_masks").exists()


def test_gcps_and_rpcs_are_kept(run, tmp_path):
    gcps = [GroundControlPoint(row, col, 10 + col / 1000, 50 - row / 1000, 0)
            for row, col in ((0, 0), (0, 272), (300, 0), (300, 272))]  # fmt: skip
    run(write_scene(tmp_path / "gcps.tif", gcps=gcps, crs="EPSG:4326"), "--out", tmp_path / "g.tif")
    with rasterio.open(tmp_path / "g.tif") as mask:
        found, crs = mask.gcps
        assert crs == "EPSG:4326" and [(p.row, p.col, p.x, p.y) for p in found] == [
            (p.row, p.col, p.x, p.y) for p in gcps
        ]
    line = [1.0, *[0.0] * 19]
    rpcs = RPC(100, 200, 50, 0.1, line, line, 150, 300, 10, 0.1, line, line, 136, 272, -1, -1)
    run(write_scene(tmp_path / "rpcs.tif", rpcs=rpcs), "--out", tmp_path / "r.tif")
    with rasterio.open(tmp_path / "r.tif") as mask:
        assert mask.rpcs == rpcs


def test_a_world_file_is_a_georeference_and_a_turned_photo_has_none(run, tmp_path):
    exif = Image.Exif()
    for name, orientation in (("upright", 1), ("turned", 3)):
        exif[0x0112] = orientation
        Image.fromarray(VALUES).save(tmp_path / f"{name}.jpg", quality=95, exif=exif)
        (tmp_path / f"{name}.jgw").write_text("0.5\n0\n0\n-0.5\n100.25\n199.75\n")
        run(tmp_path / f"{name}.jpg", "--out", tmp_path / f"{name}.tif")
        run(tmp_path / f"{name}.jpg", "--out", tmp_path / f"{name}.png")
        with rasterio.open(tmp_path / f"{name}.tif") as mask:
            assert mask.transform == (Affine(0.5, 0, 100, 0, -0.5, 200) if orientation == 1 else Affine.identity())
            np.testing.assert_array_equal(mask.read(1), np.array(Image.open(tmp_path / f"{name}.png")))
    upright, turned = (np.array(Image.open(tmp_path / f"{name}.png")) for name in ("upright", "turned"))
    assert (turned == upright[::-1, ::-1]).mean() > 0.95


def test_a_photo_gives_a_plain_tiff_without_a_warning(tmp_path):
    model = write_model(tmp_path / "red.onnx", red_spec())
    Image.fromarray(VALUES).save(tmp_path / "p.webp", lossless=True)
    command = [sys.executable, "-W", "always", "-m", "flood_seg", "infer", "--onnx", model, "--image", "p.webp"]
    done = subprocess.run([*command, "--out", "m.tif"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "NotGeoreferenced" not in done.stderr and done.stdout.splitlines()[-1].startswith("m.tif: 272×300")
    with rasterio.open(tmp_path / "m.tif") as mask:
        assert mask.crs is None and mask.transform.is_identity and mask.shape == (300, 272)


def test_bytes_and_images_of_another_size_than_was_read(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", **PLACE)
    assert read_georeference(scene.read_bytes(), 300, 272)["transform"] == PLACE["transform"]
    assert read_georeference(scene, 150, 136) == {}


def test_without_rasterio_a_tif_is_one_line_that_names_the_extra(run, tmp_path, monkeypatch, capsys):
    Image.fromarray(VALUES).save(tmp_path / "a.png")
    result = flood_seg.load_model(tmp_path / "red.onnx").predict(VALUES)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    gdal.import_rasterio.cache_clear()
    with pytest.raises(SystemExit):
        run(tmp_path / "a.png", "output.format=tif")
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "rasterio" in told[0] and "pip install 'flood-seg[geo]'" in told[0]
    with pytest.raises(flood_seg.MissingExtraError, match=r"save: requires rasterio.*flood-seg\[geo\]"):
        result.save(tmp_path / "b.tif")
    assert not list(tmp_path.glob("*.tif"))


def test_a_result_saves_what_infer_writes(run, tmp_path):
    scene, model = write_scene(tmp_path / "scene.tif", **PLACE), flood_seg.load_model(tmp_path / "red.onnx")
    run(scene, "--out", tmp_path / "m.tif", "output.probability=true")
    for given in (scene, scene.read_bytes()):
        result = model.predict(given)
        result.save(tmp_path / "saved.tif")
        result.save(tmp_path / "p.tif", probability=True)
        assert (tmp_path / "saved.tif").read_bytes() == (tmp_path / "m.tif").read_bytes()
        assert (tmp_path / "p.tif").read_bytes() == (tmp_path / "m_probability.tif").read_bytes()
    result = model.predict(VALUES)
    result.save(tmp_path / "p.png", probability=True)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "p.png")), np.rint(result.probability * 65535))
    result.save(tmp_path / "plain.tif")
    with rasterio.open(tmp_path / "plain.tif") as mask:
        assert mask.transform.is_identity and mask.crs is None
    with pytest.raises(flood_seg.OutputError, match="'.jpg' does not store the probability exactly"):
        result.save(tmp_path / "p.jpg", probability=True)
    with pytest.raises(flood_seg.OutputError, match="stores the probability of one class"):
        flood_seg.load_model(several(tmp_path)).predict(VALUES).save(tmp_path / "p.png", probability=True)


def test_a_video_has_no_such_files(run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path / "v.mp4", "output.probability=true")
    assert "leave them out" in capsys.readouterr().err


def test_a_raster_much_larger_than_the_network_is_reported_with_map(red_model, tmp_path, capsys):
    scene = write_scene(tmp_path / "scene.tif", np.full((300, 200, 3), 200, np.uint8))
    photo = tmp_path / "photo.png"
    Image.fromarray(np.full((300, 200, 3), 200, np.uint8)).save(photo)
    run = ["infer", "--onnx", str(red_model), "--json", str(tmp_path / "r.json"), "--image"]
    main([*run, str(photo)])
    assert "map" not in capsys.readouterr().err
    main([*run, str(scene)])
    line = f"{scene}: 200×300 is reduced 5 times to the network's size; flood-seg map segments scenes by windows"
    assert line in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())["warnings"] == [line]
