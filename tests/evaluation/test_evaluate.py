import csv
import json
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from pyarrow import parquet

from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, EvaluateConfig, EvaluationOptions, TrainConfig
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, ModelError, UsageError
from flood_seg.inference.engines import open_backend
from flood_seg.metrics.image_rates import RATES_KEY
from flood_seg.spec import ModelSpec
from flood_seg.verbs.evaluate import run_evaluation as evaluate
from flood_seg.verbs.evaluate import run_evaluation as run_evaluate
from tests.conftest import make_spec
from tests.inference.conftest import red_spec, write_model

BACKEND = {"_target_": "flood_seg.inference.backends.onnxruntime.OnnxRuntimeBackend"}


@pytest.fixture
def reds(tmp_path: Path) -> tuple[Path, Path, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """A model that finds red, a folder of three photos, and (prediction, truth) of each."""
    random, pairs = np.random.default_rng(0), {}
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for stem in "abc":
        photo, truth = random.integers(0, 256, (64, 64, 3), np.uint8), random.random((64, 64)) > 0.4
        Image.fromarray(photo).save(tmp_path / "data" / "images" / f"{stem}.png")
        Image.fromarray(truth).save(tmp_path / "data" / "masks" / f"{stem}.png")
        pairs[stem] = (photo[:, :, 0] > 127, truth)
    return write_model(tmp_path / "red.onnx", red_spec()), tmp_path / "data", pairs


def run(model: Path, folder: Path, out: Path | None = None, at_network_size: bool = False, **data: object):
    config = defaults(EvaluateConfig, datamodule=defaults(DataConfig, data_dir=str(folder), **data), backend=BACKEND)
    return evaluate(config, str(model), out, at_network_size).record


@pytest.mark.parametrize("at_network_size", [False, True])
def test_the_figures_are_numpys(reds, tmp_path, at_network_size):
    model, folder, pairs = reds
    record = run(model, folder, tmp_path / "out", at_network_size)
    predicted, truth = (np.stack([pair[i] for pair in pairs.values()]) for i in (0, 1))
    assert record["iou"] == pytest.approx((predicted & truth).sum() / (predicted | truth).sum())
    assert record["accuracy"] == pytest.approx((predicted == truth).mean())
    each = {stem: (p & t).sum() / (p | t).sum() for stem, (p, t) in pairs.items()}
    assert record["image_iou"] == pytest.approx(np.mean(list(each.values())))
    rest = {stem: (~p & ~t).sum() / (~p | ~t).sum() for stem, (p, t) in pairs.items()}
    macro = {stem: (each[stem] + rest[stem]) / 2 for stem in pairs}
    share = {stem: t.mean() for stem, (_, t) in pairs.items()}
    weighted = {stem: share[stem] * each[stem] + (1 - share[stem]) * rest[stem] for stem in pairs}
    assert record["macro_iou"] == pytest.approx(np.mean(list(macro.values())))
    assert record["frequency_weighted_iou"] == pytest.approx(np.mean(list(weighted.values())))
    low, high = record["intervals"]["macro_iou"]
    assert low < record["macro_iou"] < high
    assert "Macro IoU per image" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == record
    with (tmp_path / "out" / "images.csv").open() as file:
        rows = {row["stem"]: row for row in csv.DictReader(file)}
    for name, wanted in (("iou", each), ("macro_iou", macro), ("frequency_weighted_iou", weighted)):
        assert {stem: float(row[name]) for stem, row in rows.items()} == pytest.approx(wanted, abs=1e-6)


def test_a_split_file_leaves_its_validation_part(reds, tmp_path):
    model, folder, pairs = reds
    (tmp_path / "split.txt").write_text("train\ta\ntrain\tc\nval\tb\n")
    record = run(model, folder, split_file=str(tmp_path / "split.txt"))
    predicted, truth = pairs["b"]
    assert record["images"] == 1
    assert record["iou"] == pytest.approx((predicted & truth).sum() / (predicted | truth).sum())


def test_faulty_pairs_are_left_out_and_named(reds, capsys):
    model, folder, _ = reds
    (folder / "images" / "a.png").write_bytes(b"")
    record = run(model, folder)
    assert record["images"] == 2 and record["left_out"] == ["a"]
    assert list(record["faults"]) == ["a"] and "the file is empty" in record["faults"]["a"]
    assert "a left out: " in capsys.readouterr().err


@pytest.mark.parametrize("usable", [0, 1])
def test_photos_that_fail_for_one_reason_are_counted_and_the_report_lists_each(reds, tmp_path, usable, capsys):
    model, folder, _ = reds
    for number in range(20):
        for part in ("images", "masks"):
            (folder / part / f"{number}.png").write_bytes(b"")
    for path in [] if usable else (folder / "masks").glob("[abc].png"):
        path.write_bytes(b"")
    if usable:
        run(model, folder, tmp_path / "out")
        faults = json.loads((tmp_path / "out" / "metrics.json").read_text())["faults"]
        assert faults.keys() == {str(number) for number in range(20)}
        where = f"{tmp_path / 'out' / 'metrics.json'} lists each under faults"
    else:
        with pytest.raises(DataError, match="no usable pair among 23"):
            run(model, folder, tmp_path / "out")
        where = "FLOOD_SEG_FAULTS=all names each"
    told = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(told) == 4 and told[-1].endswith(f"{20 if usable else 23} in all: the file is empty; {where}")


def test_nothing_usable_is_an_error(reds):
    model, folder, _ = reds
    for path in (folder / "masks").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no usable pair among 3"):
        run(model, folder)


def verb(model: Path, folder: Path, out: Path | None = None, *, save: bool = False, **options: object):
    config = defaults(
        EvaluateConfig,
        datamodule=defaults(DataConfig, data_dir=str(folder)),
        backend=BACKEND,
        evaluation=defaults(EvaluationOptions, **options),
    )
    return run_evaluate(config, str(model), out, False, save)


def test_rows_are_the_same_in_json_csv_and_parquet(reds, tmp_path):
    model, folder, pairs = reds
    evaluated = verb(model, folder, tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "images.json").read_text())
    assert rows == evaluated.rows == parquet.read_table(tmp_path / "out" / "images.parquet").to_pylist()
    for row, (predicted, truth) in zip(rows, pairs.values(), strict=True):
        assert row["precision"] == pytest.approx((predicted & truth).sum() / predicted.sum())
        assert row["area_error"] == pytest.approx(predicted.mean() - truth.mean())
        assert row["true_negatives"] == (~predicted & ~truth).sum() and (row["width"], row["height"]) == (64, 64)
    with (tmp_path / "out" / "images.csv").open() as file:
        assert [row["stem"] for row in csv.DictReader(file)] == list(pairs)


def test_a_goals_threshold_is_written_into_the_model_and_reached(reds, tmp_path):
    model, folder, _ = reds
    found = verb(model, folder, goal="recall>=0.95", save=True).record["found"]
    record = verb(model, folder).record
    assert record["threshold"] == found["threshold"] != 0.5
    assert 0.95 <= record["recall"] < 0.96
    assert open_backend(BACKEND, str(model)).spec.provenance == red_spec().provenance


def test_a_temperature_is_written_and_changes_no_mask(reds):
    model, folder, _ = reds
    before = verb(model, folder, calibrate=True, save=True).record
    after = verb(model, folder).record
    assert after["temperature"] == before["calibration"]["best_temperature"] > 2  # red says nothing of the truth
    assert after["confusion"] == before["confusion"]
    assert after["calibration"]["ece"] == pytest.approx(before["calibration"]["ece_at_best"], abs=1e-6)
    assert after["calibration"]["ece"] < before["calibration"]["ece"]


def rates(model: Path) -> dict | None:
    return open_backend(BACKEND, str(model)).spec.provenance.get(RATES_KEY)


def test_the_errors_on_the_images_are_written_for_areas_of_maps(reds, capsys):
    model, folder, pairs = reds
    verb(model, folder, save=True)
    shares = [[[(p == j)[t == i].sum() / t.size for i in (0, 1)] for j in (0, 1)] for p, t in pairs.values()]
    record = rates(model)
    np.testing.assert_allclose(record["shares"], np.mean(shares, axis=0), rtol=1e-6)  # [map, truth]
    assert (record["images"], record["threshold"], record["part"]) == (3, 0.5, "all")
    assert "errors on 3 images written to its spec" in capsys.readouterr().out
    verb(model, folder, save=True, calibrate=True)  # the same masks
    assert rates(model)["shares"] == record["shares"] and rates(model)["temperature"] > 2


def test_errors_that_maps_will_not_have_are_not_written(reds, capsys):
    model, folder, _ = reds
    verb(model, folder, save=True, goal="recall>=0.95")  # measured at 0.5, saved is another threshold
    assert rates(model) is None and "run evaluate --save once more" in capsys.readouterr().out
    verb(model, folder, save=True, tta=True)
    assert rates(model) is None and "without test-time augmentation" in capsys.readouterr().out
    verb(model, folder, save=True)
    cut = open_backend(BACKEND, str(model)).spec.threshold
    assert rates(model)["threshold"] == cut != 0.5


def test_what_cannot_be_saved_is_said_before_anything_is_measured(reds, tmp_path):
    model, folder, _ = reds
    with pytest.raises(UsageError, match="--goal f3: give one of"):
        verb(model, folder, goal="f3")
    config = defaults(
        EvaluateConfig,
        datamodule=defaults(DataConfig, data_dir=str(folder)),
        backend=BACKEND,
        evaluation=defaults(EvaluationOptions, calibrate=True),
    )
    with pytest.raises(ModelError, match="its spec cannot be changed here"):
        run_evaluate(config, "http://127.0.0.1:1/model", None, False, True)


def test_a_goal_that_no_threshold_reaches_changes_nothing(reds, capsys):
    model, folder, _ = reds
    assert verb(model, folder, goal="precision>=0.99").record["found"]["threshold"] == pytest.approx(0.5)
    assert "no threshold reaches it" in capsys.readouterr().err


def test_another_model_is_compared_photo_by_photo(reds, tmp_path):
    model, folder, _ = reds
    other = write_model(tmp_path / "green.onnx", red_spec(), weights=[[0.0, 25.5, 0.0]])
    evaluated = verb(model, folder, compare=str(other))
    found, rows = evaluated.record["comparison"], evaluated.rows
    assert found["wins"] + found["losses"] + found["ties"] == 3 and found["low"] <= found["difference"] <= found["high"]
    assert found["difference"] == pytest.approx(evaluated.record["iou"] - found["figures"]["iou"])
    assert found["per_image"] == {row["stem"]: pytest.approx(row["iou"] - row["iou_other_model"]) for row in rows}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": ("a", "b"), "mean": (0.0,) * 2, "std": (1.0,) * 2}, r"bands is \('a', 'b'\)"),
        ({"bands": ("blue", "green", "red")}, r"bands is \('blue', 'green', 'red'\), the first model's \('red', "),
        ({"class_names": ("background", "building")}, r"class_names is .*'building'"),
        ({"task": "multiclass"}, "task is multiclass, the first model's binary"),
        ({"value_scale": 1e4}, "value_scale is 10000.0, the first model's 255.0"),
    ],
)
def test_a_model_of_another_task_is_not_compared(changes, message, reds, tmp_path):
    """As many classes and bands are not the same ones."""
    model, folder, _ = reds
    spec = replace(red_spec(), **changes)
    channels = {"weights": [[0.0] * len(spec.bands)] * 2, "bias": [0.0] * 2} if spec.task == "multiclass" else {}
    other = write_model(tmp_path / "other.onnx", spec, bands=len(spec.bands), **channels)
    with pytest.raises(ModelError, match=rf"other.onnx: its {message}.*; compare models of one task"):
        verb(model, folder, compare=str(other))


def test_views_are_measured_against_none(reds):
    model, folder, _ = reds
    found = verb(model, folder, tta=True).record["views"]
    assert found["ties"] == 3 and found["difference"] == 0  # each pixel is judged by itself
    assert found["seconds"] > 2 * found["other_seconds"]


def test_groups_have_figures_of_their_own(reds, tmp_path):
    model, folder, pairs = reds
    (tmp_path / "events.csv").write_text("stem,event\na,July\nb,July\nc,May\n")
    groups = verb(model, folder, groups=f"{tmp_path}/events.csv:event").record["groups"]
    assert [(group["name"], group["images"]) for group in groups] == [("July", 2), ("May", 1)]
    predicted, truth = pairs["c"]
    assert groups[1]["iou"] == pytest.approx((predicted & truth).sum() / (predicted | truth).sum())


def test_the_page_and_the_figures_are_logged_to_mlflow(reds, tmp_path, monkeypatch):
    model, folder, _ = reds
    monkeypatch.chdir(tmp_path)
    store = f"sqlite:///{tmp_path}/mlflow.db"  # absolute: for a process MLflow keeps what it opened by a name
    node = compose("train", ["logger=mlflow", f"logger.mlflow.tracking_uri='{store}'"], TrainConfig).logger
    config = defaults(
        EvaluateConfig, datamodule=defaults(DataConfig, data_dir=str(folder)), backend=BACKEND, logger=node
    )
    with pytest.raises(UsageError, match="give --out FOLDER"):
        run_evaluate(config, str(model), None, False, False)
    record = run_evaluate(config, str(model), Path("out"), False, False).record
    from mlflow import MlflowClient

    client = MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("flood-seg").experiment_id])
    assert run.info.status == "FINISHED" and run.data.metrics["iou"] == pytest.approx(record["iou"])
    names = {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "evaluation")}
    assert {"report.html", "metrics.json", "images.parquet"} <= names


def test_a_page_speaks_of_the_models_own_classes(reds, tmp_path, capsys):
    _, folder, _ = reds
    model = write_model(tmp_path / "b.onnx", red_spec(class_names=("background", "building")))
    verb(model, folder, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    drawings = [b64decode(one).decode() for one in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)]
    assert any("recall (share of building detected)" in drawing for drawing in drawings)
    figures = [file.read_text() for file in (tmp_path / "out").glob("*.json")]
    assert not [text for text in (page, *drawings, *figures, capsys.readouterr().out) if "water" in text.lower()]


def test_several_classes_have_a_page_without_thresholds(tmp_path):
    random = np.random.default_rng(0)
    spec = red_spec(task="multiclass", class_names=("land", "water", "road"), label_values=(0, 1, 2))
    model = write_model(tmp_path / "m.onnx", spec, weights=(25.5 * np.eye(3)).tolist(), bias=[0.0] * 3)
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for stem in "ab":
        photo = random.integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(photo).save(tmp_path / "data" / "images" / f"{stem}.png")
        truth = np.where(random.random((64, 64)) < 0.7, photo.argmax(axis=2), 0)
        Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "data" / "masks" / f"{stem}.png")
    data = defaults(DataConfig, data_dir=str(tmp_path / "data"), labels={0: "land", 1: "water", 2: "road"})
    config = defaults(
        EvaluateConfig,
        datamodule=data,
        backend=BACKEND,
        evaluation=defaults(EvaluationOptions, goal="f1", calibrate=True),
    )
    evaluated = run_evaluate(config, str(model), tmp_path / "out", False, False)
    assert "thresholds" not in evaluated.record and set(evaluated.record["classes"]) == {"land", "water", "road"}
    assert evaluated.record["calibration"]["ece_at_best"] < evaluated.record["calibration"]["ece"]
    assert "Metrics per class" in (tmp_path / "out" / "report.html").read_text()


def test_a_model_that_answers_nan_has_no_figures(reds, capsys):
    _, folder, _ = reds
    model = write_model(folder.parent / "nan.onnx", red_spec(), bias=[float("nan")])
    with pytest.raises(DataError, match="no usable pair among 3"):
        run(model, folder)
    assert "a left out: the model returns NaN" in capsys.readouterr().err


def test_photos_of_another_scale_are_left_out_and_unusual_ones_named(reds, tmp_path, capsys):
    _, folder, _ = reds
    model = write_model(tmp_path / "red.onnx", make_spec())
    photo = np.array(Image.open(folder / "images" / "b.png"))
    Image.fromarray(photo // 128).save(folder / "images" / "b.png")
    Image.fromarray(np.maximum(photo, 252)).save(folder / "images" / "c.png")
    record = run(model, folder, tmp_path / "out")
    assert record["left_out"] == ["b"] and record["unusual_values"] == ["c"]
    err = capsys.readouterr().err
    assert "b left out: values from 0 to 1 do not fit" in err and "1 image with unusual values" in err
    shifts = {row["stem"]: row["input_shift"] for row in json.loads((tmp_path / "out" / "images.json").read_text())}
    assert shifts["a"] < 1 < 2 < shifts["c"]


def write_tif(path: Path, values: np.ndarray, **options: object) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", height=64, width=64, count=1, dtype=values.dtype, crs="EPSG:32632",
        transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **options,
    ) as out:  # fmt: skip
        out.write(values, 1)


@pytest.mark.parametrize("at_network_size", [False, True])
@pytest.mark.parametrize("how", ["declared", "labels of the model", "ignore_index"])
def test_pixels_without_data_count_neither_in_images_nor_in_masks(reds, tmp_path, at_network_size, how):
    """Torchmetrics, told which pixels to ignore, has the same figures."""
    import flood_seg.torchvision_compat  # noqa: F401 - before torchmetrics

    from torchmetrics.functional.classification import binary_accuracy, binary_jaccard_index

    model, folder, pairs = reds
    random, truths, found = np.random.default_rng(5), [], []
    for stem, (predicted, truth) in pairs.items():
        unknown, unseen = random.random((64, 64)) < 0.2, np.zeros((64, 64), bool)
        unseen[:9] = True
        (folder / "masks" / f"{stem}.png").unlink()
        nodata = {"nodata": -1} if how == "declared" else {}
        write_tif(folder / "masks" / f"{stem}.tif", np.where(unknown, -1, truth).astype(np.int16), **nodata)
        photo = np.array(Image.open(folder / "images" / f"{stem}.png"))
        Image.fromarray(np.dstack([photo, np.where(unseen, 0, 255).astype(np.uint8)])).save(
            folder / "images" / f"{stem}.png"
        )
        truths.append(np.where(unknown | unseen, -1, truth))
        found.append(predicted)
    if how == "labels of the model":
        labels = [["0", "background"], ["1", "water"], ["-1", "ignore"]]
        write_model(model, red_spec(provenance={"labels": labels}))
    more = {"ignore_index": -1} if how == "ignore_index" else {}
    record = run(model, folder, at_network_size=at_network_size, **more)
    predicted, truth = torch.tensor(np.stack(found)).int(), torch.tensor(np.stack(truths))
    assert record["iou"] == pytest.approx(float(binary_jaccard_index(predicted, truth, ignore_index=-1)), abs=1e-6)
    assert record["accuracy"] == pytest.approx(float(binary_accuracy(predicted, truth, ignore_index=-1)), abs=1e-6)


def test_minus_one_without_a_word_ends_the_evaluation(reds):
    model, folder, pairs = reds
    (folder / "masks" / "a.png").unlink()
    write_tif(folder / "masks" / "a.tif", np.where(pairs["a"][1], 1, -1).astype(np.int16))
    with pytest.raises(DataError, match=r"a.tif: a mask of two classes cannot have the values -1, 1;"):
        run(model, folder)


def test_a_photo_without_a_pixel_that_counts_is_left_out_and_does_not_raise_the_mean(reds, capsys):
    model, folder, pairs = reds
    (folder / "masks" / "a.png").unlink()
    write_tif(folder / "masks" / "a.tif", np.full((64, 64), 255, np.uint8), nodata=255)
    record = run(model, folder)
    each = [(p & t).sum() / (p | t).sum() for stem, (p, t) in pairs.items() if stem != "a"]
    assert record["left_out"] == ["a"] and record["image_iou"] == pytest.approx(np.mean(each))
    assert "a left out: all of its pixels are ignored" in capsys.readouterr().err


def test_the_nodata_value_is_the_models_unless_another_is_given():
    spec = ModelSpec.from_json(make_spec(nodata=-9999.0).to_json())
    assert SampleReader.for_model(defaults(DataConfig), spec).bands.nodata == -9999
    assert SampleReader.for_model(defaults(DataConfig, nodata=7.0), spec).bands.nodata == 7
    assert SampleReader.for_model(defaults(DataConfig), make_spec()).bands.nodata is None
