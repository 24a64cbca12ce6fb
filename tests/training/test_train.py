import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import yaml
from PIL import Image

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError, DataError, TrackingError, TrainingError
from flood_seg.spec import METADATA_KEY, ModelSpec
from flood_seg.training.history import COLUMNS, read_history
from tests.training.conftest import TINY, run_training


def test_a_run_leaves_all_its_files(finished_run):
    folder = finished_run.run_dir
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", "/".join(folder.parts[-2:]))
    (best,) = folder.glob("best-*.ckpt")
    assert re.fullmatch(r"best-epoch=\d\d-val_iou=0\.\d{4}\.ckpt", best.name)
    assert (folder / "best.ckpt").is_symlink() and (folder / "best.ckpt").resolve() == best.resolve()
    assert (folder.parent.parent / "latest").resolve() == folder.resolve()
    for name in ("last.ckpt", "model.onnx", "split.txt", "spec.json", "history.csv", ".hydra/overrides.yaml"):
        assert (folder / name).is_file(), name
    assert yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["datamodule"]["height"] == 64


def test_the_history_has_a_whole_row_an_epoch(finished_run):
    rows = read_history(finished_run.run_dir / "history.csv")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert all(set(row) == set(COLUMNS) for row in rows)
    assert rows[0]["train_loss"] != rows[1]["train_loss"]
    assert finished_run.metrics["val_iou"] == max(row["val_iou"] for row in rows)


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_checkpoints_load_without_running_code_and_carry_their_spec(finished_run, name):
    checkpoint = torch.load(finished_run.run_dir / name, weights_only=True)
    spec = ModelSpec.from_json(checkpoint[METADATA_KEY])
    assert (spec.height, spec.width) == (64, 64) and spec.provenance["encoder"] == "mobilenet_v2"
    rows = read_history(finished_run.run_dir / "history.csv")
    assert spec.provenance["metrics"]["val_iou"] == pytest.approx(rows[checkpoint["epoch"]]["val_iou"])


def test_fourteen_pictures_are_drawn(finished_run):
    names = {path.name for path in finished_run.plots.iterdir()}
    metrics = ("loss", "iou", "f1", "accuracy")
    curves = {f"{part}_{m}.png" for m in metrics for part in ("train", "val")} | {
        f"{m}_comparison.png" for m in metrics
    }
    assert names == curves | {"validation_samples.png", "confusion.png"}
    for path in finished_run.plots.iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 300 and np.ptp(np.asarray(picture.convert("L"))) > 100


def test_mlflow_holds_parameters_commit_metrics_and_files(finished_run):
    from mlflow import MlflowClient

    folder = finished_run.run_dir.parents[2]
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("flood-seg")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "ponds"
    assert run.data.params["model.encoder"] == "mobilenet_v2" and run.data.params["optimizer.lr"] == "0.001"
    commit = json.loads((finished_run.run_dir / "spec.json").read_text())["provenance"]["git_commit"]
    assert run.data.tags.get("mlflow.source.git.commit") == commit
    rows = read_history(finished_run.run_dir / "history.csv")
    logged = [metric.value for metric in client.get_metric_history(run.info.run_id, "val_iou")]
    assert logged == pytest.approx([row["val_iou"] for row in rows])
    kept = {
        item.path for kind in ("plots", "checkpoints", "onnx") for item in client.list_artifacts(run.info.run_id, kind)
    }
    assert len([path for path in kept if path.startswith("plots/")]) == 14
    assert "onnx/model.onnx" in kept and any(path.startswith("checkpoints/best-epoch=") for path in kept)


def test_the_exported_model_predicts_a_photo(finished_run, shared_ponds, tmp_path):
    from flood_seg.config.schema import InferConfig
    from flood_seg.verbs.infer import segment_images as infer

    photo = next((shared_ponds / "images").iterdir())
    infer(compose("infer", [], InferConfig), finished_run.onnx, str(photo), tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as mask:
        assert mask.size == (80, 64)


def test_a_split_that_is_given_back_is_used_again(finished_run, shared_ponds, tmp_path):
    split = finished_run.run_dir / "split.txt"
    again = run_training(tmp_path, shared_ponds, f"datamodule.split_file={split}", "seed=7", "trainer.max_epochs=1",
                         "logger=csv")  # fmt: skip
    assert (again.run_dir / "split.txt").read_text() == split.read_text()
    assert "val_iou" in (again.run_dir / "csv" / "metrics.csv").read_text()


def test_a_finished_run_goes_on_for_more_epochs_in_its_folder(shared_ponds, tmp_path):
    first = run_training(tmp_path, shared_ponds, "trainer.max_epochs=1", "logger=none")
    more = run_training(tmp_path, shared_ponds, f"resume={first.run_dir}", "trainer.max_epochs=2")
    assert more.run_dir.resolve() == first.run_dir.resolve()
    assert [row["epoch"] for row in read_history(more.run_dir / "history.csv")] == [0, 1]


def test_fast_dev_run_goes_all_the_way_and_leaves_no_model(shared_ponds, tmp_path):
    run_training(tmp_path, shared_ponds, "trainer.fast_dev_run=true")
    assert not list(tmp_path.rglob("*.ckpt")) and not list(tmp_path.rglob("*.onnx"))


def test_a_wrong_path_to_resume_is_named(shared_ponds, tmp_path):
    with pytest.raises(ConfigError, match="no run with last.ckpt"):
        run_training(tmp_path, shared_ponds, f"resume={tmp_path}")


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ("datamodule.data_dir=/nowhere", DataError, "no such folder"),
        ("model.encoder=resnet35", ConfigError, "did you mean 'resnet"),
        ("model.architecture=Unett", ConfigError, "did you mean 'Unet'"),
        ("datamodule.val_split=0.01", DataError, "empty validation part"),
        ("loss.bce._target_=torch.nn.Nope", ConfigError, "torch.nn has no Nope"),
        ("loss.bce.weight=0", ConfigError, "loss.bce.weight=0: must be a number above 0"),
        ("loss.pos_weight=2", ConfigError, "did you mean 'loss.bce.pos_weight'"),
        ("loss=[bce,dise]", ConfigError, "did you mean 'dice'"),
        ("scheduler=warmup_cosine", ConfigError, "warmup_epochs must be above 0 and below max_epochs"),
        ("+optimizer.typo=1", ConfigError, "no argument 'typo'"),
        ("scheduler.monitor=val_iuo", ConfigError, "did you mean 'val_iou'"),
        ("callbacks.early_stopping.monitor=val_iuo", ConfigError, "did you mean 'val_iou'"),
    ],
)
def test_wrong_choices_stop_before_a_run_exists(shared_ponds, tmp_path, override, error, message):
    with pytest.raises(error, match=message):
        run_training(tmp_path, shared_ponds, "logger=none", override)
    assert not (tmp_path / "outputs").exists()


def test_a_second_run_in_the_same_second_gets_a_folder_of_its_own(tmp_path: Path):
    from flood_seg.training.run import new_folder

    assert len({new_folder(tmp_path) for _ in range(3)}) == 3


def test_tiny_options_compose():
    assert compose("train", TINY, TrainConfig).trainer.max_epochs == 2


def test_a_tracker_that_does_not_answer_stops_it_and_leaves_no_empty_folder(shared_ponds, tmp_path):
    with pytest.raises(TrackingError, match="no MLflow server answers there"):
        run_training(tmp_path, shared_ponds, "logger.mlflow.tracking_uri=http://127.0.0.1:1")
    assert not (tmp_path / "outputs").exists()


def test_training_images_of_another_scale_are_refused_before_the_first_step(tmp_path, shared_ponds):
    folder = tmp_path / "data"
    shutil.copytree(shared_ponds, folder)
    for path in (folder / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 100).save(path.with_suffix(".png"))
        path.unlink()
    with pytest.raises(DataError, match=r"png: values from 0 to [12] do not.*9 more of 10.*datamodule.value_scale"):
        run_training(tmp_path, folder)
    assert not (tmp_path / "outputs").exists()


def test_a_class_without_a_pixel_to_learn_from_is_warned_of(tmp_path, shared_ponds, capsys):
    folder = tmp_path / "data"
    shutil.copytree(shared_ponds, folder)
    classes = "datamodule.labels={0:land,255:water,128:ice}"
    run_training(tmp_path, folder, "model=tiny_unet", "task=multiclass", classes, "loss=ce_dice", "debug=fast")
    assert "the training part has no pixel of ice, which the model cannot learn" in capsys.readouterr().err


def test_training_that_diverges_exports_no_model(tmp_path, shared_ponds):
    with pytest.raises(TrainingError, match=r"loss is nan at step \d+ \(epoch \d\)"):
        run_training(
            tmp_path, shared_ponds, "model=tiny_unet", "optimizer.lr=1e30", "trainer.max_epochs=4", "logger=none"
        )
    assert not list((tmp_path / "outputs").rglob("model.onnx"))


def test_training_passes_over_pixels_without_data_whatever_lies_there(shared_ponds, tmp_path):
    """Two runs that differ in nothing but what a label says where it has no data, or a photo behind alpha 0."""
    histories = []
    for fill in (0, 1):
        data = tmp_path / f"set{fill}"
        for kind in ("images", "masks"):
            (data / kind).mkdir(parents=True)
        for path in sorted((shared_ponds / "masks").iterdir()):
            mask = (np.array(Image.open(path)) > 0).astype(np.uint8)
            photo = np.array(Image.open(shared_ponds / "images" / f"{path.stem}.jpg"))
            alpha = np.full(mask.shape, 255, np.uint8)
            alpha[:, -9:], photo[:, -9:], mask[:, -9:] = 0, 200 * fill, fill
            Image.fromarray(np.dstack([photo, alpha])).save(data / "images" / f"{path.stem}.png")
            place = {"crs": "EPSG:32632", "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}
            hidden = np.zeros(mask.shape, bool)
            hidden[:12], mask[:12] = True, fill
            with rasterio.open(
                data / "masks" / f"{path.stem}.tif", "w", height=64, width=80, count=1, dtype="uint8", **place
            ) as out:
                out.write(mask, 1)
                out.write_mask(~hidden)
        summary = run_training(tmp_path / str(fill), data, "datamodule.width=80", "logger=none", "trainer.max_epochs=1")
        histories.append(read_history(summary.run_dir / "history.csv")[0])
    times = {name for name in histories[0] if "second" in name or "time" in name}
    for name in histories[0].keys() - times:
        assert histories[0][name] == histories[1][name], name
    assert 0 < histories[0]["val_loss"] < 5, "255 is no target"


def test_a_run_name_is_taken_once_and_resumes_its_own_run(tmp_path, shared_ponds, monkeypatch, capsys):
    from flood_seg.verbs.train import train

    monkeypatch.chdir(tmp_path)
    words = [*TINY, "logger=none", "model=tiny_unet", f"datamodule.data_dir={shared_ponds}", "trainer.max_epochs=1"]
    first = train([*words, "run_name=one"])
    other = train([*words, "run_name=two"])
    assert first.run_dir != other.run_dir
    with pytest.raises(ConfigError, match="run_name=one: plots/one exists; choose another name, or resume=auto"):
        train([*words, "run_name=one"])
    again = train([*words, "run_name=one", "resume=auto", "trainer.max_epochs=2"])
    assert again.run_dir == first.run_dir.resolve() and again.epochs == 2  # the newest run is another
