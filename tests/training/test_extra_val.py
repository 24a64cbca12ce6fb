import numpy as np
import pytest
from PIL import Image

from flood_seg.config import compose
from flood_seg.errors import ConfigError
from flood_seg.schema import TrainConfig
from flood_seg.training.history import read_history
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


def test_a_further_sets_metric_can_be_watched():
    extra = "datamodule.extra_val={rain:{data_dir:data}}"
    compose("train", [extra, "callbacks.checkpoint.monitor=val_rain_iou"], TrainConfig)
    with pytest.raises(ConfigError, match="val_rain_iou"):
        compose("train", ["callbacks.checkpoint.monitor=val_rain_iou"], TrainConfig)
