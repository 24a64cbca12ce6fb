import pytest

from flood_seg.errors import ModelError
from flood_seg.inference import models


def test_the_newest_run_that_has_a_model_is_taken(tmp_path):
    for run, has in (("2026-01-02/03-00-00", True), ("2026-01-10/02-00-00", True), ("2026-01-10/09-00-00", False)):
        (tmp_path / run).mkdir(parents=True)
        if has:
            (tmp_path / run / "model.onnx").write_bytes(b"")
    assert models.default_model(tmp_path) == (tmp_path / "2026-01-10/02-00-00/model.onnx", "newest run")


def test_without_a_run_it_is_the_bundled_one(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "bundled_model", lambda: tmp_path / "bundled.onnx")
    assert models.default_model(tmp_path / "outputs") == (tmp_path / "bundled.onnx", "bundled")


def test_without_either_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "bundled_model", lambda: None)
    with pytest.raises(ModelError, match="train one with 'flood-seg train' or give --onnx"):
        models.default_model(tmp_path / "outputs")
