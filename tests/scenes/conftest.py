"""A fully convolutional model whose answer for a pixel depends on its neighbourhood of 9×9 pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
from onnx import TensorProto, helper, numpy_helper
from rasterio.transform import from_origin

from flood_seg.inference.backends.onnxruntime import OnnxRuntimeBackend
from flood_seg.spec import METADATA_KEY, ModelSpec
from tests.conftest import make_spec

RADIUS = 4


def write_smoothing_model(path: Path, spec: ModelSpec) -> Path:
    """Writes a model whose logits are random weighted sums of 9×9 pixels of all bands."""
    random = np.random.default_rng(0)
    channels, side = spec.logit_channels, 2 * RADIUS + 1
    kernel = random.normal(0, 1.2, (channels, len(spec.bands), side, side)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "w"], ["output"], pads=[RADIUS] * 4)],
        "smoothing",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", len(spec.bands), "height", "width"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", channels, "height", "width"])],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, path)
    return path


def write_scene(path: Path, image: np.ndarray, **profile: object) -> Path:
    """Writes [H, W, bands] as a tiled GeoTIFF of 0.5 m in UTM 32N."""
    height, width, count = image.shape
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "crs": "EPSG:32632",
               "transform": from_origin(500_000, 5_000_000, 0.5, 0.5)} | profile  # fmt: skip
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=count, dtype=image.dtype,
                       **options) as out:  # fmt: skip
        out.write(np.moveaxis(image, 2, 0))
    return path


@pytest.fixture(scope="session")
def smoothing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `write_smoothing_model`; 64×64 pixels."""
    return write_smoothing_model(tmp_path_factory.mktemp("models") / "smoothing.onnx", make_spec())


@pytest.fixture
def smoothing_backend(smoothing_model: Path) -> OnnxRuntimeBackend:
    return OnnxRuntimeBackend(smoothing_model)
