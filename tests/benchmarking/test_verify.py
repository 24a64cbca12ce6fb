import json

import pytest

from flood_seg.benchmarking.verify import verify
from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, VerifyOptions
from flood_seg.errors import DataError, DisagreementError, ModelError, UsageError
from flood_seg.evaluation.eval_images import load_images
from tests.conftest import write_ponds
from tests.inference.conftest import red_spec, write_model

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    write_ponds(folder / "data", 3)
    write_model(folder / "a.onnx", red_spec())
    write_model(folder / "b.onnx", red_spec(), bias=[-11.0])  # finds more
    write_model(folder / "c.onnx", red_spec(height=32))
    return folder


def config(folder, tolerance=0.01, images=32):
    return defaults(DataConfig, data_dir=str(folder / "data")), defaults(
        VerifyOptions, images=images, tolerance=tolerance
    )


def test_one_model_in_two_engines_agrees(scene, tmp_path, capsys):
    models = [str(scene / "a.onnx"), f"openvino,precision=float32:{scene / 'a.onnx'}"]
    (found,) = verify(*config(scene), models, tmp_path / "verify.json")
    assert found.probability < 1e-4 and found.mask_iou > 0.999
    record = json.loads((tmp_path / "verify.json").read_text())
    assert [model["engine"] for model in record["models"]] == ["onnxruntime cpu", "openvino cpu float32"]
    assert all(model["milliseconds"] > 0 and model["memory_mb"] > 20 for model in record["models"])
    assert "All agree" in capsys.readouterr().out


def test_a_model_that_answers_otherwise_is_told_and_the_exit_code_is_1(scene, capsys):
    with pytest.raises(
        DisagreementError, match=r"b.onnx: differs from .*a.onnx by more than verify.tolerance=0.01"
    ) as caught:
        verify(*config(scene), [str(scene / "a.onnx"), str(scene / "a.onnx"), str(scene / "b.onnx")])
    assert caught.value.exit_code == 1
    assert "differs" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(scene):
    with pytest.raises(ModelError, match="its height is 32, the first model's 64"):
        verify(*config(scene), [str(scene / "a.onnx"), str(scene / "c.onnx")])
    with pytest.raises(ModelError, match="no such file"):  # from the other process, as itself
        verify(*config(scene), [str(scene / "no.onnx"), str(scene / "a.onnx")])
    with pytest.raises(UsageError, match="two or more"):
        verify(*config(scene), [str(scene / "a.onnx")])


def test_synthetic_scenes_measure_only_models_of_water(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos, origin = load_images(defaults(DataConfig), red_spec(), 2)
    assert origin == "synthetic scenes" and all(photo.mask is not None for photo in photos)
    others, _ = load_images(defaults(DataConfig), red_spec(class_names=("background", "building")), 2)
    assert all(photo.mask is None for photo in others), "an IoU of buildings against water would be wrong"


def test_the_words_of_verify_suit_every_model(scene, tmp_path, capsys):
    write_model(tmp_path / "b.onnx", red_spec(class_names=("background", "building")))
    verify(*config(scene), [str(tmp_path / "b.onnx")] * 2, tmp_path / "verify.json")
    assert "water" not in capsys.readouterr().out + (tmp_path / "verify.json").read_text()


def test_photos_without_masks_and_no_data_at_all_will_do(scene, tmp_path, monkeypatch, capsys):
    models = [str(scene / "a.onnx")] * 2
    photos = defaults(DataConfig, data_dir=str(scene / "data" / "images")), defaults(VerifyOptions)
    assert verify(*photos, models)[0].flipped == 0
    monkeypatch.chdir(tmp_path)
    assert verify(defaults(DataConfig), defaults(VerifyOptions), models)[0].flipped == 0
    assert "synthetic scenes" in capsys.readouterr().out
    with pytest.raises(DataError, match="nowhere: no such folder"):
        verify(defaults(DataConfig, data_dir="nowhere"), defaults(VerifyOptions), models)
