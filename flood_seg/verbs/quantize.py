"""`flood-seg quantize`: make a smaller and faster model, if its accuracy stays within a bound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_path, data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.verbs.common import PathLike


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
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import QuantizeConfig
    from flood_seg.inference.models import default_model

    config = compose("quantize", [*overrides, *data_dir(data)], QuantizeConfig)

    from flood_seg.export.quantize import quantize as run

    source = as_path(onnx) or default_model(Path(config.output_dir))[0]
    return run(config.datamodule, config.quantize, source, as_path(out), config.seed)
