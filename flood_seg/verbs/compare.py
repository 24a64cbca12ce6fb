"""The verbs that compare engines: `flood-seg verify` and `flood-seg benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import compose
from flood_seg.config.schema import BenchmarkConfig, VerifyConfig
from flood_seg.verbs.common import as_path, data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.benchmarking.results import EngineResult
    from flood_seg.evaluation.agreement import Agreement
    from flood_seg.verbs.common import PathLike


def verify(
    overrides: Sequence[str] = (),
    *,
    models: Sequence[str] = (),
    data: PathLike | None = None,
    out: PathLike | None = None,
) -> list[Agreement]:
    """Compare the first model with each of the others on the same images.

    Raises:
        DisagreementError: one differs by more than the tolerance.
    """
    config = compose("verify", [*overrides, *data_dir(data)], VerifyConfig)

    from flood_seg.benchmarking.verify import verify as run

    return run(config.datamodule, config.verify, models, as_path(out))


def benchmark(
    overrides: Sequence[str] = (),
    *,
    models: Sequence[str] = (),
    data: PathLike | None = None,
    out: PathLike | None = None,
) -> list[EngineResult]:
    """Measure accuracy and speed of models and engines, in turns."""
    config = compose("benchmark", [*overrides, *data_dir(data)], BenchmarkConfig)

    from flood_seg.benchmarking.benchmark import benchmark as run
    from flood_seg.benchmarking.benchmark import default_engines

    models = models or default_engines(Path(config.output_dir))
    return run(config.datamodule, config.benchmark, models, as_path(out))
