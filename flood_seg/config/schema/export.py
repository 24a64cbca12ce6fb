"""What the verbs that make a model file may be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from flood_seg.config.schema.checks import check_choice, check_range, check_seed
from flood_seg.config.schema.data import DataConfig


@dataclass
class ExportConfig:
    """The whole of `flood-seg convert-to-onnx`."""

    opset: int = 18
    weights: str = "float32"
    tolerance: float | None = None
    output_dir: str = "outputs"

    def __post_init__(self) -> None:
        check_range("opset", self.opset, 17)
        check_choice("weights", self.weights, ("float32", "float16"))
        if self.tolerance is None:
            # Measured on mobilenet_unet: 1e-5 is usual; rounding the weights to float16 moved a logit by 0.044.
            self.tolerance = 1e-3 if self.weights == "float32" else 0.1
        check_range("tolerance", self.tolerance, 0, open_low=True)


@dataclass
class QuantizeOptions:
    """How `flood-seg quantize` works."""

    form: str = "int8"
    calibration_images: int = 100
    max_iou_drop: float = 0.005
    max_excluded: float = 0.5

    def __post_init__(self) -> None:
        check_choice("quantize.form", self.form, ("int8", "float16"))
        check_range("quantize.calibration_images", self.calibration_images, 1)
        check_range("quantize.max_iou_drop", self.max_iou_drop, 0, 1)
        check_range("quantize.max_excluded", self.max_excluded, 0, 1)


@dataclass
class QuantizeConfig:
    """The whole of `flood-seg quantize`."""

    datamodule: DataConfig = field(default_factory=DataConfig)
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)
    seed: int = 42
    output_dir: str = "outputs"

    def __post_init__(self) -> None:
        check_seed("seed", self.seed)


@dataclass
class TensorRtExport:
    """How `flood-seg convert-to-trt` builds."""

    trt_builder: str = "auto"
    precision: str = "float16"
    min_batch: int = 1
    opt_batch: int = 4
    max_batch: int = 16
    workspace_mb: int = 4096
    timeout: int = 3600
    docker_version: str = "24.10"

    def __post_init__(self) -> None:
        check_choice("export.trt_builder", self.trt_builder, ("auto", "python", "trtexec", "docker"))
        check_choice("export.precision", self.precision, ("float16", "bfloat16", "float32"))
        for name in ("min_batch", "workspace_mb", "timeout"):
            check_range(f"export.{name}", getattr(self, name), 1)
        check_range("export.opt_batch", self.opt_batch, self.min_batch, self.max_batch)


@dataclass
class TensorRtConfig:
    """The whole of `flood-seg convert-to-trt`."""

    export: TensorRtExport = field(default_factory=TensorRtExport)
    output_dir: str = "outputs"
