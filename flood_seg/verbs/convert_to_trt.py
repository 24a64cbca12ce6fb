"""`flood-seg convert-to-trt`: build a TensorRT plan of an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_overrides, as_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

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

    from flood_seg.export.tensorrt import convert_to_trt as run

    return run(config, as_path(onnx), as_path(trt), height, width)
