"""The keys that the configurations of all verbs that run a model share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flood_seg.config.schema.checks import check_range


@dataclass
class ModelUse:
    """An engine, what replaces values of the model's spec, and the limit of the warning about unusual values."""

    backend: dict[str, Any]
    threshold: float | None
    value_scale: float | None
    max_input_shift: float
    output_dir: str

    def __post_init__(self) -> None:
        check_range("threshold", 0.5 if self.threshold is None else self.threshold, 0, 1)
        check_range("value_scale", 1 if self.value_scale is None else self.value_scale, 0, open_low=True)
        check_range("max_input_shift", self.max_input_shift, 0)


@dataclass
class InferenceUse(ModelUse):
    """A model that is run on whatever images there are."""

    batch_size: int
    warmup: int
    max_megapixels: float

    def __post_init__(self) -> None:
        check_range("batch_size", self.batch_size, 1)
        check_range("warmup", self.warmup, 0, 1000)
        check_range("max_megapixels", self.max_megapixels, 0, open_low=True)
        super().__post_init__()
