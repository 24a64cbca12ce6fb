"""The configuration of the verbs that make a model file, and of `triton-server`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from flood_seg.config.schema.checks import check_choices, check_range, check_seed, closed_choices
from flood_seg.config.schema.data import DataConfig
from flood_seg.errors import ConfigError


@closed_choices
@dataclass
class ExportConfig:
    """The whole of `flood-seg convert-to-onnx`."""

    opset: int
    weights: Literal["float32", "float16"]
    tolerance: float | None
    output_dir: str

    def __post_init__(self) -> None:
        check_range("opset", self.opset, 17)
        check_choices("", self)
        if self.tolerance is None:
            # Measured on mobilenet_unet: 1e-5 is usual; rounding the weights to float16 moved a logit by 0.044.
            self.tolerance = 1e-3 if self.weights == "float32" else 0.1
        check_range("tolerance", self.tolerance, 0, open_low=True)


@closed_choices
@dataclass
class QuantizeOptions:
    """How `flood-seg quantize` works."""

    form: Literal["int8", "float16"]
    calibration_images: int
    max_iou_drop: float
    max_excluded: float

    def __post_init__(self) -> None:
        check_choices("quantize", self)
        check_range("quantize.calibration_images", self.calibration_images, 1)
        check_range("quantize.max_iou_drop", self.max_iou_drop, 0, 1)
        check_range("quantize.max_excluded", self.max_excluded, 0, 1)


@dataclass
class QuantizeConfig:
    """The whole of `flood-seg quantize`."""

    datamodule: DataConfig
    quantize: QuantizeOptions
    seed: int
    output_dir: str

    def __post_init__(self) -> None:
        check_seed("seed", self.seed)


@closed_choices
@dataclass
class TensorRtExport:
    """How `flood-seg convert-to-trt` builds."""

    trt_builder: Literal["auto", "python", "trtexec", "docker"]
    precision: Literal["float16", "bfloat16", "float32"]
    min_batch: int
    opt_batch: int
    max_batch: int
    workspace_mb: int
    timeout: int
    docker_version: str

    def __post_init__(self) -> None:
        check_choices("export", self)
        for name in ("min_batch", "workspace_mb", "timeout"):
            check_range(f"export.{name}", getattr(self, name), 1)
        check_range("export.opt_batch", self.opt_batch, self.min_batch, self.max_batch)


@dataclass
class TensorRtConfig:
    """The whole of `flood-seg convert-to-trt`."""

    export: TensorRtExport
    output_dir: str


@closed_choices
@dataclass
class TritonConfig:
    """The Triton server of `flood-seg triton-server`."""

    runtime: Literal["auto", "docker", "embedded"]
    repository: str
    model_name: str
    container_name: str
    host: str
    http_port: int
    grpc_port: int
    metrics_port: int
    docker_version: str
    use_gpus: bool
    max_batch_size: int
    queue_delay_us: int
    instances: int
    start_timeout: int
    stop_timeout: int

    def __post_init__(self) -> None:
        check_choices("triton", self)
        for name in ("http_port", "grpc_port", "metrics_port"):
            check_range(f"triton.{name}", getattr(self, name), 1, 65535)
        for name in ("max_batch_size", "instances", "start_timeout", "stop_timeout"):
            check_range(f"triton.{name}", getattr(self, name), 1)
        check_range("triton.queue_delay_us", self.queue_delay_us, 0)
        for name in ("model_name", "container_name"):
            value = getattr(self, name)
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
                raise ConfigError(f"triton.{name}={value}: letters, digits, '_', '.' and '-' alone, a letter first")


@dataclass
class TritonServerConfig:
    """The whole of `flood-seg triton-server`."""

    backend: dict[str, Any]
    triton: TritonConfig
    output_dir: str
