import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flood_seg.imaging.display import FALSE_ALARM, HIT, MISS
from flood_seg.plots.history import plot_history
from flood_seg.plots.samples import plot_grid, plot_samples
from tests.conftest import make_spec

METRICS = ("loss", "iou", "f1", "accuracy")
TRAIN_ORANGE, VAL_BLUE = (217, 95, 2), (22, 105, 193)


def make_rows(values: list[float]) -> list[dict[str, float]]:
    names = [f"{part}_{metric}" for part in ("train", "val") for metric in METRICS]
    return [{"epoch": float(epoch)} | dict.fromkeys(names, value) for epoch, value in enumerate(values)]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def count(path: Path, color: tuple[int, int, int], tolerance: int = 12) -> int:
    return int((np.abs(pixels(path) - color).max(axis=2) <= tolerance).sum())


def test_there_are_three_plots_a_metric_with_the_right_curves(tmp_path):
    files = plot_history(make_rows([0.2, 0.5, 0.4]), tmp_path / "plots")
    names = [name for m in METRICS for name in (f"train_{m}.png", f"val_{m}.png", f"{m}_comparison.png")]
    assert [path.name for path in files] == names
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(names)
    for path in files:
        assert (count(path, TRAIN_ORANGE) > 0) == (not path.name.startswith("val_")), path.name
        assert (count(path, VAL_BLUE) > 0) == (not path.name.startswith("train_")), path.name


@pytest.mark.parametrize("values", [[0.5], [math.nan], [math.nan, 0.5, math.nan], [math.nan, math.nan]])
def test_few_and_missing_values_are_drawn_without_a_warning(tmp_path, values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = plot_history(make_rows(values), tmp_path)
    seen = any(math.isfinite(value) for value in values)
    assert (count(tmp_path / "train_iou.png", TRAIN_ORANGE) > 0) == seen and len(files) == 12


def test_columns_that_a_run_does_not_have_leave_an_empty_plot(tmp_path):
    plot_history([{"epoch": 0.0, "train_loss": 1.0}, {"epoch": 1.0, "train_loss": 0.5}], tmp_path)
    assert count(tmp_path / "loss_comparison.png", TRAIN_ORANGE) > 0


def test_the_best_epoch_is_the_highest_but_for_the_loss(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    labels, draw = [], Axes.plot

    def spy(self, *args, **options):
        labels.append(options.get("label"))
        return draw(self, *args, **options)

    monkeypatch.setattr(Axes, "plot", spy)
    plot_history(make_rows([0.4, 0.9, 0.2]), tmp_path)
    assert labels.count("best 0.900 in epoch 1") == 6  # three metrics, each in two plots
    assert labels.count("best 0.200 in epoch 2") == 2  # the loss


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey photo; water in its left half; a prediction of its upper half."""
    truth, predicted = np.zeros((2, 64, 64), np.uint8)
    truth[:, :32] = 1
    predicted[:32] = 1
    return np.full((64, 64, 3), 128, np.uint8), truth, predicted


def test_hits_misses_and_false_alarms_have_their_colours_in_the_prediction_alone(tmp_path):
    image, truth, predicted = scene()
    path = plot_samples([image], [truth], [predicted], ["a: IoU 0.33"], tmp_path / "new" / "samples.png", make_spec())
    picture = pixels(path)
    tints = [np.rint(0.55 * np.array(color) + 0.45 * 128) for color in (HIT, MISS, FALSE_ALARM)]
    areas = [(np.abs(picture - tint).max(axis=2) <= 3) for tint in tints]
    assert all(area.sum() > 5000 for area in areas)
    assert all(np.flatnonzero(area.any(axis=0)).min() > 0.6 * picture.shape[1] for area in areas)
    hit, miss, alarm = (np.argwhere(area).mean(axis=0) for area in areas)
    assert hit[0] < miss[0] and hit[1] < alarm[1], "upper left: found; lower left: missed; upper right: false"


@pytest.mark.parametrize("title", ["cost $5 and $\\x", "洪水", "a" * 300, ""])
def test_any_file_name_makes_a_title(tmp_path, title):
    image, truth, predicted = scene()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short, long = (
            plot_samples([image], [truth], [predicted], [text], tmp_path / f"{len(text)}.png", make_spec())
            for text in ("x", title)
        )
    assert pixels(short).shape == pixels(long).shape


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_grid_holds_every_image(tmp_path, number):
    image, truth, _ = scene()
    path = plot_grid([image] * number, [truth] * number, tmp_path / "grid.png", [(0, 0, 0), HIT])
    assert count(path, (128, 128, 128), 2) > number * 10_000, "the dry half of each"


def test_no_picture_needs_a_window_or_a_global_figure(tmp_path):
    plot_history(make_rows([0.5]), tmp_path)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
