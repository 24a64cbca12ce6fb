"""What the verbs that run a model may be told: `infer`, `evaluate`, `verify`, `benchmark`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flood_seg.config.schema.checks import check_choice, check_range
from flood_seg.config.schema.data import DataConfig
from flood_seg.errors import ConfigError


@dataclass
class OutputConfig:
    """What `infer` writes."""

    foreground_value: int = 255
    overlay_color: list[int] = field(default_factory=lambda: [30, 144, 255])
    overlay_opacity: float = 0.45
    outline_color: list[int] = field(default_factory=lambda: [255, 235, 59])

    def __post_init__(self) -> None:
        check_range("output.foreground_value", self.foreground_value, 1, 255)
        check_range("output.overlay_opacity", self.overlay_opacity, 0, 1)
        for name in ("overlay_color", "outline_color"):
            value = getattr(self, name)
            if len(value) != 3 or not all(0 <= v <= 255 for v in value):
                raise ConfigError(f"output.{name}={value}: give three values from 0 to 255, red first")


@dataclass
class VideoConfig:
    """Which frames of a video `infer` segments."""

    stride: int = 1
    max_frames: int | None = None

    def __post_init__(self) -> None:
        check_range("video.stride", self.stride, 1)
        check_range("video.max_frames", 1 if self.max_frames is None else self.max_frames, 1)


def _check_use(config: InferConfig | EvaluateConfig) -> None:
    """Checks what `infer` and `evaluate` may say otherwise than the model's record, and the limit of its warning."""
    check_range("threshold", 0.5 if config.threshold is None else config.threshold, 0, 1)
    check_range("value_scale", 1 if config.value_scale is None else config.value_scale, 0, open_low=True)
    check_range("max_input_shift", config.max_input_shift, 0)


@dataclass
class InferConfig:
    """The whole of `flood-seg infer`."""

    backend: dict[str, Any] = field(default_factory=dict)
    output: OutputConfig = field(default_factory=OutputConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    threshold: float | None = None
    value_scale: float | None = None
    max_input_shift: float = 2.0
    batch_size: int = 1
    warmup: int = 0
    skip_existing: bool = False
    max_megapixels: float = 400.0
    output_dir: str = "outputs"

    def __post_init__(self) -> None:
        check_range("batch_size", self.batch_size, 1)
        check_range("warmup", self.warmup, 0, 1000)
        check_range("max_megapixels", self.max_megapixels, 0, open_low=True)
        _check_use(self)


@dataclass
class EvaluationOptions:
    """What `evaluate` finds out beside the figures."""

    goal: str | None = None
    groups: str | None = None
    calibrate: bool = False
    tta: bool = False
    scales: list[float] = field(default_factory=lambda: [1.0])
    compare: str | None = None
    boundary: list[int] = field(default_factory=lambda: [2, 5])
    bootstrap: int = 1000
    examples: int = 10

    def __post_init__(self) -> None:
        if not self.scales:
            raise ConfigError("evaluation.scales=[]: give one or more, 1 is the network's size")
        for scale in self.scales:
            check_range("evaluation.scales", scale, 0.1, 8)
        for radius in self.boundary:
            check_range("evaluation.boundary", radius, 1, 100)
        check_range("evaluation.bootstrap", self.bootstrap, 1)
        check_range("evaluation.examples", self.examples, 0, 1000)


@dataclass
class EvaluateConfig:
    """The whole of `flood-seg evaluate`."""

    datamodule: DataConfig = field(default_factory=DataConfig)
    backend: dict[str, Any] = field(default_factory=dict)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    logger: dict[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    value_scale: float | None = None
    max_input_shift: float = 2.0
    part: str = "auto"
    output_dir: str = "outputs"

    def __post_init__(self) -> None:
        _check_use(self)
        check_choice("part", self.part, ("auto", "train", "val", "test", "all"))


@dataclass
class VerifyOptions:
    """How `flood-seg verify` compares."""

    images: int = 32
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        check_range("verify.images", self.images, 1)
        check_range("verify.tolerance", self.tolerance, 0, 1)


@dataclass
class VerifyConfig:
    """The whole of `flood-seg verify`."""

    datamodule: DataConfig = field(default_factory=DataConfig)
    verify: VerifyOptions = field(default_factory=VerifyOptions)


@dataclass
class BenchmarkOptions:
    """What `flood-seg benchmark` measures."""

    images: int = 16
    height: int | None = None
    width: int | None = None
    batch_sizes: list[int] = field(default_factory=lambda: [1, 2, 4, 8])
    rounds: int = 5
    repeats: int = 8
    clients: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 16])
    seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in ("images", "rounds", "repeats"):
            check_range(f"benchmark.{name}", getattr(self, name), 1)
        for name in ("height", "width"):
            check_range(f"benchmark.{name}", getattr(self, name) or 32, 32)
        for name in ("batch_sizes", "clients"):
            for value in getattr(self, name) or [0]:
                check_range(f"benchmark.{name}", value, 1)
        check_range("benchmark.seconds", self.seconds, 0, open_low=True)


@dataclass
class BenchmarkConfig:
    """The whole of `flood-seg benchmark`."""

    datamodule: DataConfig = field(default_factory=DataConfig)
    benchmark: BenchmarkOptions = field(default_factory=BenchmarkOptions)
    output_dir: str = "outputs"
