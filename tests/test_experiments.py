"""The four other jobs, each on data of its real format that the test writes: train, evaluate, export, infer."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image

from flood_seg.config.compose import compose
from flood_seg.config.schema import EvaluateConfig, InferConfig, TrainConfig
from flood_seg.inference.engines import choose_engine
from flood_seg.spec import ModelSpec
from flood_seg.training.history import read_history
from flood_seg.verbs.evaluate import run_evaluation as evaluate
from flood_seg.verbs.infer import segment_images as infer
from flood_seg.verbs.train_run import run_training as train

SIDE = 64
FAST = ["model.encoder=mobilenet_v2", "model.encoder_weights=null", "trainer.max_epochs=2", "trainer.precision=32-true",
        f"datamodule.height={SIDE}", "datamodule.batch_size=4", "logger=csv"]  # fmt: skip


def blob(seed: int, value: int = 1) -> np.ndarray:
    """A disc of `value`, uint8 [64, 64]."""
    random, mask = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(mask, tuple(int(v) for v in random.integers(15, 50, 2)), int(random.integers(8, 20)), value, -1)
    return mask


def shade(mask: np.ndarray, seed: int, bands: int = 3, top: int = 255) -> np.ndarray:
    """An image whose brightness tells the classes apart, float [64, 64, bands]."""
    noise = np.random.default_rng(seed).normal(0, 0.03, (*mask.shape, bands))
    return ((0.2 + 0.3 * mask[:, :, None] + noise).clip(0, 1) * top).astype(float)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        bands = np.moveaxis(np.atleast_3d(values), 2, 0)
        place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5600000)}
        shape = {"height": SIDE, "width": SIDE, "count": len(bands), "dtype": values.dtype}
        with rasterio.open(path, "w", driver="GTiff", **shape, **place) as out:
            out.write(bands)
    else:
        Image.fromarray(values).save(path)


def write_buildings(folder: Path) -> None:
    for number in range(12):
        part, mask = ("train", "val")[number >= 8], blob(number)
        save(folder / part / "images" / f"austin{number}.tif", shade(mask, number).astype(np.uint8))
        save(folder / part / "gt" / f"austin{number}.tif", mask * 255)


def write_hogweed(folder: Path) -> None:
    for number in range(10):
        mask = blob(number)
        reflectance = shade(mask, number, 4, 10000).astype(np.uint16)
        save(folder / "images" / f"T32_{number}.tif", reflectance[:, :, :3])
        save(folder / "nir" / f"T32_{number}.tif", reflectance[:, :, 3])
        save(folder / "masks" / f"T32_{number}.tif", mask)


def write_pets(folder: Path) -> None:
    for number in range(10):
        pet = blob(number)
        outline = cv2.dilate(pet, np.ones((5, 5), np.uint8)) - pet
        trimap = np.where(outline == 1, 3, np.where(pet == 1, 1, 2)).astype(np.uint8)
        save(folder / "images" / f"Abyssinian_{number}.jpg", shade(pet + 2 * outline, number).astype(np.uint8))
        save(folder / "annotations" / "trimaps" / f"Abyssinian_{number}.png", trimap)
        (folder / "annotations" / "trimaps" / f"._Abyssinian_{number}.png").write_bytes(b"of macOS")


def write_generic(folder: Path) -> None:
    for number in range(12):
        part = ("train", "val", "test")[(number > 6) + (number > 9)]
        classes = np.maximum(blob(number), blob(number + 50, 2))
        values = np.array([0, 64, 128], np.uint8)[classes]
        values[:3] = 255
        save(folder / "img" / part / f"{number}.png", shade(classes, number).astype(np.uint8))
        save(folder / "labels" / part / f"{number}.png", values)


JOBS = {
    "buildings": (write_buildings, [], ("background", "building"), 3),
    "hogweed": (write_hogweed, [], ("background", "hogweed"), 4),
    "pets": (write_pets, [], ("background", "pet", "outline"), 3),
    "generic": (write_generic, ["datamodule.labels={64:water,128:road}"], ("background", "water", "road"), 3),
}


@pytest.mark.usefixtures("no_curves")
@pytest.mark.parametrize("job", JOBS)
def test_a_job_trains_evaluates_exports_and_infers(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write, changes, names, bands = JOBS[job]
    write(tmp_path / "data" / job)
    overrides = [f"+experiment={job}", *FAST, *changes]
    summary = train(compose("train", overrides, TrainConfig), overrides)
    spec = ModelSpec.from_json((summary.run_dir / "spec.json").read_text())
    assert spec.class_names == names and len(spec.bands) == len(spec.mean) == bands
    assert {"confusion.png", "validation_samples.png"} <= {path.name for path in summary.plots.iterdir()}

    places = [f"datamodule.data_dir=data/{job}", *(f"datamodule.{key}" for key in PLACES[job])]
    config = compose("evaluate", choose_engine(places, str(summary.onnx))[0], EvaluateConfig)
    record = evaluate(config, str(summary.onnx), tmp_path / "report", at_network_size=True).record
    assert set(record["classes"]) == set(names)
    if job in ("buildings", "generic"):  # whose folders say what validation is
        assert record["iou"] == pytest.approx(summary.metrics["val_iou"], abs=0.02)
    assert (tmp_path / "report" / "confusion.png").stat().st_size > 5000

    image = sorted((tmp_path / "data" / job).glob(IMAGES[job]))[0]
    config = compose("infer", choose_engine([], str(summary.onnx))[0], InferConfig)
    infer(config, str(summary.onnx), str(image), tmp_path / "mask.png", overlay=True, json=tmp_path / "report.json")
    values = {0, 255} if spec.task == "binary" else set(spec.label_values)
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    assert mask.shape == (SIDE, SIDE) and set(np.unique(mask)) <= values
    assert np.asarray(Image.open(tmp_path / "mask_overlay.jpg")).shape == (SIDE, SIDE, 3)
    assert json.loads((tmp_path / "report.json").read_text())["images"][0]["width"] == SIDE


PLACES = {"buildings": ["masks_dir=gt"], "hogweed": [], "pets": ["masks_dir=annotations/trimaps"],
          "generic": ["images_dir=img", "masks_dir=labels"]}  # fmt: skip
IMAGES = {"buildings": "val/images/*", "hogweed": "images/*", "pets": "images/*", "generic": "img/test/*"}


def test_a_few_epochs_tell_three_classes_apart(tmp_path, monkeypatch):
    """By the training metrics: so few steps leave BatchNorm's running averages behind."""
    monkeypatch.chdir(tmp_path)
    write_pets(tmp_path / "data" / "pets")
    overrides = ["+experiment=pets", *FAST, "trainer.max_epochs=12", "augmentation=none", "optimizer.lr=3e-3",
                 "callbacks.early_stopping=null"]  # fmt: skip
    summary = train(compose("train", overrides, TrainConfig), overrides)
    rows = read_history(summary.run_dir / "history.csv")
    assert rows[0]["train_iou"] < 0.4 and rows[-1]["train_iou"] > 0.75
    assert {"val_iou/background", "val_iou/pet", "val_iou/outline"} <= set(rows[-1])


@pytest.mark.usefixtures("no_curves")
def test_the_bands_mean_and_deviation_are_measured_once_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_hogweed(tmp_path / "data" / "hogweed")
    overrides = ["+experiment=hogweed", *FAST, "trainer.max_epochs=1"]
    first = train(compose("train", overrides, TrainConfig), overrides)
    assert capsys.readouterr().out.count("Mean and standard deviation of the training part: red 0.") == 1
    spec = ModelSpec.from_json((first.run_dir / "spec.json").read_text())
    stems = [line.split("\t")[1] for line in (first.run_dir / "split.txt").read_text().splitlines() if "train" in line]
    pixels = []
    for stem in stems:
        with (
            rasterio.open(f"data/hogweed/images/{stem}.tif") as rgb,
            rasterio.open(f"data/hogweed/nir/{stem}.tif") as nir,
        ):
            pixels.append(np.concatenate([rgb.read(), nir.read()]).reshape(4, -1) / 10000)
    pixels = np.concatenate(pixels, axis=1)
    assert spec.mean == pytest.approx(pixels.mean(axis=1)) and spec.std == pytest.approx(pixels.std(axis=1))
    assert list((tmp_path / "cache").glob("flood-seg/*.bands.json"))
