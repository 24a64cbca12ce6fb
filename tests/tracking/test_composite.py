"""Every tracker for real, where it needs no network."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flood_seg.cli.main import main
from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError, OutputError, TrackingError
from flood_seg.tracking.composite import Trackers, open_trackers
from flood_seg.tracking.contract import RunInfo, Tracker
from tests.processes import Forked
from tests.training.conftest import run_training

KEYS = ("WANDB_API_KEY", "WANDB_MODE", "COMET_API_KEY", "CLEARML_API_ACCESS_KEY", "CLEARML_CONFIG_FILE")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A home without a key of any service."""
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path


def nodes(*names: str, **changes: str) -> dict:
    overrides = [f"logger=[{','.join(names)}]", *(f"logger.{key}={value}" for key, value in changes.items())]
    return compose("train", overrides, TrainConfig).logger


def test_a_service_without_a_key_says_so_before_anything_is_trained(nowhere, shared_ponds, monkeypatch, capfd):
    monkeypatch.chdir(nowhere)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "logger=[csv,wandb]", "model=tiny_unet", "datamodule.height=64",
              f"datamodule.data_dir={shared_ponds}"])  # fmt: skip
    out, errors = capfd.readouterr()
    message = "logger.wandb: there is no key; run 'wandb login', set WANDB_API_KEY, or use logger.wandb.mode=offline"
    assert stopped.value.code == 2 and errors.count("\n") == 1 and message in errors
    assert "epoch" not in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("comet", "logger.comet: there is no key; run 'comet login'"),
        ("clearml", "logger.clearml: there is no clearml.conf; run 'clearml-init'"),
    ],
)
def test_so_do_the_others(name, message, nowhere):
    with pytest.raises(TrackingError, match=message):
        open_trackers(nodes(name), RunInfo("test", nowhere, {}, None))


def work(folder: Path, name: str, runs: int = 1) -> str:
    """Returns what `track` says in a process of its own, which these services want."""
    code, output = Forked(folder, track, folder, name, runs).finish()
    assert code == 0 and "failed" not in output, output
    return output


def track(folder: Path, name: str, runs: int) -> None:
    """Runs of three epochs of metrics, pictures and a file."""
    (folder / "curve.png").write_bytes(b"a plot")
    for _ in range(runs):
        trackers = open_trackers(
            nodes(name, **{f"{name}.mode": "offline"}), RunInfo("test", folder, {"optimizer.lr": 0.1}, "abc")
        )
        for epoch in range(3):
            trackers.log_metrics({"epoch": epoch, "val_iou": epoch / 4}, 70 * epoch)
            trackers.log_image("worst/1", np.full((20, 30, 3), 40, np.uint8), epoch)
        trackers.log_artifacts({"plots": [folder / "curve.png"], "onnx": []})
        trackers.close()
        print("found", trackers.description)


def test_wandb_offline_writes_a_folder_to_be_sent_later(nowhere):
    said = work(nowhere, "wandb")
    (run,) = nowhere.glob("wandb/offline-run-*")
    assert f"wandb sync wandb/{run.name}" in said
    assert list(run.glob("*.wandb")) and len(list(run.glob("files/media/images/worst/*.png"))) == 3


def test_comet_offline_writes_an_archive_with_all_in_it(nowhere):
    said = work(nowhere, "comet")
    (archive,) = nowhere.glob("*.zip")
    assert "comet upload" in said
    with zipfile.ZipFile(archive) as opened:
        text = "\n".join(
            opened.read(name).decode(errors="ignore") for name in opened.namelist() if name.endswith(".json")
        )
    for expected in ("val_iou", "optimizer.lr", "abc", "plots/curve.png"):
        assert expected in text, expected


def test_clearml_offline_writes_an_archive_with_all_in_it_a_run_of_a_process(nowhere):
    said = work(nowhere, "clearml", runs=2)
    archive, other = (nowhere / "home").glob(".clearml/cache/offline/*.zip")
    assert archive.name in said and other.name in said
    with zipfile.ZipFile(archive) as opened:
        metrics = opened.read("metrics.jsonl").decode()
        task = json.loads(opened.read("task.json"))
    assert "iou" in metrics and "optimizer.lr" in json.dumps(task)


@pytest.mark.usefixtures("no_curves")
def test_tensorboard_gets_curves_by_epoch_and_pictures_of_the_worst(shared_ponds, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ["logger=[csv,tensorboard]", "logger.tensorboard.worst=2", "model=tiny_unet"]
    summary = run_training(tmp_path, shared_ponds, *options)
    events = EventAccumulator(str(summary.run_dir / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    points = events.Scalars("val_iou")
    assert [point.step for point in points] == [0, 1]
    assert max(point.value for point in points) == pytest.approx(summary.metrics["val_iou"], abs=1e-6)
    assert {"train_loss", "val_loss", "train_iou"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"] == ["worst/1", "worst/2"]
    first = events.Images("worst/1")
    assert [image.step for image in first] == [0, 1] and first[0].width > 300
    assert "optimizer.lr" in events.Tensors("configuration/text_summary")[0].tensor_proto.string_val[0].decode()
    assert (summary.run_dir / "csv" / "metrics.csv").is_file(), "both at once"


def test_tensorboard_collects_all_runs_in_save_dir_each_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = nodes("tensorboard", **{"tensorboard.save_dir": "logs"})
    for time in ("10-00-00", "11-00-00", "11-00-00"):  # the last one is resumed
        folder = tmp_path / "outputs" / "2026-11-20" / time
        folder.mkdir(parents=True, exist_ok=True)
        trackers = open_trackers(options, RunInfo("ponds", folder, {"optimizer.lr": 0.1}, None))
        trackers.log_metrics({"epoch": 0, "val_iou": 0.5})
        trackers.close()
        assert trackers.description == "tensorboard --logdir logs"
    found = sorted(tmp_path.glob("logs/*"))
    assert [folder.name for folder in found] == ["ponds_2026-11-20_10-00-00", "ponds_2026-11-20_11-00-00"]
    assert [len(list(folder.glob("events.out.*"))) for folder in found] == [1, 2]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file is a file; choose another place"):
        open_trackers(nodes("tensorboard", **{"tensorboard.save_dir": "file"}), RunInfo("x", tmp_path, {}, None))


def test_the_worst_samples_are_those_with_the_lowest_iou():
    import torch

    from flood_seg.training.sample_plots import WorstSamples

    trackers = Trackers([])
    callback = WorstSamples(trackers)
    callback.count = 2

    class Module:
        class spec:
            task = "binary"

    ious = [0.5, 0.1, 0.9, 0.0, 0.3]
    for start in (0, 2, 4):
        chosen = ious[start : start + 2]
        matrices = torch.tensor([[[0, int(1000 - 1000 * iou)], [0, int(1000 * iou)]] for iou in chosen])
        outputs = {"matrices": matrices, "predicted": torch.zeros(len(chosen), 2, 2)}
        callback.on_validation_batch_end(None, Module, outputs, {"index": torch.arange(start, start + len(chosen))}, 0)
    assert [index for _, index, _ in callback._worst] == [3, 1]


class Broken(Tracker):
    name = "Broken"

    def log_metrics(self, metrics, epoch):
        raise ConnectionError("gone\nfor good")


class Kept(Tracker):
    name = "Kept"

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def log_metrics(self, metrics, epoch):
        self.epochs.append(epoch)


def test_one_that_fails_is_named_once_and_the_others_go_on(capsys):
    kept = Kept()
    trackers = Trackers([Broken(), kept])
    for epoch in range(3):
        trackers.log_metrics({"epoch": epoch, "val_iou": 0.5}, 99)
    assert kept.epochs == [0, 1, 2]
    assert capsys.readouterr().err == (
        "flood-seg: Broken failed to record the metrics (gone); training goes on, all lies in the run's folder too\n"
    )


def test_what_is_no_tracker_is_named(tmp_path):
    with pytest.raises(ConfigError, match="logger.csv=3: a tracker is a group"):
        open_trackers({"csv": 3}, RunInfo("x", tmp_path, {}, None))
    with pytest.raises(ConfigError, match="allowed are .*wandb.*did you mean 'wandb'"):
        nodes("wandbb")


def test_those_opened_before_one_that_cannot_be_are_closed(tmp_path, monkeypatch, nowhere):
    closed = []
    monkeypatch.setattr("flood_seg.tracking.csv.CsvTracker.close", lambda self, failed: closed.append(failed))
    with pytest.raises(TrackingError, match="logger.wandb"):
        open_trackers(nodes("csv", "wandb"), RunInfo("x", tmp_path, {}, None))
    assert closed == [True]
