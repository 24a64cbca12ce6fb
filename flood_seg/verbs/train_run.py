"""A training run: from a configuration to a checkpoint, an ONNX model, plots and a summary."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import numpy as np
import pytorch_lightning as pl

from flood_seg.config.compose import compose
from flood_seg.config.overrides import as_override
from flood_seg.config.saved import flatten, save_config
from flood_seg.config.schema import AUTO, TrainConfig
from flood_seg.console import counted, say, warn
from flood_seg.data.augmentation.band_dropout import BandDropout
from flood_seg.data.augmentation.pipeline import build_augmentation, left_out
from flood_seg.data.datamodule import FloodDataModule, load_store
from flood_seg.data.layout import choose_split
from flood_seg.data.prepare import prepare_data
from flood_seg.data.split import Split, write_split
from flood_seg.data.stats import measure_bands, measure_ground_sample_distance, measure_image_scales
from flood_seg.errors import ConfigError, DataError, FloodSegError
from flood_seg.export.onnx import export_onnx
from flood_seg.files import clear_leftovers, write_text
from flood_seg.imaging.bands import BandSelection
from flood_seg.metrics.confusion import by_class
from flood_seg.networks.checkpoint import load_network
from flood_seg.plots.confusion import plot_confusion, show_classes
from flood_seg.plots.history import plot_history
from flood_seg.spec import ModelSpec
from flood_seg.synthetic.sample_set import write_sample
from flood_seg.tracking.composite import Trackers, open_trackers
from flood_seg.tracking.contract import RunInfo, git_commit
from flood_seg.training.checks import check_batches, check_values, warn_of_absent_classes
from flood_seg.training.distributed import is_main, silence_output
from flood_seg.training.finders import find_batch_size, find_lr
from flood_seg.training.history import History, best_row
from flood_seg.training.progress import silence_lightning
from flood_seg.training.run import Run, link_latest, new_folder, resumed_overrides
from flood_seg.training.sample_plots import plot_validation
from flood_seg.training.speed import keep_freed_memory
from flood_seg.training.summary import Summary, print_summary
from flood_seg.verbs.train_parts import (
    PROFILE,
    build_module,
    build_network_for,
    build_trainer,
    check_components,
    make_spec,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.training.module import SegmentationModule


def run_training(
    config: TrainConfig, overrides: Sequence[str] = (), folder: Path | None = None, resumed: Run | None = None
) -> Summary | None:
    """Trains a model; user errors are raised before the first epoch.

    In distributed training rank 0 writes all files and returns the summary; the other processes return None.

    Args:
        config: the composed configuration.
        overrides: of the composition, saved with the run.
        folder: of a new run; None: a new one in `output_dir`.
        resumed: the run that `config.resume` names, as of `find_run`; None: a new run.

    Raises:
        FloodSegError: any but UsageError; see `flood_seg.errors`.
    """
    started = time.monotonic()
    if not is_main():
        silence_output()
    if resumed:
        config, overrides = _resume(resumed, list(overrides))
    elif config.resume:
        say(f"resume={config.resume}: no run with a checkpoint in {config.output_dir}; starting a new run")
    if config.trainer.keep_freed_memory:
        keep_freed_memory()
    check_components(config)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    network = build_network_for(config, resumes=resumed is not None)
    config, data, spec = _load_data(config)
    check_batches(config.trainer, config.datamodule, data)
    check_values(data, spec)
    warn_of_absent_classes(data, spec)
    silence_lightning()
    module = build_module(config, network, spec, data.count_pixels, ignores=data.ignores)
    if not resumed:
        overrides = [*overrides, *_tune(config, module, data)]
    run = resumed or _new_run(config, folder)
    trackers = _open_trackers(config, run)
    history = History(run.folder)
    trainer = build_trainer(config, run, trackers, history)
    spec.provenance["precision"] = str(trainer.precision)
    if is_main():
        save_config(config, overrides, run.hydra)
        write_split(run.split, data.split)
        write_text(run.spec, spec.to_json() + "\n")
        if folder is None:
            link_latest(run, Path(config.output_dir))
    device = trainer.accelerator.__class__.__name__.removesuffix("Accelerator")
    say(f"Run {run.folder}: {_counts(config, data)}, {device} in {trainer.precision}")
    try:
        trainer.fit(module, data, ckpt_path=run.last if resumed else None, weights_only=True)
    except SystemExit as stopped:  # Lightning's reaction to Ctrl-C
        again = shlex.quote(as_override("resume", str(run.folder)))
        warn(f"stopped; flood-seg train {again} continues after the last complete epoch")
        raise KeyboardInterrupt from stopped
    except RuntimeError as error:
        if resumed and "loading state_dict" in str(error):
            raise ConfigError(
                f"resume={run.folder}: its weights do not match {config.model.architecture} with "
                f"{config.model.encoder} on {len(config.datamodule.bands)} bands; omit overrides that change the model"
            ) from error
        raise
    if not trainer.is_global_zero:
        return None
    return _finish(config, run, data, trackers, history, time.monotonic() - started)


def _counts(config: TrainConfig, data: FloodDataModule) -> str:
    """Describes the number of samples of each part, and the validation sets if there is no validation part."""
    only, rest = config.datamodule.extra_val_only, len(data.split.test)
    val = sum(map(len, data.val_sets)) if only else len(data.val_set)
    where = f" ({_only_sets(config)} only)" if only else ""
    held = f", {rest} test samples held out" if rest else ""
    return f"{len(data.train_set)} training samples, {val} validation samples{where}{held}"


def _only_sets(config: TrainConfig) -> str:
    return " and ".join(config.datamodule.extra_val)


def _new_run(config: TrainConfig, folder: Path | None) -> Run:
    """Creates the folder of a new run; in distributed training rank 0 only."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return Run(folder)
    return Run(new_folder(Path(config.output_dir)) if is_main() else Path(config.output_dir) / "of-rank-0")


def _tune(config: TrainConfig, module: SegmentationModule, data: FloodDataModule) -> list[str]:
    """Runs the finders of `tuner` and sets their results in the configuration; returns the equivalent overrides."""
    found = []
    if config.tuner.find_batch_size:
        limit = min(config.tuner.max_batch_size, len(data.train_set))
        size = find_batch_size(config.trainer, config.datamodule, module.network, module.loss, limit)
        config.datamodule.batch_size = size  # read by the data module for each loader
        found += [f"datamodule.batch_size={size}", "tuner.find_batch_size=false"]
    if config.tuner.find_lr:
        lr = find_lr(config.tuner, config.trainer, module, data, Path(config.plots_dir))
        config.optimizer["lr"] = lr
        found += [f"optimizer.lr={lr}", "tuner.find_lr=false"]
    return found


def _resume(run: Run, overrides: list[str]) -> tuple[TrainConfig, list[str]]:
    """Removes what an interruption left; returns the run's overrides, with new ones, and what they compose."""
    if is_main() and (removed := clear_leftovers(run.folder)):
        say(f"{run.folder}: removed {counted(len(removed), 'incomplete file')} of an interrupted run")
    overrides = resumed_overrides(run, overrides)
    return compose("train", overrides, TrainConfig), overrides


def _load_data(config: TrainConfig) -> tuple[TrainConfig, FloodDataModule, ModelSpec]:
    """Returns the configuration with the mean and standard deviation in use, the data, and the spec of the model."""
    if config.datamodule.sample is not None:
        write_sample(config.datamodule.folders[0], config.datamodule.sample)
    prepare_data(config.datamodule)
    store = load_store(config.datamodule, config.task)
    split = choose_split(config.datamodule, store.pairs, config.seed)
    if not split.train:
        raise DataError(f"{config.datamodule.place}: the training part is empty; see docs/data.md for the layouts")
    if config.trainer.overfit_batches:
        few = split.train[: config.trainer.overfit_batches * config.datamodule.batch_size]
        split = Split(few, few)
    parts = set(split.train)
    training = [pair for pair in store.pairs if pair.stem in parts]
    if config.datamodule.mean == AUTO:
        mean, std = measure_bands(config.datamodule, config.task, training)
        config = replace(config, datamodule=replace(config.datamodule, mean=mean, std=std))
    size = (config.datamodule.height, config.datamodule.width)
    distance = config.datamodule.ground_sample_distance or measure_ground_sample_distance(training, *size)
    scales = measure_image_scales(training, *size)
    spec = replace(make_spec(config), ground_sample_distance=distance, image_scales=scales)
    bands = BandSelection.of(config.datamodule)
    augmentation = build_augmentation(config.augmentation, bands, BandDropout.of(config.datamodule, spec))
    if line := left_out(config.augmentation, bands):
        say(line)
    data = FloodDataModule(config.datamodule, spec, store, split, augmentation, config.seed)
    spec.provenance["data_fingerprint"] = data.fingerprint
    return config, data, spec


def _open_trackers(config: TrainConfig, run: Run) -> Trackers:
    if not config.logger or config.trainer.fast_dev_run or not is_main():
        return Trackers([])
    info = RunInfo(config.run_name or run.name, run.folder, flatten(config), git_commit())
    try:
        return open_trackers(config.logger, info)
    except FloodSegError:
        run.discard_empty()
        raise


def _finish(
    config: TrainConfig, run: Run, data: FloodDataModule, trackers: Trackers, history: History, seconds: float
) -> Summary:
    """Exports the best checkpoint, draws the plots, logs the artifacts and prints the summary."""
    checkpoint = config.callbacks.get("checkpoint") or {}
    monitor = str(checkpoint.get("monitor", "val_iou"))
    best = best_row(history.rows, monitor, str(checkpoint.get("mode", "max")))
    plots = Path(config.plots_dir) / (config.run_name or run.name)
    files = plot_history(history.rows, plots)
    onnx = None
    if run.best.exists():
        network, spec = load_network(run.best)
        export_onnx(network, spec, run.onnx)
        onnx = run.onnx
        files.append(plot_validation(network, spec, data.val_set, plots / "validation_samples.png"))
        confusion = spec.provenance["confusion"]
        files.append(plot_confusion(confusion, spec.class_names, plots / "confusion.png"))
        show_classes(by_class(np.array([confusion]), spec.class_names))
    trackers.log_artifacts({"plots": files, "checkpoints": _existing(run.best.resolve()), "onnx": _existing(run.onnx)})
    summary = Summary(
        run_dir=run.folder,
        epochs=len(history.rows),
        best_epoch=int(best["epoch"]),
        monitor=monitor,
        validated_on=f"{_only_sets(config)} only" if config.datamodule.extra_val_only else "validation part",
        metrics={name: float(value) for name, value in best.items() if name.startswith("val_")},
        best_checkpoint=run.best,
        onnx=onnx,
        plots=plots,
        seconds=seconds,
        tracking=trackers.description,
    )
    trackers.close()
    for table in sorted(run.folder.glob(f"*{PROFILE}*.txt")):
        say(*table.read_text(encoding="utf-8").splitlines())
    print_summary(summary)
    return summary


def _existing(path: Path) -> list[Path]:
    return [path] if path.is_file() else []
