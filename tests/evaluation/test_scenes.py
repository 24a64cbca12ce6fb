"""`flood-seg evaluate` of whole scenes, against NumPy's figures of what `flood-seg map` writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.features import rasterize

from flood_seg.cli.main import main
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, WindowsConfig
from flood_seg.data.layout import choose_pairs
from flood_seg.imaging.postprocess import to_probabilities
from flood_seg.imaging.preprocess import normalize
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model
from tests.scenes.test_map import noise

RASTERS = ["datamodule=rasters", "datamodule.height=64", "datamodule.windows.block=2"]
LOSS_TOLERANCE = 1e-4  # probabilities are kept in steps of 1/65535


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smoothing_model(tmp_path_factory.mktemp("model") / "model.onnx", make_spec(temperature=20.0))


def probabilities_of(image: np.ndarray, model: Path) -> np.ndarray:
    """float32 [H, W, channels] of one run on the whole image."""
    backend = OnnxRuntimeBackend(model)
    return to_probabilities(backend.run(normalize(image, backend.spec)[None])[0], backend.spec.temperature)


def truth_of(probabilities: np.ndarray, seed: int = 0) -> np.ndarray:
    """The model's answer with a quarter of the pixels changed."""
    random, classes = np.random.default_rng(seed), max(2, probabilities.shape[2])
    answer = probabilities.argmax(axis=2) if probabilities.shape[2] > 1 else probabilities[:, :, 0] > 0.5
    return np.where(random.random(answer.shape) < 0.25, random.integers(0, classes, answer.shape), answer).astype("u1")


def add(folder: Path, name: str, image: np.ndarray, mask: np.ndarray, **profile: object) -> Path:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    write_scene(folder / "masks" / f"{name}.tif", mask[:, :, None])
    return write_scene(folder / "images" / f"{name}.tif", image, **profile)


def evaluate(model: Path, data: Path, out: Path, *overrides: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Returns the record, and the rows by stem."""
    options = ["evaluation.scenes=true", "evaluation.bootstrap=10", *overrides]
    main(["evaluate", "--model", str(model), "--data", str(data), "--out", str(out), *options])
    rows = json.loads((out / "images.json").read_text())
    return json.loads((out / "metrics.json").read_text()), {row["stem"]: row for row in rows}


def mapped(model: Path, image: Path, out: Path, *overrides: str) -> np.ndarray:
    main(["map", "--model", str(model), "--image", str(image), "--out", str(out), *overrides])
    with rasterio.open(out / "mask.tif") as file:
        return np.asarray(file.read(1))


def counts(predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray, classes: int = 2) -> list[list[int]]:
    pairs = [[counted & (truth == t) & (predicted == p) for p in range(classes)] for t in range(classes)]
    return [[int(cell.sum()) for cell in row] for row in pairs]


@pytest.mark.parametrize("block", [128, 2048])
@pytest.mark.parametrize("scale", ["auto", "0.5"])
def test_the_counts_of_raster_truth_are_those_of_the_map(model: Path, scale: str, block: int, tmp_path: Path) -> None:
    image = noise(500, 620)
    image[:90, :140] = 0
    probability = probabilities_of(image, model)
    truth = truth_of(probability)
    scene = add(tmp_path / "data", "a", image, truth, nodata=0)
    options = [f"map.scale={scale}", f"map.block_size={block}"]
    record, rows = evaluate(model, tmp_path / "data", tmp_path / "out", *options)
    mask = mapped(model, scene, tmp_path / "map", *options)
    observed = (image > 0).all(axis=2)
    assert (mask != 255)[observed].all() and (mask == 255)[~observed].all()
    assert record["confusion"] == counts(mask, truth, observed)
    hits = (mask == 1) & (truth == 1) & observed
    either = ((mask == 1) | (truth == 1)) & observed
    assert record["iou"] == rows["a"]["iou"] == pytest.approx(hits.sum() / either.sum())
    assert (rows["a"]["height"], rows["a"]["width"]) == (500, 620)
    assert record["boundary_f1_2px"] is None and "boundary_f1_2px" not in rows["a"]
    assert record["scenes"] == {"overlap": 0.25, "scale": {"a": 1.0 if scale == "auto" else 0.5}}
    if scale == "auto":  # the network's answer is that of one run on the whole scene
        p = probability[:, :, 0].astype(float)
        losses = -np.log(np.where(truth == 1, p, 1 - p))
        assert record["loss"] == pytest.approx(losses[observed].mean(), abs=LOSS_TOLERANCE)
    assert "Highest IoU" in (tmp_path / "out" / "report.html").read_text()
    assert list((tmp_path / "out" / "worst").iterdir())


def test_shapes_as_truth(model: Path, tmp_path: Path) -> None:
    image = noise()
    scene = add(tmp_path / "data", "a", image, np.zeros((300, 420), np.uint8))
    east, north, pixel = 500_000, 5_000_000, 0.5
    corners = [(20.3, 10.2), (300.9, 40.1), (210.5, 280.7)]  # column and row
    ring = [[east + pixel * column, north - pixel * row] for column, row in [*corners, corners[0]]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    collection = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}},
        "features": [{"type": "Feature", "properties": {}, "geometry": shape}],
    }
    (tmp_path / "data" / "masks" / "a.tif").unlink()
    (tmp_path / "data" / "masks" / "a.geojson").write_text(json.dumps(collection))
    record, _ = evaluate(model, tmp_path / "data", tmp_path / "out", "map.block_size=128")
    with rasterio.open(scene) as file:
        truth = rasterize([(shape, 1)], file.shape, transform=file.transform, dtype="uint8")
    mask = mapped(model, scene, tmp_path / "map")
    assert record["confusion"] == counts(mask, truth, np.ones(truth.shape, bool))
    assert 0.1 < truth.mean() < 0.4


def test_several_classes(tmp_path: Path) -> None:
    spec = make_spec(task="multiclass", class_names=("none", "road", "house"), label_values=(0, 7, 9), temperature=20.0,
                     provenance={"labels": [["0", "none"], ["7", "road"], ["9", "house"]]})  # fmt: skip
    model = write_smoothing_model(tmp_path / "model.onnx", spec)
    image = noise()
    probabilities = probabilities_of(image, model)
    truth = np.array([0, 7, 9], np.uint8)[truth_of(probabilities)]
    scene = add(tmp_path / "data", "a", image, truth)
    record, rows = evaluate(model, tmp_path / "data", tmp_path / "out", "map.block_size=128")
    mask = mapped(model, scene, tmp_path / "map")
    expected = [[int(((truth == t) & (mask == p)).sum()) for p in (0, 7, 9)] for t in (0, 7, 9)]
    assert record["confusion"] == expected
    ious = [expected[k][k] / (sum(expected[k]) + sum(row[k] for row in expected) - expected[k][k]) for k in range(3)]
    assert rows["a"]["iou"] == pytest.approx(np.mean(ious))
    index = np.searchsorted([0, 7, 9], truth)
    losses = -np.log(np.take_along_axis(probabilities.astype(float), index[:, :, None], axis=2))
    assert record["loss"] == pytest.approx(losses.mean(), abs=LOSS_TOLERANCE)
    assert 0 < record["calibration"]["ece"] < 0.5


def windows_of(data: Path, part: str, split_file: str | None = None) -> dict[str, np.ndarray]:
    """The pixels, bool [H, W], of 400×400 that windows of a part read, by the stem of the raster."""
    options = WindowsConfig(size=64, block=2, min_data=0.1, seed=0)
    config = defaults(DataConfig, data_dir=str(data), height=64, width=64, windows=options, split_file=split_file)
    found: dict[str, np.ndarray] = {}
    for pair in choose_pairs(config, part):
        window = pair.window
        assert window is not None
        place = found.setdefault(pair.stem.rpartition("/")[0], np.zeros((400, 400), bool))
        place[window.row : window.row + window.height, window.col : window.col + window.width] = True
    return found


@pytest.fixture
def two_rasters(model: Path, tmp_path: Path) -> dict[str, tuple[Path, np.ndarray]]:
    """Two rasters of different ground with their truth."""
    made = {}
    for seed, name in enumerate("ab"):
        image = noise(400, 400, seed)
        truth = truth_of(probabilities_of(image, model), seed)
        place = rasterio.transform.from_origin(500_000 + 1000 * seed, 5_000_000, 0.5, 0.5)
        made[name] = add(tmp_path / "data", name, image, truth, transform=place), truth
    return made


def test_only_pixels_of_the_part_count(
    model: Path,
    two_rasters: dict[str, tuple[Path, np.ndarray]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {part: windows_of(tmp_path / "data", part) for part in ("train", "val")}
    pixels = {part: sum(int(place.sum()) for place in places[part].values()) for part in places}
    assert pixels["val"] > 0 and pixels["train"] + pixels["val"] < 320_000, "narrow strips are in no window"
    masks = {name: mapped(model, scene, tmp_path / name) for name, (scene, _) in two_rasters.items()}

    def expected(part: str) -> np.ndarray:
        found = [counts(masks[n], two_rasters[n][1], place) for n, place in places[part].items()]
        return np.sum(found, axis=0)

    for part in ("auto", "val", "train"):
        record, rows = evaluate(model, tmp_path / "data", tmp_path / part, *RASTERS, f"part={part}")
        known = "train" if part == "train" else "val"
        assert record["confusion"] == expected(known).tolist()
        assert set(rows) == set(places[known])
        assert "are drawn anew from datamodule.windows" in capsys.readouterr().err
    record, _ = evaluate(model, tmp_path / "data", tmp_path / "all", *RASTERS, "part=all")
    assert np.sum(record["confusion"]) == 320_000
    assert "drawn anew" not in capsys.readouterr().err


def test_a_split_file_says_which_windows_count(
    model: Path,
    two_rasters: dict[str, tuple[Path, np.ndarray]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = WindowsConfig(size=64, block=2, min_data=0.1, seed=0)
    config = defaults(DataConfig, data_dir=str(tmp_path / "data"), height=64, width=64, windows=options)
    stems = [pair.stem for pair in choose_pairs(config, "all")]
    val = [stem for stem in stems if stem.startswith("a/")][3:5]
    lines = [f"{'val' if stem in val else 'train'}\t{stem}\n" for stem in stems if stem != stems[-1]]
    (tmp_path / "split.txt").write_text("".join(lines))
    split = f"datamodule.split_file={tmp_path / 'split.txt'}"
    record, rows = evaluate(model, tmp_path / "data", tmp_path / "out", *RASTERS, split, "map.block_size=128")
    place = windows_of(tmp_path / "data", "val", str(tmp_path / "split.txt"))["a"]
    assert list(rows) == ["a"] and 0 < place.sum() <= 2 * 64 * 64
    scene, truth = two_rasters["a"]
    assert record["confusion"] == counts(mapped(model, scene, tmp_path / "map"), truth, place)
    assert "drawn anew" not in capsys.readouterr().err


def test_a_raster_that_the_layout_puts_into_a_part_counts_as_a_whole(
    model: Path,
    two_rasters: dict[str, tuple[Path, np.ndarray]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, part in (("a", "train"), ("b", "val")):
        for kind in ("images", "masks"):
            (tmp_path / "parts" / part / kind).mkdir(parents=True)
            shutil.copy(tmp_path / "data" / kind / f"{name}.tif", tmp_path / "parts" / part / kind)
    record, rows = evaluate(model, tmp_path / "parts", tmp_path / "out", *RASTERS)
    assert list(rows) == ["val/b"] and np.sum(record["confusion"]) == 160_000
    assert "drawn anew" not in capsys.readouterr().err


def test_photos_faults_and_a_comparison(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    image = noise()
    truth = truth_of(probabilities_of(image, model))
    for kind, values in (("images", image), ("masks", truth * 255)):
        (data / kind).mkdir(parents=True)
        Image.fromarray(values).save(data / kind / "photo.png")
    add(data, "damaged", noise(), truth).write_bytes(b"II*\0 no tiff")
    record, _ = evaluate(model, data, tmp_path / "out", "--compare", str(model), "--tta", "--goal", "f1")
    assert record["left_out"] == ["damaged"]
    error = capsys.readouterr().err
    assert "damaged left out: " in error and "part=auto: all pixels of 2 scenes count" in error
    assert record["images"] == 1 and record["thresholds"]["f1"]["f1"] > 0.5
    mask = probabilities_of(image, model)[:, :, 0] > 0.5
    plain = record["comparison"]["figures"]["iou"]
    assert plain == pytest.approx((mask & (truth == 1)).sum() / (mask | (truth == 1)).sum(), abs=1e-4)
    assert record["views"]["figures"]["iou"] == plain


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at-network-size"], "--at-network-size: not with evaluation.scenes=true"),
        (["evaluation.files=[masks]"], "flood-seg map writes"),
        (["map.scale=large"], "give auto, native or a number"),
    ],
)
def test_what_scenes_cannot_have(
    options: list[str], message: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path / "data", "a", noise(), np.zeros((300, 420), np.uint8))
    with pytest.raises(SystemExit):
        evaluate(model, tmp_path / "data", tmp_path / "out", *options)
    assert message in capsys.readouterr().err
