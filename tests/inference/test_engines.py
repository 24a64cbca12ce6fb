import json
from pathlib import Path

import numpy as np
import pytest

from flood_seg.cli import main as cli
from flood_seg.errors import ConfigError, ModelError, UsageError
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.engines import (
    Engine,
    choose_engine,
    open_backend,
    parse_engine,
    short_name,
)
from tests.conftest import write_ponds
from tests.inference.conftest import red_spec, write_model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("best.ckpt", Engine("torch", (), "best.ckpt")),
        ("a/model.onnx", Engine("onnxruntime", (), "a/model.onnx")),
        ("model.xml", Engine("openvino", (), "model.xml")),
        ("m.plan", Engine("tensorrt", (), "m.plan")),
        ("openvino:model.onnx", Engine("openvino", (), "model.onnx")),
        ("openvino,precision=f,threads=1:m.onnx", Engine("openvino", ("precision=f", "threads=1"), "m.onnx")),
        ("triton:host:8000/m", Engine("triton", (), "host:8000/m")),
        ("grpc://host/m", Engine("triton", (), "grpc://host/m")),
        ("odd:name.onnx", Engine("onnxruntime", (), "odd:name.onnx")),
    ],
)  # fmt: skip
def test_a_name_tells_the_engine(text, expected):
    assert parse_engine(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "hint"), [("model.pt", "ENGINE:MODEL"), ("openvnio:m.onnx", "did you mean 'openvino'")]
)
def test_a_name_that_tells_none_is_refused(text, hint):
    with pytest.raises(UsageError, match=hint):
        parse_engine(text)


def test_options_are_checked_as_on_the_command_line():
    assert parse_engine("openvino,threads=3:m.onnx").node()["threads"] == 3
    with pytest.raises(ConfigError, match=r"backend.thread: no such key .did you mean 'backend.threads'"):
        parse_engine("openvino,thread=3:m.onnx").node()


def test_a_models_suffix_chooses_where_the_user_did_not():
    assert choose_engine(["threshold=0.3"], "best.ckpt")[0] == ["backend=torch", "threshold=0.3"]
    assert choose_engine(["backend=openvino"], "model.onnx")[0] == ["backend=openvino"]
    assert choose_engine([], None)[0] == [] and choose_engine([], "model.unknown")[0] == []


def test_a_model_may_be_given_with_its_engine():
    assert choose_engine(["threshold=0.3"], "openvino,threads=3,precision=float32:m.onnx") == (
        ["backend=openvino", "backend.threads=3", "backend.precision=float32", "threshold=0.3"],
        "m.onnx",
    )
    assert choose_engine([], "triton:host:8000/m") == (["backend=triton"], "host:8000/m")
    assert choose_engine(["backend=openvino"], "m.onnx") == (["backend=openvino"], "m.onnx")
    assert choose_engine([], "odd:name.onnx") == (["backend=onnxruntime"], "odd:name.onnx")
    with pytest.raises(UsageError, match="names an engine, and so does backend=torch"):
        choose_engine(["backend=torch"], "openvino:m.onnx")
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        choose_engine([], "openvnio:m.onnx")


def test_a_runs_folder_stands_for_its_model(tmp_path):
    (tmp_path / "best.ckpt").touch()
    assert choose_engine([], str(tmp_path)) == (["backend=torch"], f"{tmp_path}/best.ckpt")
    with pytest.raises(ModelError, match="holds no model.onnx; give the folder of a run"):
        parse_engine(f"openvino:{tmp_path}")
    (tmp_path / "model.onnx").touch()
    assert choose_engine([], str(tmp_path)) == (["backend=onnxruntime"], f"{tmp_path}/model.onnx")
    assert choose_engine(["backend=torch"], str(tmp_path)) == (["backend=torch"], f"{tmp_path}/best.ckpt")
    assert parse_engine(str(tmp_path)) == Engine("onnxruntime", (), f"{tmp_path}/model.onnx")
    assert parse_engine(f"torch:{tmp_path}") == Engine("torch", (), f"{tmp_path}/best.ckpt")


def test_infer_evaluate_and_overlay_take_an_engine_with_the_model(tmp_path, monkeypatch, capsys):
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    write_ponds(tmp_path / "data", 3)
    write_model(tmp_path / "run" / "model.onnx", red_spec())
    engine = "openvino,precision=float32:run/model.onnx"
    cli.main(["infer", "--onnx", engine, "--image", "data/images/00.jpg", "--out", "m.png", "--json", "r.json"])
    assert json.loads(Path("r.json").read_text())["engine"] == "openvino cpu float32" and Path("m.png").is_file()
    cli.main(["evaluate", "--model", engine, "--data", "data", "--out", "by_openvino"])
    cli.main(["evaluate", "--model", "run", "--data", "data", "--out", "by_folder"])
    first, second = (json.loads(Path(f"by_{name}/metrics.json").read_text()) for name in ("openvino", "folder"))
    assert first["engine"] == "openvino cpu float32" and second["engine"] == "onnxruntime cpu"
    assert second["model"] == "run/model.onnx" and first["iou"] == pytest.approx(second["iou"], abs=0.01)
    cli.main(["data", "overlay", "--data", "data", "--model", engine, "--out", "o"])
    assert Path("o/sheet_1.jpg").is_file()
    cli.main(["evaluate", "--model", engine, "--data", "data", "--goal", "f1", "--save"])
    assert "run/model.onnx: threshold" in capsys.readouterr().out


def test_a_warm_up_runs_before_the_first_image(red_model, monkeypatch):
    shapes = []
    run = OnnxRuntimeBackend.run
    monkeypatch.setattr(OnnxRuntimeBackend, "run", lambda self, batch: shapes.append(batch.shape) or run(self, batch))
    open_backend(parse_engine(str(red_model)).node(), str(red_model), warmup=2)
    assert shapes == [(1, 3, 64, 64)] * 2
    assert np.isfinite(
        open_backend(parse_engine(str(red_model)).node(), str(red_model)).run(np.zeros((1, 3, 8, 8), "f4"))
    ).all()


def test_short_names_for_tables():
    assert short_name("openvino,threads=1:a/model.onnx") == short_name("a/model.onnx") == "model.onnx"
    assert short_name("grpc://127.0.0.1:8001/flood") == "flood"
