"""The verbs that make a model file: `flood-seg convert-to-onnx`, `convert-to-trt` and `quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema import ExportConfig, QuantizeConfig, TensorRtConfig
from flood_seg.verbs.common import as_overrides, as_path, data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


def convert_to_onnx(
    overrides: Sequence[str] = (),
    *,
    ckpt: PathLike | None = None,
    onnx: PathLike | None = None,
    height: int | None = None,
    width: int | None = None,
) -> Path:
    """Export a checkpoint and compare the file with PyTorch; return its path."""
    config = compose("export", overrides, ExportConfig)

    from flood_seg.export.convert import convert_to_onnx as run
    from flood_seg.export.convert import newest_best

    assert config.tolerance is not None  # filled in by the schema
    return run(
        as_path(ckpt) or newest_best(Path(config.output_dir)), as_path(onnx),
        opset=config.opset, weights=config.weights, tolerance=config.tolerance, height=height, width=width,
    )  # fmt: skip


def convert_to_trt(
    overrides: Sequence[str] = (),
    *,
    onnx: PathLike | None = None,
    trt: PathLike | None = None,
    height: int | None = None,
    width: int | None = None,
    docker_version: str | None = None,
) -> Path:
    """Build a TensorRT plan for this machine's GPU; return its path."""
    version = as_overrides({"export.docker_version": docker_version or None})
    config = compose("convert_to_trt", [*overrides, *version], TensorRtConfig)

    from flood_seg.export.tensorrt import build_plan, default_plan

    source = _model(onnx, config.output_dir)
    return build_plan(source, as_path(trt) or default_plan(source), config.export, height, width)


def quantize(
    overrides: Sequence[str] = (),
    *,
    onnx: PathLike | None = None,
    out: PathLike | None = None,
    data: PathLike | None = None,
) -> Path:
    """Make a smaller and faster model; return its path.

    Raises:
        FloodSegError: the model would lose more accuracy than allowed, or cannot be read; nothing is written.
    """
    config = compose("quantize", [*overrides, *data_dir(data)], QuantizeConfig)

    from flood_seg.export.quantize import quantize as run

    return run(config.datamodule, config.quantize, _model(onnx, config.output_dir), as_path(out), config.seed)


def _model(onnx: PathLike | None, output_dir: str) -> Path:
    from flood_seg.inference.models import default_model

    return as_path(onnx) or default_model(Path(output_dir))[0]
