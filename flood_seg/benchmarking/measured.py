"""The record of an engine's measurements."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Measured:
    """What was measured of an engine.

    Attributes:
        model: as it was given.
        description: the engine, device and precision.
        load_seconds: from the process's start to a model that is ready.
        iou: against the masks, in [0, 1]; None where there are none.
        latencies: seconds of each run at batch 1.
        batch_seconds: seconds of each run at each batch size.
        memory_mb: the most that the process used.
    """

    model: str
    description: str
    load_seconds: float
    iou: float | None = None
    latencies: list[float] = field(default_factory=list)
    batch_seconds: dict[int, list[float]] = field(default_factory=dict)
    memory_mb: float = 0.0

    def percentile(self, share: float) -> float:
        """Latency at batch 1 in milliseconds."""
        return float(np.percentile(self.latencies, share)) * 1e3

    @property
    def throughput(self) -> tuple[float, int]:
        """Images a second at the best batch size, by the median, and that size."""
        return max((size / float(np.median(seconds)), size) for size, seconds in self.batch_seconds.items())
