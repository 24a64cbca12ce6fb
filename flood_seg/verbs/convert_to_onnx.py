"""`flood-seg convert-to-onnx`: export a checkpoint as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_path

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
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import ExportConfig

    config = compose("export", overrides, ExportConfig)

    from flood_seg.export.convert import convert_to_onnx as run
    from flood_seg.export.convert import newest_best

    assert config.tolerance is not None  # filled in by the schema
    return run(
        as_path(ckpt) or newest_best(Path(config.output_dir)), as_path(onnx),
        opset=config.opset, weights=config.weights, tolerance=config.tolerance, height=height, width=width,
    )  # fmt: skip
