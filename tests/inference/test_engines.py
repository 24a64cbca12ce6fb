import numpy as np
import pytest

from flood_seg.errors import ConfigError, UsageError
from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.inference.engines import Engine, open_backend, parse_engine, short_name, with_engine


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
    assert with_engine(["threshold=0.3"], "best.ckpt") == ["backend=torch", "threshold=0.3"]
    assert with_engine(["backend=openvino"], "model.onnx") == ["backend=openvino"]
    assert with_engine([], None) == [] and with_engine([], "model.unknown") == []


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
