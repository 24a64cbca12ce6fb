"""Builds the components of a training run from its configuration."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

from flood_seg.config.instantiate import instantiate
from flood_seg.networks.network import PaddedNetwork, build_network, check_batch, check_size
from flood_seg.networks.weights import load_encoder
from flood_seg.spec import ModelSpec
from flood_seg.tracking.contract import git_commit
from flood_seg.training.checkpoint import AtomicCheckpointIO
from flood_seg.training.distributed import choose_strategy
from flood_seg.training.losses import build_loss
from flood_seg.training.module import SegmentationModule
from flood_seg.training.optimization import FreezeEncoder, parameter_groups
from flood_seg.training.progress import progress_bar
from flood_seg.training.sample_plots import WorstSamples
from flood_seg.training.speed import choose_accelerator, choose_precision, tune_gpu

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from flood_seg.config.schema import DataConfig, TrainConfig
    from flood_seg.tracking.composite import Trackers
    from flood_seg.training.history import History
    from flood_seg.training.run import Run

PROFILE = "profile"


def check_components(config: TrainConfig) -> None:
    """Instantiates every configured component once, so that wrong names and arguments fail early."""
    choose_accelerator(config.trainer.accelerator)
    check_size(config.model.architecture, config.datamodule.height, config.datamodule.width)
    build_loss(config.loss, config.datamodule.classes(config.task), config.task)
    optimizer = instantiate(config.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    if config.scheduler:
        _make_scheduler(config, optimizer, steps=100)
    _build_callbacks(config, Path())
    choose_strategy(config.trainer, freezes=config.model.freeze_encoder_epochs > 0)


def build_network_for(config: TrainConfig, *, resumes: bool) -> PaddedNetwork:
    """Builds the network and loads the encoder weights, unless a checkpoint replaces them."""
    data = config.datamodule
    classes = data.classes(config.task).names
    channels = 1 if config.task == "binary" else len(classes)
    network = build_network(config.model.architecture, config.model.encoder, len(data.bands), channels)
    check_batch(network, data.batch_size)
    if not resumes:
        load_encoder(network, config.model, data.bands)
    return network


def make_spec(config: TrainConfig) -> ModelSpec:
    """Returns the spec of the model of a configuration, without the fingerprint of its data."""
    data: DataConfig = config.datamodule
    classes = data.classes(config.task)
    packages = ("flood-seg", "torch", "segmentation-models-pytorch")
    return ModelSpec(
        task=config.task,
        class_names=classes.names,
        label_values=classes.label_values,
        class_colors=classes.colors,
        bands=tuple(data.bands),
        band_sources=dict(data.band_sources or {}),
        optional_bands={name: tuple(group) for name, group in (data.band_dropout.groups or {}).items()},
        one_of=tuple(data.band_dropout.one_of) if data.band_dropout.groups else (),
        height=data.height,
        width=data.width,
        value_scale=data.value_scale,
        nodata=data.nodata,
        mean=tuple(data.mean),
        std=tuple(data.std),
        provenance={
            "architecture": config.model.architecture,
            "encoder": config.model.encoder,
            "labels": list(classes.to_labels().items()),  # a list, since JSON keys are sorted
            "git_commit": git_commit(),
            "versions": {name: version(name) for name in packages},
        },
    )


def build_module(
    config: TrainConfig, network: PaddedNetwork, spec: ModelSpec, pixels: Callable[[], np.ndarray], *, ignores: bool
) -> SegmentationModule:
    """Builds the LightningModule with its loss and factories of its optimizer and scheduler.

    Args:
        config: of the run.
        network: to train.
        spec: of the model.
        pixels: returns the pixels of each class in the training part, int64 [classes], for weights that are `auto`.
        ignores: whether masks may contain ignored pixels; checking for them synchronizes the GPU.
    """
    if config.trainer.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classes = config.datamodule.classes(config.task)
    if config.trainer.compile:
        network.compile()  # in place, which keeps the keys of checkpoints
    return SegmentationModule(
        network,
        spec,
        build_loss(config.loss, classes, config.task, pixels, ignores=ignores),
        partial(_make_optimizer, config),
        partial(_make_scheduler, config) if config.scheduler else None,
        config.scheduler.get("monitor", "val_iou"),
        config.scheduler.get("interval", "epoch"),
        list(config.datamodule.extra_val or ()),
        config.datamodule.extra_val_every,
        config.datamodule.extra_val_only,
    )


def build_trainer(config: TrainConfig, run: Run, trackers: Trackers, history: History) -> pl.Trainer:
    """Builds the Trainer for the available hardware."""
    options = config.trainer
    accelerator = choose_accelerator(options.accelerator)
    if accelerator == "gpu":
        tune_gpu()
    worst = [WorstSamples(trackers)] * (trackers.worst > 0)
    callbacks = [history, *worst, *progress_bar(options.progress_bar), *_build_callbacks(config, run.folder)]
    return pl.Trainer(
        max_epochs=options.max_epochs,
        accelerator=accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=choose_strategy(options, freezes=config.model.freeze_encoder_epochs > 0),
        sync_batchnorm=options.sync_batchnorm,
        use_distributed_sampler=False,  # it pads with repeated samples; the datamodule distributes them
        profiler=_build_profiler(options.profiler, run.folder),
        precision=choose_precision(options.precision, accelerator),  # type: ignore[arg-type]
        gradient_clip_val=options.gradient_clip_val,
        accumulate_grad_batches=options.accumulate_grad_batches,
        limit_train_batches=_as_limit(options.limit_train_batches),
        limit_val_batches=_as_limit(options.limit_val_batches),
        fast_dev_run=options.fast_dev_run,
        logger=trackers if trackers.trackers else False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=run.folder,
        num_sanity_val_steps=0,  # all samples were decoded and checked already
        log_every_n_steps=1,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        enable_model_summary=False,
    )


def _build_profiler(name: str | None, folder: Path) -> Profiler | None:
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    return kinds[name](dirpath=folder, filename=PROFILE) if name else None


def _build_callbacks(config: TrainConfig, folder: Path) -> list[pl.Callback]:
    """Builds the configured callbacks; those of flood_seg get the folder of the run."""
    freeze = config.model.freeze_encoder_epochs
    return [FreezeEncoder(freeze)] * (freeze > 0) + [
        instantiate(node, **({"folder": folder} if str(node.get("_target_")).startswith("flood_seg.") else {}))
        for node in config.callbacks.values()
        if node
    ]


def _make_optimizer(config: TrainConfig, network: torch.nn.Module) -> Any:
    lr = float(config.optimizer.get("lr", 0.0))
    return instantiate(config.optimizer, parameter_groups(network, lr, config.model.encoder_lr_factor))


def _make_scheduler(config: TrainConfig, optimizer: Any, steps: int) -> Any:
    """Builds the scheduler without Lightning's keys; one with `interval: step` gets the total number of steps."""
    own = {key: value for key, value in config.scheduler.items() if key not in ("monitor", "interval")}
    return instantiate(own, optimizer, **({"total_steps": steps} if config.scheduler.get("interval") == "step" else {}))


def _as_limit(limit: float) -> float | int:
    """Returns an int (number of batches) for limits above 1, else a float (share), as Lightning interprets them."""
    return int(limit) if limit > 1 else limit
