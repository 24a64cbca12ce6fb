"""The configuration of the verbs that run a model: `infer`, `evaluate`, `verify`, `benchmark`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from flood_seg.config.schema.checks import check_choice, check_choices, check_range, closed_choices
from flood_seg.config.schema.data import DataConfig, Part
from flood_seg.config.schema.model_use import InferenceUse, ModelUse
from flood_seg.config.schema.scenes import WindowOptions
from flood_seg.errors import ConfigError

LOCATIONS = ("geojson", "kml", "html")  # files on where photos were taken


def check_color(key: str, value: list[int]) -> None:
    """Raises ConfigError unless a value is red, green and blue."""
    if len(value) != 3 or not all(0 <= one <= 255 for one in value):
        raise ConfigError(f"{key}={value}: give three values from 0 to 255, red first")


@dataclass
class PictureOptions:
    """How masks and overlays look."""

    foreground_value: int
    overlay_color: list[int]
    overlay_opacity: float
    outline_color: list[int]

    def __post_init__(self) -> None:
        check_range("output.foreground_value", self.foreground_value, 1, 255)
        check_range("output.overlay_opacity", self.overlay_opacity, 0, 1)
        check_color("output.overlay_color", self.overlay_color)
        check_color("output.outline_color", self.outline_color)


@closed_choices
@dataclass
class OutputConfig(PictureOptions):
    """What `infer` writes."""

    format: Literal["png", "tif"]
    probability: bool
    locations: list[str]

    def __post_init__(self) -> None:
        check_choices("output", self)
        for name in self.locations:
            check_choice("output.locations", name, LOCATIONS)
        super().__post_init__()


@dataclass
class VideoConfig:
    """Which frames of a video `infer` segments."""

    stride: int
    max_frames: int | None

    def __post_init__(self) -> None:
        check_range("video.stride", self.stride, 1)
        check_range("video.max_frames", 1 if self.max_frames is None else self.max_frames, 1)


@dataclass
class InferConfig(InferenceUse):
    """The whole of `flood-seg infer`."""

    output: OutputConfig
    video: VideoConfig
    skip_existing: bool


PredictionFile = Literal["masks", "probabilities", "differences", "overlays", "confidence"]


@closed_choices
@dataclass
class EvaluationOptions:
    """What `evaluate` computes and writes besides the metrics."""

    goal: str | None
    groups: str | None
    calibrate: bool
    tta: bool
    scales: list[float]
    compare: str | None
    boundary: list[int]
    bootstrap: int
    examples: int
    rank_by: Literal["iou", "f1"]
    scenes: bool
    files: list[str]
    prediction_color: list[int]
    truth_color: list[int]

    def __post_init__(self) -> None:
        if not self.scales:
            raise ConfigError("evaluation.scales=[]: give one or more, 1 is the network's size")
        for scale in self.scales:
            check_range("evaluation.scales", scale, 0.1, 8)
        for radius in self.boundary:
            check_range("evaluation.boundary", radius, 1, 100)
        check_range("evaluation.bootstrap", self.bootstrap, 1)
        check_range("evaluation.examples", self.examples, 0, 1000)
        check_choices("evaluation", self)
        for kind in self.files:
            check_choice("evaluation.files", kind, get_args(PredictionFile))
        if self.scenes and self.files:
            raise ConfigError("evaluation.files: not with evaluation.scenes=true; flood-seg map writes a scene's files")
        check_color("evaluation.prediction_color", self.prediction_color)
        check_color("evaluation.truth_color", self.truth_color)


@closed_choices
@dataclass(kw_only=True)
class EvaluateConfig(ModelUse):
    """The whole of `flood-seg evaluate`."""

    datamodule: DataConfig
    evaluation: EvaluationOptions
    map: WindowOptions
    logger: dict[str, Any] = field(default_factory=dict)
    part: Part

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices("", self)


@dataclass
class VerifyOptions:
    """How `flood-seg verify` compares."""

    images: int
    tolerance: float

    def __post_init__(self) -> None:
        check_range("verify.images", self.images, 1)
        check_range("verify.tolerance", self.tolerance, 0, 1)


@dataclass
class VerifyConfig:
    """The whole of `flood-seg verify`."""

    datamodule: DataConfig
    verify: VerifyOptions


@dataclass
class BenchmarkOptions:
    """What `flood-seg benchmark` measures."""

    images: int
    height: int | None
    width: int | None
    batch_sizes: list[int]
    rounds: int
    repeats: int
    clients: list[int]
    seconds: float

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

    datamodule: DataConfig
    benchmark: BenchmarkOptions
    output_dir: str
