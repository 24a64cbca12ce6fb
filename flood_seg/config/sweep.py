"""Sweeps: one configuration for each combination of values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.config.overrides import is_hydras_own, parse
from flood_seg.config.repository import initialized_hydra
from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.override_parser.types import Override


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Expands `model=a,b optimizer.lr=1e-3,3e-4` into the overrides of each job, by Hydra's own rules.

    Hydra's own settings are left out. A search's jobs are not known beforehand: what all of them have in common is one.

    Raises:
        ConfigError: an override that cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.errors import HydraException

    with initialized_hydra():
        parsed = parse(overrides)
        for override in parsed:
            _check_values(override)
        if any(override.key_or_group == "hydra/sweeper" and override.value() != "basic" for override in parsed):
            return [[str(o.input_line) for o in parsed if not o.is_sweep_override() and not is_hydras_own(o)]]
        parsed = [override for override in parsed if not is_hydras_own(override)]
        try:
            (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        except HydraException as error:  # interval(a, b) has no end of values
            raise ConfigError(f"{' '.join(overrides)}: {error}; list the values: key=1,2,3") from error
    if not jobs:
        raise ConfigError(f"{' '.join(overrides)}: no choice fits the pattern, so there is nothing to run")
    return [list(job) for job in jobs]


def _check_values(override: Override) -> None:
    """Refuses a range or an interval without values, which Hydra and its sweepers answer with a traceback, if at all.

    Raises:
        ConfigError: as said.
    """
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    swept, line = override.value(), override.input_line
    if isinstance(swept, RangeSweep):
        start, stop, step = (number or 0 for number in (swept.start, swept.stop, swept.step))
        if not (step > 0 and start < stop) and not (step < 0 and start > stop):
            raise ConfigError(f"{line}: holds no value; write range(start,stop,step), which leads from start to stop")
    if isinstance(swept, IntervalSweep):
        start, end = swept.start or 0, swept.end or 0
        if not start <= end:
            raise ConfigError(f"{line}: ends below its start; write interval(low,high)")
        if "log" in swept.tags and start <= 0:
            raise ConfigError(f"{line}: begins at {start}, which has no logarithm; begin above 0")
