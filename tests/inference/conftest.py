"""A model whose answers can be computed by hand: the logit is (red - 127.5) / 10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flood_seg.spec import METADATA_KEY, ModelSpec
from tests.conftest import make_spec


def write_model(
    path: Path,
    spec: ModelSpec | None,
    bands: int = 3,
    metadata: str | None = None,
    size: tuple[int | str, int | str] = ("height", "width"),
    weights: list[list[float]] | None = None,
    bias: list[float] | None = None,
) -> Path:
    """Writes the model; its spec has mean 0 and std 1, so that it is fed red / 255; or with weights [class][band]."""
    matrix = np.array(weights or [[25.5] + [0.0] * (bands - 1)], np.float32)[:, :, None, None]
    offset = np.array(bias or [-12.75], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "w", "b"], ["output"])],
        "red",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", bands, *size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", len(offset), *size])],
        [numpy_helper.from_array(matrix, "w"), numpy_helper.from_array(offset, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if spec is not None or metadata is not None:
        helper.set_model_props(model, {METADATA_KEY: metadata if metadata is not None else spec.to_json()})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def red_spec(height: int = 64, width: int = 64, **changes: object) -> ModelSpec:
    return make_spec(height, width, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), **changes)


@pytest.fixture
def red_model(tmp_path: Path) -> Path:
    """See `write_model`; 64 x 64."""
    return write_model(tmp_path / "red.onnx", red_spec())
