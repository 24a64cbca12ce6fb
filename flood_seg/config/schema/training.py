"""The configuration of `train`, except its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from flood_seg.config.schema.checks import (
    check_choice,
    check_choices,
    check_range,
    check_seed,
    check_workers,
    closed_choices,
)
from flood_seg.config.schema.data import DataConfig
from flood_seg.errors import ConfigError
from flood_seg.spec import Task

if TYPE_CHECKING:
    from collections.abc import Iterable


MAX_RUN_NAME_BYTES = 200  # file systems allow 255, and files of the run are named after it


@dataclass
class ModelConfig:
    """The network, and the initial weights of its encoder."""

    architecture: str
    encoder: str
    encoder_weights: str | None
    encoder_weights_path: str | None
    encoder_lr_factor: float
    freeze_encoder_epochs: int

    def __post_init__(self) -> None:
        check_range("model.encoder_lr_factor", self.encoder_lr_factor, 0, open_low=True)
        check_range("model.freeze_encoder_epochs", self.freeze_encoder_epochs, 0)


@dataclass
class AugmentationConfig:
    """Parameters of the training augmentation; every probability lies in [0, 1] and 0 switches a step off.

    Crop, rotation, perspective and flips are drawn independently and applied as one warp.
    """

    enabled: bool
    crop_probability: float
    crop_scale: list[float]
    crop_ratio: list[float]
    rotate_probability: float
    rotate_degrees: float
    rotate90_probability: float
    perspective_probability: float
    perspective_scale: float
    horizontal_flip_probability: float
    vertical_flip_probability: float
    color_probability: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    stretch_probability: float
    stretch_groups: list[list[str]]
    stretch_gamma: list[float]
    stretch_range: float
    blur_probability: float
    blur_sigma: list[float]
    motion_blur_pixels: list[int]

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_probability"):
                check_range(f"augmentation.{name}", value, 0, 1)
        for name in ("crop_scale", "crop_ratio", "stretch_gamma", "blur_sigma", "motion_blur_pixels"):
            value = getattr(self, name)
            if len(value) != 2 or not 0 < value[0] <= value[1]:
                raise ConfigError(f"augmentation.{name}={value}: give [low, high] with 0 < low <= high")
        check_range("augmentation.crop_scale upper end", self.crop_scale[1], 0, 1)
        check_range("augmentation.stretch_range", self.stretch_range, 0, 0.4)  # at 0.5 nothing may be left between


@closed_choices
@dataclass
class TrainerConfig:
    """Duration, devices and precision of training; names as in Lightning's Trainer where it has the parameter."""

    max_epochs: int
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    devices: Any  # a number, or auto
    num_nodes: int
    strategy: Literal["auto", "ddp", "fsdp"]
    sync_batchnorm: bool
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "64-true"]
    channels_last: bool
    keep_freed_memory: bool
    compile: bool
    gradient_clip_val: float | None
    accumulate_grad_batches: int
    limit_train_batches: float
    limit_val_batches: float
    overfit_batches: int
    fast_dev_run: bool
    profiler: Literal["simple", "advanced", "pytorch"] | None
    progress_bar: bool

    def __post_init__(self) -> None:
        check_range("trainer.max_epochs", self.max_epochs, 1)
        if self.devices != "auto" and (not isinstance(self.devices, int) or self.devices < 1):
            raise ConfigError(f"trainer.devices={self.devices}: give a number of devices, or auto")
        check_workers("trainer.devices", self.devices if isinstance(self.devices, int) else 1)
        check_range("trainer.num_nodes", self.num_nodes, 1)
        check_range("trainer.overfit_batches", self.overfit_batches, 0)
        check_choices("trainer", self)
        check_range("trainer.gradient_clip_val", self.gradient_clip_val or 0, 0)
        for name in ("limit_train_batches", "limit_val_batches"):
            limit = getattr(self, name)
            check_range(f"trainer.{name}", limit, 0, open_low=True)
            if limit > 1 and limit != int(limit):
                raise ConfigError(f"trainer.{name}={limit}: give a share up to 1.0, or a whole number of batches")
        check_range("trainer.accumulate_grad_batches", self.accumulate_grad_batches, 1)


@dataclass
class TunerConfig:
    """The search for a learning rate and a batch size before training."""

    find_lr: bool
    min_lr: float
    max_lr: float
    steps: int
    find_batch_size: bool
    max_batch_size: int

    def __post_init__(self) -> None:
        check_range("tuner.min_lr", self.min_lr, 0, self.max_lr, open_low=True)
        check_range("tuner.steps", self.steps, 20)
        check_range("tuner.max_batch_size", self.max_batch_size, 2)


LOGGED = ("iou", "f1", "accuracy", "precision", "recall", "image_iou", "macro_iou", "frequency_weighted_iou", "loss")


def monitors(extra_val: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns what a run logs each epoch, and so what a scheduler or a callback can watch."""
    parts = ("val", "train", *(f"val_{name}" for name in extra_val))
    return tuple(f"{part}_{name}" for part in parts for name in LOGGED)


@closed_choices
@dataclass(kw_only=True)
class TrainConfig:
    """The whole of `flood-seg train`."""

    datamodule: DataConfig
    model: ModelConfig
    loss: dict[str, Any]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any] = field(default_factory=dict)
    augmentation: AugmentationConfig
    trainer: TrainerConfig
    logger: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    tuner: TunerConfig
    task: Task
    seed: int
    resume: str | None
    run_name: str | None
    output_dir: str
    plots_dir: str

    def __post_init__(self) -> None:
        check_choices("", self)
        check_seed("seed", self.seed)
        if len((self.run_name or "").encode()) > MAX_RUN_NAME_BYTES:
            raise ConfigError(f"run_name={self.run_name}: is longer than {MAX_RUN_NAME_BYTES} bytes; it names a folder")
        self.datamodule.classes(self.task)
        if (self.tuner.find_lr or self.tuner.find_batch_size) and self.trainer.devices != 1:
            raise ConfigError("tuner: finds on one device; find with trainer.devices=1, then train with what was found")
        for band in (band for group in self.augmentation.stretch_groups for band in group):
            check_choice("augmentation.stretch_groups", band, tuple(self.datamodule.bands))
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
