"""Files of what a model predicts: read back with other libraries."""

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine

from flood_seg.errors import UsageError
from flood_seg.verbs.evaluate import evaluate
from flood_seg.verbs.infer import infer
from tests.inference.conftest import red_spec, write_model

SIZE = (40, 56)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images in train/ and val/; the left half is red, which the model takes for water; the truth is the upper."""
    folder = tmp_path_factory.mktemp("files")
    for part, stem in (("train", "one"), ("val", "two")):
        for kind in ("images", "masks"):
            (folder / "set" / part / kind).mkdir(parents=True)
        image = np.full((*SIZE, 3), 20, np.uint8)
        image[:, : SIZE[1] // 2, 0] = 255
        truth = np.zeros(SIZE, np.uint8)
        truth[: SIZE[0] // 2] = 255
        Image.fromarray(image).save(folder / "set" / part / "images" / f"{stem}.png")
        Image.fromarray(truth).save(folder / "set" / part / "masks" / f"{stem}.png")
    model = write_model(folder / "red.onnx", red_spec(*SIZE))
    kinds = "evaluation.files=[masks,probabilities,differences,overlays,confidence]"
    result = evaluate([kinds, "part=all"], model=model, data=folder / "set", out=folder / "out")
    return folder, result


def test_masks_and_probabilities_lie_in_the_folder_of_their_part(folder):
    out = folder[0] / "out"
    for part, stem in (("train", "one"), ("val", "two")):
        mask = np.asarray(Image.open(out / part / "masks" / f"{stem}.png"))
        expected = np.zeros(SIZE, np.uint8)
        expected[:, : SIZE[1] // 2] = 255
        assert (mask == expected).mean() > 0.99
        probability = cv2.imread(str(out / part / "probabilities" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert probability.dtype == np.uint16 and probability.shape == SIZE
        assert ((probability > 0.5 * 65535) == (mask > 0)).all()


def test_probabilities_are_the_file_that_infer_writes(folder, tmp_path):
    image = folder[0] / "set" / "val" / "images" / "two.png"
    infer(["output.probability=true"], onnx=folder[0] / "red.onnx", image=str(image), out=tmp_path / "two.png")
    written = folder[0] / "out" / "val" / "probabilities" / "two.png"
    assert written.read_bytes() == (tmp_path / "two_probability.png").read_bytes()


def test_probabilities_of_several_classes_are_the_bands_of_a_geotiff(tmp_path):
    spec = red_spec(*SIZE, task="multiclass", class_names=("land", "road", "water"), label_values=(0, 1, 2))
    model = write_model(tmp_path / "m.onnx", spec, weights=(25.5 * np.eye(3)).tolist(), bias=[0.0] * 3)
    place = {"crs": "EPSG:32632", "transform": Affine(0.5, 0, 500000, 0, -0.5, 5400000)}
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    profile = {"height": SIZE[0], "width": SIZE[1], "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "set" / "images" / "a.tif", "w", "GTiff", **profile, **place) as out:
        out.write(np.moveaxis(image, 2, 0))
    Image.fromarray(image.argmax(2).astype(np.uint8)).save(tmp_path / "set" / "masks" / "a.png")
    given = ["evaluation.files=[probabilities]", "datamodule.max_label=2"]
    evaluate(given, model=model, data=tmp_path / "set", out=tmp_path / "out")
    scores = np.exp(image / 10)
    with rasterio.open(tmp_path / "out" / "probabilities" / "a.tif") as written:
        assert written.descriptions == spec.class_names and written.dtypes == ("float32",) * 3
        assert (written.crs, written.transform) == (place["crs"], place["transform"])
        np.testing.assert_allclose(np.moveaxis(written.read(), 0, 2), scores / scores.sum(2, keepdims=True), atol=1e-3)


def test_an_overlay_shows_prediction_in_red_and_truth_in_blue(folder):
    overlay = np.asarray(Image.open(folder[0] / "out" / "val" / "overlays" / "two.jpg")).astype(int)
    outline = overlay[SIZE[0] // 2 - 1, 40]  # of the truth, right of the prediction
    assert outline[2] > outline[0] + 60, "blue"
    confidence = np.asarray(Image.open(folder[0] / "out" / "val" / "confidence" / "two.jpg")).astype(int)
    below, above = confidence[30, 45], confidence[30, 10]
    assert np.ptp(below) < 25 and above[0] > above[2] + 60, "grey below the threshold, red above it"
    assert (folder[0] / "out" / "train" / "differences" / "one.jpg").is_file()


def test_the_best_and_the_worst_are_files_too(folder):
    names = [sorted(path.name for path in (folder[0] / "out" / kind).iterdir()) for kind in ("best", "worst")]
    assert [len(one) for one in names] == [2, 2] and names[0][0].startswith("01_iou0.3")


def test_the_loss_is_among_the_metrics(folder):
    record = folder[1].record
    assert record["loss"] > 0 and [row["loss"] for row in folder[1].rows] == pytest.approx([record["loss"]] * 2)


def test_files_require_a_folder(folder):
    with pytest.raises(UsageError, match="evaluation.files: requires --out FOLDER"):
        evaluate(["evaluation.files=[masks]"], model=folder[0] / "red.onnx", data=folder[0] / "set")
