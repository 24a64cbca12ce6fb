from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError
from flood_seg.training.history import best_row, read_history
from tests.conftest import write_ponds
from tests.training.conftest import run_training


def test_further_sets_are_measured_apart_in_every_second_epoch_and_the_last(shared_ponds, tmp_path):
    dry = write_ponds(tmp_path / "dry", 3)
    for mask in (dry / "masks").iterdir():
        Image.fromarray(np.zeros((64, 80), np.uint8)).save(mask)
    extra = f"datamodule.extra_val={{wet:{{data_dir:'{shared_ponds}'}},dry:{{data_dir:'{dry}'}}}}"
    options = ["datamodule.extra_val_every=2", "trainer.max_epochs=3", "logger=none"]
    summary = run_training(tmp_path, shared_ponds, extra, *options)
    rows = read_history(summary.run_dir / "history.csv")
    assert [("val_dry_accuracy" in row, "val_wet_iou" in row) for row in rows] == [
        (False, False),
        (True, True),
        (True, True),
    ]
    assert all("val_iou" in row for row in rows)
    # Without water IoU is 1 or 0, and accuracy the share of pixels that stay dry.
    assert rows[-1]["val_dry_iou"] in (0, 1) and rows[-1]["val_dry_recall"] == rows[-1]["val_dry_iou"]
    assert rows[-1]["val_wet_iou"] != rows[-1]["val_iou"], "all ponds, not the validation part"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{rain:{data_dr:data}}", "datamodule.extra_val.rain=.*give its folder"),
        ("{rain:{data_dir:data,heigth:3}}", "extra_val.rain.heigth: no such key"),
        ("{a-b:{data_dir:data}}", "letters, digits"),
    ],
)
def test_a_set_that_says_too_little_or_too_much_is_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        compose("train", [f"datamodule.extra_val={value}"], TrainConfig)


def write_sets(folder: Path) -> None:
    """Two more sets, one of them with a validation folder alone."""
    write_ponds(folder / "rain", 3)
    write_ponds(folder / "snow" / "val", 4)


def sets_of(value: str) -> dict:
    return compose("train", [f"datamodule.extra_val={value}"], TrainConfig).datamodule.extra_val


def test_sets_are_listed_as_folders_or_in_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sets(tmp_path)
    assert sets_of("[rain,snow/val]") == {"rain": {"data_dir": "rain"}, "snow": {"data_dir": "snow/val"}}
    assert sets_of("rain") == {"rain": {"data_dir": "rain"}}
    assert set(sets_of("[2023/rain-fall,2024/rain-fall]")) == {"2023_rain_fall", "2024_rain_fall"}
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "more.txt").write_text("# beside this file\n../rain\n\n../snow\n")
    found = sets_of("lists/more.txt")
    assert [Path(one["data_dir"]).resolve() for one in found.values()] == [tmp_path / "rain", tmp_path / "snow"]
    assert set(found) == {"rain", "snow"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["datamodule.extra_val=[a,a]"], "extra_val: a is listed twice"),
        (["datamodule.extra_val=3"], "extra_val=3: give folders"),
        (["datamodule.extra_val=[[a]]"], "give a folder, or a list of folders"),
        (["datamodule.extra_val=no.txt"], "extra_val=no.txt: cannot be read"),
        (["datamodule.extra_val=empty.txt"], "lists no folder"),
        (["datamodule.extra_val_only=true"], "give these sets"),
        (["datamodule.extra_val=[a]", "datamodule.extra_val_only=true", "datamodule.extra_val_every=2"], "each epoch"),
        (
            ["datamodule.extra_val=[a]", "datamodule.extra_val_only=true", "debug=overfit"],
            "leave out datamodule.extra_",
        ),
        (
            ["datamodule.extra_val=[a]", "datamodule.extra_val_every=2", "callbacks.checkpoint.monitor=val_a_iou"],
            "val_a_iou: is not measured in each epoch",
        ),
    ],
)
def test_sets_that_cannot_be_measured_are_refused(overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("# none\n")
    with pytest.raises(ConfigError, match=message):
        compose("train", overrides, TrainConfig)


def test_a_checkpoint_is_chosen_on_further_sets_alone(tmp_path, shared_ponds, capsys):
    write_sets(tmp_path)
    for mask in (tmp_path / "rain" / "masks").iterdir():
        Image.fromarray(np.zeros((64, 80), np.uint8)).save(mask)
    sets = f"datamodule.extra_val=['{tmp_path}/rain','{tmp_path}/snow']"
    only = [sets, "datamodule.extra_val_only=true", "logger=none"]
    summary = run_training(tmp_path, shared_ponds, *only)
    out = capsys.readouterr().out
    samples = len(list((shared_ponds / "images").iterdir()))
    assert (
        f"{samples} training samples, 7 validation samples (rain and snow only)" in out and "rain and snow only," in out
    )
    split = (summary.run_dir / "split.txt").read_text().splitlines()
    assert len(split) == samples and all(line.startswith("train\t") for line in split), "none is held out"
    rows = read_history(summary.run_dir / "history.csv")
    best = max(rows, key=lambda row: row["val_iou"])
    assert summary.best_epoch == best["epoch"]
    for row in rows:
        # All pixels of both sets counted as one: accuracy is the mean weighted by the sets' pixels.
        assert row["val_accuracy"] == pytest.approx((3 * row["val_rain_accuracy"] + 4 * row["val_snow_accuracy"]) / 7)
        assert row["val_loss"] == pytest.approx((3 * row["val_rain_loss"] + 4 * row["val_snow_loss"]) / 7, rel=1e-4)
        assert row["val_image_iou"] == pytest.approx(
            (3 * row["val_rain_image_iou"] + 4 * row["val_snow_image_iou"]) / 7
        )
    assert f"val_iou={best['val_iou']:.4f}" in summary.best_checkpoint.resolve().name
    resumed = run_training(tmp_path, shared_ponds, *only, "trainer.max_epochs=3", f"resume={summary.run_dir}")
    assert [row["epoch"] for row in read_history(resumed.run_dir / "history.csv")] == [0, 1, 2]


def test_a_summary_tells_of_the_epoch_that_the_checkpoint_is_of(tmp_path, shared_ponds, capsys, monkeypatch):
    write_sets(tmp_path)
    options = [f"datamodule.extra_val=['{tmp_path}/rain']", "callbacks.checkpoint.monitor=val_rain_loss",
               "callbacks.checkpoint.mode=min", "trainer.max_epochs=3", "optimizer.lr=1e-5", "logger=none"]  # fmt: skip
    summary = run_training(tmp_path, shared_ponds, *options)
    rows = read_history(summary.run_dir / "history.csv")
    assert summary.best_epoch == min(rows, key=lambda row: row["val_rain_loss"])["epoch"]
    assert f"best-epoch={summary.best_epoch:02d}-" in summary.best_checkpoint.resolve().name
    assert f"Best epoch {summary.best_epoch} by val_rain_loss" in capsys.readouterr().out


def test_the_best_row_is_that_of_the_monitored_metric():
    rows = [{"epoch": 0, "val_iou": 0.9, "val_a_loss": 3.0}, {"epoch": 1, "val_iou": 0.1, "val_a_loss": 1.0}]
    assert best_row(rows)["epoch"] == 0 and best_row(rows, "val_a_loss", "min")["epoch"] == 1
    assert best_row([{"epoch": 0, "val_iou": float("nan")}, *rows])["val_iou"] == 0.9


def test_a_further_sets_metric_can_be_watched():
    extra = "datamodule.extra_val={rain:{data_dir:data}}"
    compose("train", [extra, "callbacks.checkpoint.monitor=val_rain_iou"], TrainConfig)
    with pytest.raises(ConfigError, match="val_rain_iou"):
        compose("train", ["callbacks.checkpoint.monitor=val_rain_iou"], TrainConfig)
