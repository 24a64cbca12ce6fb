import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flood_seg.errors import DataError
from flood_seg.evaluation.evaluate import evaluate
from flood_seg.schema import DataConfig, EvaluateConfig
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
    config = EvaluateConfig(DataConfig(data_dir=str(folder), **data), BACKEND)
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
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == record
    with (tmp_path / "out" / "images.csv").open() as file:
        rows = {row["stem"]: float(row["iou"]) for row in csv.DictReader(file)}
    assert rows == pytest.approx(each, abs=1e-6)


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
    assert "a left out: " in capsys.readouterr().err


def test_nothing_usable_is_an_error(reds):
    model, folder, _ = reds
    for path in (folder / "masks").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no usable pair among 3"):
        run(model, folder)
