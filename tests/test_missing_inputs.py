"""A model that may miss a sensor: infer, map, evaluate and the Python API answer without it, and say so.

Its logit is 4 · near infrared + 2 · VV, both normalised: what is missing counts as 0.
"""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image

import flood_seg
from flood_seg.cli.main import main
from tests.conftest import make_spec
from tests.imaging.test_bands import write_raster
from tests.inference.conftest import write_model
from tests.scenes.conftest import write_scene

BANDS, MEAN, STD, WEIGHTS = ("nir", "vv"), (0.4, 0.6), (0.2, 0.3), (4.0, 2.0)
SPEC = make_spec(
    64, 64, bands=BANDS, mean=MEAN, std=STD, optional_bands={"optical": ("nir",), "sar": ("vv",)}, one_of=BANDS,
    band_sources={"nir": "*_{}.png=s2/nir_{}.png", "vv": "*_{}.png=s1/vv_{}.png"},
)  # fmt: skip


def expected(nir: np.ndarray | None, vv: np.ndarray | None) -> np.ndarray:
    """Returns the mask that the weights give, bool [H, W]; a logit of 0, 1 in 255 values of VV, may go either way."""
    parts = [
        weight * (np.asarray(image, float) / 255 - mean) / std
        for image, mean, std, weight in zip((nir, vv), MEAN, STD, WEIGHTS, strict=True)
        if image is not None
    ]
    return np.asarray(sum(parts) > 0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "two.onnx", SPEC, bands=2, weights=[list(WEIGHTS)], bias=[0.0])


@pytest.fixture
def data(tmp_path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Three places with SAR, of which the first two have an optical image."""
    random, images = np.random.default_rng(0), {"nir": {}, "vv": {}, "mask": {}}
    for folder in ("s1", "s2", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for stem in "abc":
        for name, folder in (("nir", "s2"), ("vv", "s1"), ("mask", "masks")):
            image = random.integers(0, 256, (64, 64), np.uint8)
            images[name][stem] = image if name != "mask" else (image > 127) * np.uint8(255)
            if (stem, name) != ("c", "nir"):
                Image.fromarray(images[name][stem]).save(tmp_path / "data" / folder / f"{name}_{stem}.png")
    images["nir"].pop("c")
    return images


def run(*args: object) -> int:
    try:
        main([*map(str, args)])
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def test_infer(model, data, tmp_path, capsys):
    report, out = tmp_path / "r.json", tmp_path / "out"
    assert run("infer", "--onnx", model, "--image", tmp_path / "data" / "s1", "--out", out, "--json", report) == 0
    for stem, vv in data["vv"].items():
        mask = np.array(Image.open(next(out.glob(f"vv_{stem}*.png")))) > 0
        assert np.mean(mask == expected(data["nir"].get(stem), vv)) > 0.99  # the fill value is rounded to 8 bits
    records = {Path(one["image"]).stem[-1]: one for one in json.loads(report.read_text())["images"]}
    assert records["a"]["inputs"] == ["nir", "vv"] and records["a"]["missing"] == {}
    assert records["c"]["inputs"] == ["vv"] and records["c"]["missing"] == {"nir": 1.0}
    assert records["c"]["input_shift"] < 1
    assert "1 image without optical, which the model was trained to miss" in capsys.readouterr().out
    assert run("infer", "--onnx", model, "--image", tmp_path / "data/s1/vv_c.png", "--out", tmp_path / "c.png") == 0
    assert "without optical, which the model was trained to miss" in capsys.readouterr().out
    (tmp_path / "data/s1/vv_a.png").rename(tmp_path / "data/s1/other_a.png")  # neither of its inputs any more
    (tmp_path / "data/s2/nir_a.png").unlink()
    assert run("infer", "--onnx", model, "--image", tmp_path / "data/s1/other_a.png", "--out", tmp_path / "d.png") == 2
    assert (
        "was trained to miss optical or sar, not nir, vv" in capsys.readouterr().err
        and not (tmp_path / "d.png").exists()
    )


def test_values_on_another_scale_are_refused_whatever_is_missing(model, tmp_path, capsys):
    """The fill value of the missing sensor must not make reflectances in [0, 1] look like 8 bits."""
    path = write_raster(tmp_path / "scene.tif", np.random.default_rng(0).random((1, 64, 64)).astype("f4"), ("vv",))
    assert run("infer", "--onnx", model, "--image", path) == 2
    assert "do not fit value_scale=255" in capsys.readouterr().err


def test_evaluate(model, data, tmp_path, capsys):
    found = run("evaluate", "--model", model, "--data", tmp_path / "data", "--out", tmp_path / "report",
                "datamodule.images_dir=s1", "datamodule.masks_dir=masks",
                'datamodule.pair_pattern="vv_{}.png:mask_{}.png"')  # fmt: skip
    assert found == 0
    record = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert record["images"] == 3 and record["missing"] == {"optical": 1}
    with (tmp_path / "report" / "images.csv").open() as file:
        rows = {row["stem"][-1]: row for row in csv.DictReader(file)}
    assert {stem: row["missing"] for stem, row in rows.items()} == {"a": "", "b": "", "c": "optical"}
    for stem, row in rows.items():
        predicted, truth = expected(data["nir"].get(stem), data["vv"][stem]), data["mask"][stem] > 0
        assert float(row["iou"]) == pytest.approx((predicted & truth).sum() / (predicted | truth).sum(), abs=0.01)
    assert "1 image of 3 without optical" in capsys.readouterr().out


def test_predict(model, data, tmp_path):
    loaded = flood_seg.load_model(model)
    vv = data["vv"]["c"]
    for given in (tmp_path / "data/s1/vv_c.png", np.dstack([np.full((64, 64), np.nan), vv])):
        result = loaded.predict(given)
        assert result.missing == {"nir": 1.0} and result.valid is None
        assert np.mean((result.mask > 0) == expected(None, vv)) > 0.99
    assert loaded.predict(np.dstack([data["nir"]["a"], data["vv"]["a"]])).missing == {}


@pytest.fixture
def scene() -> np.ndarray:
    """Near infrared and VV, float32 [100, 150, 2]; clouds (-1) hide the left fifth of the first."""
    image = np.random.default_rng(3).integers(1, 256, (100, 150, 2)).astype(np.float32)
    image[:, :30, 0] = -1
    return image


def test_map(model, scene, tmp_path, capsys):
    path = write_scene(tmp_path / "scene.tif", scene, nodata=-1)
    with rasterio.open(path, "r+") as file:
        file.descriptions = BANDS
    assert run("map", "--model", model, "--image", path, "--out", tmp_path / "map", "map.vectors=[]") == 0
    with rasterio.open(tmp_path / "map" / "mask.tif") as file:
        mask = file.read(1)
    cloud = scene[:, :, 0] < 0
    wanted = np.where(cloud, expected(None, scene[:, :, 1]), expected(scene[:, :, 0], scene[:, :, 1]))
    assert np.mean(mask == wanted) > 0.99  # without data nowhere
    found = pystac.Item.from_file(tmp_path / "map" / "item.json").properties
    assert found["flood_seg:inputs"] == ["nir", "vv"]
    assert found["flood_seg:missing"] == pytest.approx({"nir": 0.2}, abs=0.05)  # windows overlap
    assert found["flood_seg:unobserved_share"] == 0
    assert "without optical in " in capsys.readouterr().out
    assert "without optical in " in (tmp_path / "map" / "map.html").read_text(encoding="utf-8")


def test_map_of_an_item_that_has_one_sensor(model, scene, tmp_path):
    path = write_scene(tmp_path / "vv.tif", scene[:, :, 1:])
    item = pystac.Item("night", None, None, datetime(2026, 1, 1, tzinfo=UTC), {})
    item.add_asset("vv", pystac.Asset(str(path), media_type="image/tiff; application=geotiff", roles=["data"]))
    item.set_self_href(str(tmp_path / "night.json"))
    item.save_object()
    assert run("map", "--model", model, "--image", tmp_path / "night.json", "--out", tmp_path / "map", "map.vectors=[]",
               f"map.work_dir={tmp_path / 'work'}") == 0  # fmt: skip
    found = pystac.Item.from_file(tmp_path / "map" / "item.json").properties
    assert found["flood_seg:inputs"] == ["vv"] and found["flood_seg:missing"] == {"nir": 1.0}
    with rasterio.open(tmp_path / "map" / "mask.tif") as file:
        assert np.mean(file.read(1) == expected(None, scene[:, :, 1])) > 0.99
