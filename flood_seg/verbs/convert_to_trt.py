"""`flood-seg convert-to-trt`: build a TensorRT plan of an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_overrides, as_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


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
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import TensorRtConfig

    version = as_overrides({"export.docker_version": docker_version or None})
    config = compose("convert_to_trt", [*overrides, *version], TensorRtConfig)

    from flood_seg.export.tensorrt import build_plan, default_plan
    from flood_seg.inference.models import default_model

    source = as_path(onnx) or default_model(Path(config.output_dir))[0]
    return build_plan(source, as_path(trt) or default_plan(source), config.export, height, width)
