"""`flood-seg benchmark`: measure accuracy and speed of models and engines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.verbs.common import as_path, data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.benchmarking.results import EngineResult
    from flood_seg.verbs.common import PathLike


def benchmark(
    overrides: Sequence[str] = (),
    *,
    models: Sequence[str] = (),
    data: PathLike | None = None,
    out: PathLike | None = None,
) -> list[EngineResult]:
    """Measure accuracy and speed of models and engines, in turns."""
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import BenchmarkConfig

    config = compose("benchmark", [*overrides, *data_dir(data)], BenchmarkConfig)

    from flood_seg.benchmarking.benchmark import benchmark as run
    from flood_seg.benchmarking.benchmark import default_engines

    models = models or default_engines(Path(config.output_dir))
    return run(config.datamodule, config.benchmark, models, as_path(out))
