"""The configuration's shape: dataclasses of our groups, so that wrong keys, types and values fail at compose.

No heavy import here. Values are checked in `__post_init__`, which runs when OmegaConf turns the composed
configuration into these objects (`flood_seg.config.compose`). `dict[str, Any]` groups are leaves that Hydra's
`_target_` builds (loss, optimizer, scheduler, callbacks, logger, backend).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flood_seg.classes import Classes, parse_classes
from flood_seg.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a further validation set may say of itself; all else it shares with the data set.
EXTRA_KEYS = ("data_dir", "images_dir", "masks_dir", "mask_suffix", "pairs_file", "split_file", "labels",
              "max_label", "ignore_index", "unlisted", "band_sources")  # fmt: skip


def check_choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ConfigError where `value` is none of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"{key}={value}: allowed are {', '.join(allowed)}{did_you_mean(value, allowed)}")


def check_range(key: str, value: float, low: float, high: float = float("inf"), *, open_low: bool = False) -> None:
    """Raises ConfigError where `value` lies outside [low, high], or (low, high] with `open_low`."""
    if value < low or value > high or (open_low and value == low):
        bounds = f"{'above' if open_low else 'at least'} {low:g}" + (
            "" if high == float("inf") else f" and at most {high:g}"
        )
        raise ConfigError(f"{key}={value}: must be {bounds}")


AUTO = "auto"


@dataclass
class SampleConfig:
    """The synthetic flood scenes of `datamodule=sample`."""

    count: int = 160
    height: int = 256
    width: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("datamodule.sample.count", self.count, 2)
        check_range("datamodule.sample.height", self.height, 64)
        check_range("datamodule.sample.width", self.width, 64)


@dataclass
class WindowsConfig:
    """How large rasters are read."""

    size: int = 512
    block: float = 4.0
    min_data: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        check_range("datamodule.windows.size", self.size, 32)
        check_range("datamodule.windows.block", self.block, 1)
        check_range("datamodule.windows.min_data", self.min_data, 0, 1)


@dataclass
class DataConfig:
    """Where samples come from and how they reach the network."""

    data_dir: Any = "data/raw"  # a folder or a list of them
    images_dir: str = "images"
    masks_dir: str = "masks"
    mask_suffix: str = ""
    pairs_file: str | None = None
    windows: WindowsConfig | None = None
    label_field: str | None = None
    sample: SampleConfig | None = None
    height: int = 512
    width: int = 512
    bands: list[str] = field(default_factory=lambda: ["red", "green", "blue"])
    band_sources: dict[str, str] | None = None
    value_scale: float = 255.0
    mean: Any = field(default_factory=lambda: [0.485, 0.456, 0.406])  # numbers, or AUTO until they are measured
    std: Any = field(default_factory=lambda: [0.229, 0.224, 0.225])
    stats_file: str | None = None
    class_names: list[str] = field(default_factory=lambda: ["background", "water"])
    labels: dict[Any, str] | None = None
    max_label: int | None = None
    ignore_index: int | None = None
    unlisted: str = "fail"
    colors: dict[str, str] | None = None
    val_split: float = 0.2
    split_file: str | None = None
    extra_val: dict[str, Any] | None = None
    extra_val_every: int = 1
    on_bad_sample: str = "skip"
    batch_size: int = 16
    num_workers: int | None = None
    cache: str = "ram"
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        if not self.data_dir or not all(isinstance(folder, str) for folder in self.data_dir):
            raise ConfigError(f"datamodule.data_dir={self.data_dir}: give a folder, or a list of folders")
        if self.stats_file:
            self._read_stats(Path(self.stats_file))
        check_range("datamodule.height", self.height, 32)
        check_range("datamodule.width", self.width, 32)
        check_range("datamodule.val_split", self.val_split, 0, 0.95, open_low=True)
        check_range("datamodule.batch_size", self.batch_size, 1)
        check_range("datamodule.num_workers", self.num_workers or 0, 0)
        check_range("datamodule.value_scale", self.value_scale, 0, open_low=True)
        check_choice("datamodule.on_bad_sample", self.on_bad_sample, ("skip", "fail"))
        check_choice("datamodule.cache", self.cache, ("ram", "disk", "none"))
        self._check_mean_and_std()
        self._check_labels()
        self._check_extra_val()

    def _check_mean_and_std(self) -> None:
        if self.mean == self.std == AUTO:
            return
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
                raise ConfigError(f"datamodule.{name}={values}: give a number a band, or {AUTO} for mean and std both")
        if not len(self.bands) == len(self.mean) == len(self.std):
            raise ConfigError(
                f"datamodule: {len(self.bands)} bands, {len(self.mean)} values in mean and {len(self.std)} in std; "
                f"give one mean and one std per band, or datamodule.mean={AUTO} datamodule.std={AUTO}"
            )
        for band, std in zip(self.bands, self.std, strict=True):
            check_range(f"datamodule.std of {band}", std, 0, open_low=True)

    def _check_extra_val(self) -> None:
        check_range("datamodule.extra_val_every", self.extra_val_every, 1)
        for name, changes in (self.extra_val or {}).items():
            key = f"datamodule.extra_val.{name}"
            if not re.fullmatch(r"\w+", name):
                raise ConfigError(f"{key}: its name is part of a metric's; letters, digits and '_' alone")
            if not isinstance(changes, dict) or not changes.get("data_dir"):
                raise ConfigError(f"{key}={changes}: give its folder, {key}.data_dir=data/more")
            for wrong in [other for other in changes if other not in EXTRA_KEYS]:
                hint = did_you_mean(wrong, EXTRA_KEYS)
                raise ConfigError(f"{key}.{wrong}: no such key{hint}; allowed are {', '.join(EXTRA_KEYS)}")

    def extra(self, name: str) -> DataConfig:
        """Returns the configuration of a further validation set: this one, but for what `extra_val` says."""
        own: dict[str, Any] = dict.fromkeys(("sample", "split_file", "pairs_file", "extra_val", "stats_file"))
        return replace(self, **(own | (self.extra_val or {})[name]))

    def _check_labels(self) -> None:
        check_choice("datamodule.unlisted", self.unlisted, ("fail", "ignore"))
        check_range("datamodule.max_label", 1 if self.max_label is None else self.max_label, 1)
        if unknown := sorted(set(self.band_sources or ()) - set(self.bands)):
            raise ConfigError(f"datamodule.band_sources.{unknown[0]}: is none of the bands, {', '.join(self.bands)}")
        if len(set(self.bands)) < len(self.bands):
            raise ConfigError(f"datamodule.bands: one stands twice among {', '.join(self.bands)}")

    def _read_stats(self, path: Path) -> None:
        """Takes mean and std from what `data stats --out` wrote."""
        import yaml

        key = f"datamodule.stats_file={path}"
        try:
            record = yaml.safe_load(path.read_text(encoding="utf-8"))
            bands, scale, mean, std = (record[name] for name in ("bands", "value_scale", "mean", "std"))
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise ConfigError(f"{key}: cannot be read ({error!r}); write one by flood-seg data stats --out") from error
        if list(bands) != list(self.bands) or scale != self.value_scale:
            raise ConfigError(
                f"{key}: is of bands {', '.join(bands)} with value_scale {scale}, not of {', '.join(self.bands)} with "
                f"{self.value_scale}; run flood-seg data stats again"
            )
        self.mean, self.std = list(mean), list(std)

    @property
    def folders(self) -> list[Path]:
        """The folders of the data sets."""
        return [Path(folder) for folder in (self.data_dir if isinstance(self.data_dir, list) else [self.data_dir])]

    @property
    def place(self) -> str:
        """The same for people."""
        return ", ".join(str(folder) for folder in self.folders)

    def classes(self, task: str) -> Classes:
        """Returns the classes that the labels name; raises as `parse_classes`."""
        return parse_classes(
            task, self.class_names, self.labels, self.max_label, self.ignore_index, self.colors, self.unlisted
        )


@dataclass
class ModelConfig:
    """Which network, and what its encoder starts from."""

    architecture: str = "Unet"
    encoder: str = "resnet34"
    encoder_weights: str | None = "imagenet"
    encoder_weights_path: str | None = None
    encoder_lr_factor: float = 1.0
    freeze_encoder_epochs: int = 0

    def __post_init__(self) -> None:
        check_range("model.encoder_lr_factor", self.encoder_lr_factor, 0, open_low=True)
        check_range("model.freeze_encoder_epochs", self.freeze_encoder_epochs, 0)


@dataclass
class AugmentationConfig:
    """Parameters of the training augmentation; every probability lies in [0, 1] and 0 switches a step off.

    Crop, rotation, perspective and flips are drawn apart and applied as one warp.
    """

    enabled: bool = True
    crop_probability: float = 0.8
    crop_scale: list[float] = field(default_factory=lambda: [0.4, 1.0])
    crop_ratio: list[float] = field(default_factory=lambda: [0.75, 1.333])
    rotate_probability: float = 0.5
    rotate_degrees: float = 30.0
    rotate90_probability: float = 0.0
    perspective_probability: float = 0.3
    perspective_scale: float = 0.1
    horizontal_flip_probability: float = 0.5
    vertical_flip_probability: float = 0.5
    color_probability: float = 0.8
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.02
    blur_probability: float = 0.2
    blur_sigma: list[float] = field(default_factory=lambda: [0.3, 1.5])
    motion_blur_pixels: list[int] = field(default_factory=lambda: [3, 7])

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_probability"):
                check_range(f"augmentation.{name}", value, 0, 1)
        for name in ("crop_scale", "crop_ratio", "blur_sigma", "motion_blur_pixels"):
            value = getattr(self, name)
            if len(value) != 2 or not 0 < value[0] <= value[1]:
                raise ConfigError(f"augmentation.{name}={value}: give [low, high] with 0 < low <= high")
        check_range("augmentation.crop_scale upper end", self.crop_scale[1], 0, 1)


@dataclass
class TrainerConfig:
    """How long and on what to train; the names are Lightning's where Lightning has them."""

    max_epochs: int = 100
    accelerator: str = "auto"
    devices: Any = 1  # a number, or auto
    num_nodes: int = 1
    strategy: str = "auto"
    sync_batchnorm: bool = False
    precision: str = "auto"
    channels_last: bool = True
    keep_freed_memory: bool = True
    compile: bool = False
    gradient_clip_val: float | None = None
    accumulate_grad_batches: int = 1
    limit_train_batches: float = 1.0
    limit_val_batches: float = 1.0
    overfit_batches: int = 0
    fast_dev_run: bool = False
    profiler: str | None = None
    progress_bar: bool = True

    def __post_init__(self) -> None:
        check_range("trainer.max_epochs", self.max_epochs, 1)
        if self.devices != "auto" and (not isinstance(self.devices, int) or self.devices < 1):
            raise ConfigError(f"trainer.devices={self.devices}: give a number of devices, or auto")
        check_range("trainer.num_nodes", self.num_nodes, 1)
        check_range("trainer.overfit_batches", self.overfit_batches, 0)
        check_choice("trainer.strategy", self.strategy, ("auto", "ddp", "fsdp"))
        check_choice("trainer.profiler", self.profiler or "simple", ("simple", "advanced", "pytorch"))
        check_range("trainer.gradient_clip_val", self.gradient_clip_val or 0, 0)
        for name in ("limit_train_batches", "limit_val_batches"):
            limit = getattr(self, name)
            check_range(f"trainer.{name}", limit, 0, open_low=True)
            if limit > 1 and limit != int(limit):
                raise ConfigError(f"trainer.{name}={limit}: give a share up to 1.0, or a whole number of batches")
        check_range("trainer.accumulate_grad_batches", self.accumulate_grad_batches, 1)
        check_choice("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu", "mps"))
        check_choice("trainer.precision", self.precision, ("auto", "32-true", "bf16-mixed", "16-mixed", "64-true"))


@dataclass
class TunerConfig:
    """What is found by trying before the training."""

    find_lr: bool = False
    min_lr: float = 1e-7
    max_lr: float = 1.0
    steps: int = 100
    find_batch_size: bool = False
    max_batch_size: int = 256

    def __post_init__(self) -> None:
        check_range("tuner.min_lr", self.min_lr, 0, self.max_lr, open_low=True)
        check_range("tuner.steps", self.steps, 20)
        check_range("tuner.max_batch_size", self.max_batch_size, 2)


LOGGED = ("iou", "f1", "accuracy", "precision", "recall", "image_iou", "loss")


def monitors(extra_val: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns what a run logs each epoch, and so what a scheduler or a callback can watch."""
    parts = ("val", "train", *(f"val_{name}" for name in extra_val))
    return tuple(f"{part}_{name}" for part in parts for name in LOGGED)


@dataclass
class TrainConfig:
    """The whole of `flood-seg train`."""

    datamodule: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    tuner: TunerConfig = field(default_factory=TunerConfig)
    task: str = "binary"
    seed: int = 42
    resume: str | None = None
    run_name: str | None = None
    output_dir: str = "outputs"
    plots_dir: str = "plots"

    def __post_init__(self) -> None:
        check_choice("task", self.task, ("binary", "multiclass"))
        self.datamodule.classes(self.task)
        watching = {"scheduler": self.scheduler} | {f"callbacks.{name}": node for name, node in self.callbacks.items()}
        for name, node in watching.items():
            if node and "monitor" in node:
                check_choice(f"{name}.monitor", str(node["monitor"]), monitors(self.datamodule.extra_val or ()))


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
class InferConfig:
    """The whole of `flood-seg infer`."""

    backend: dict[str, Any] = field(default_factory=dict)
    output: OutputConfig = field(default_factory=OutputConfig)
    threshold: float | None = None
    batch_size: int = 1
    warmup: int = 0
    output_dir: str = "outputs"

    def __post_init__(self) -> None:
        check_range("batch_size", self.batch_size, 1)
        check_range("warmup", self.warmup, 0)
        check_range("threshold", 0.5 if self.threshold is None else self.threshold, 0, 1)


@dataclass
class EvaluateConfig:
    """The whole of `flood-seg evaluate`."""

    datamodule: DataConfig = field(default_factory=DataConfig)
    backend: dict[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    part: str = "auto"
    output_dir: str = "outputs"

    def __post_init__(self) -> None:
        check_range("threshold", 0.5 if self.threshold is None else self.threshold, 0, 1)
        check_choice("part", self.part, ("auto", "train", "val", "test", "all"))


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
class TritonConfig:
    """The Triton server of `flood-seg triton-server`."""

    runtime: str = "auto"
    repository: str = "triton_model_repository"
    model_name: str = "flood_area_segmentation"
    container_name: str = "flood_seg_triton"
    host: str = "127.0.0.1"
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    docker_version: str = "24.10"
    use_gpus: bool = False
    max_batch_size: int = 8
    queue_delay_us: int = 2000
    instances: int = 1
    start_timeout: int = 120
    stop_timeout: int = 20

    def __post_init__(self) -> None:
        check_choice("triton.runtime", self.runtime, ("auto", "docker", "embedded"))
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

    backend: dict[str, Any] = field(default_factory=dict)
    triton: TritonConfig = field(default_factory=TritonConfig)
    output_dir: str = "outputs"


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
