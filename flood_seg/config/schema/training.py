"""What `train` may be told, but for its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flood_seg.config.schema.checks import check_choice, check_range, check_seed, check_workers
from flood_seg.config.schema.data import DataConfig
from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable


LONGEST_NAME = 200  # of a folder, in bytes; file systems take 255, and files in it are named after it


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
        check_workers("trainer.devices", self.devices if isinstance(self.devices, int) else 1)
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
        check_seed("seed", self.seed)
        if len((self.run_name or "").encode()) > LONGEST_NAME:
            raise ConfigError(f"run_name={self.run_name}: is longer than {LONGEST_NAME} bytes; it names a folder")
        self.datamodule.classes(self.task)
        if (self.tuner.find_lr or self.tuner.find_batch_size) and self.trainer.devices != 1:
            raise ConfigError("tuner: finds on one device; find with trainer.devices=1, then train with what was found")
        watching = {"scheduler": self.scheduler} | {f"callbacks.{name}": node for name, node in self.callbacks.items()}
        for name, node in watching.items():
            if node and "monitor" in node:
                self._check_monitor(f"{name}.monitor", str(node["monitor"]))
        if self.datamodule.extra_val_only and self.trainer.overfit_batches:
            raise ConfigError(
                "trainer.overfit_batches: validates on what it trains on; leave out datamodule.extra_val_only"
            )

    def _check_monitor(self, key: str, metric: str) -> None:
        data = self.datamodule
        check_choice(key, metric, monitors(data.extra_val or ()))
        if metric not in monitors() and data.extra_val_every > 1:
            raise ConfigError(f"{key}={metric}: is not measured in each epoch; leave out datamodule.extra_val_every")
