"""Sweeps by Hydra's multirun: sweepers choose the overrides, launchers start the runs."""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.compose import from_composed
from flood_seg.config.overrides import hydra_arguments, parse_overrides
from flood_seg.config.repository import configs_dir
from flood_seg.config.schema import TrainConfig
from flood_seg.console import say, show_table, warn
from flood_seg.errors import ConfigError, FloodSegError, MissingExtraError, PartialFailureError
from flood_seg.files import atomic_path, check_writable, shorten, write_csv, write_json
from flood_seg.training.run import Run, find_run, link_latest, new_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from flood_seg.training.summary import Summary

RESULT = "result.json"
# Package and module of each plugin.
PLUGINS = {
    "joblib": ("flood-seg[sweeps]", "hydra_plugins.hydra_joblib_launcher"),
    "optuna": ("flood-seg[sweeps]", "hydra_plugins.hydra_optuna_sweeper"),
    "submitit_local": ("hydra-submitit-launcher", "hydra_plugins.hydra_submitit_launcher"),
    "submitit_slurm": ("hydra-submitit-launcher", "hydra_plugins.hydra_submitit_launcher"),
    "ray": ("hydra-ray-launcher", "hydra_plugins.hydra_ray_launcher"),
    "ray_aws": ("hydra-ray-launcher", "hydra_plugins.hydra_ray_launcher"),
}
# Defaults that the user can override.
DEFAULTS = {
    "hydra/job_logging": "none",
    "hydra/hydra_logging": "none",
    "hydra.job.chdir": "false",
    "hydra.sweep.subdir": "${hydra.job.num}",
}
OPTUNA_DEFAULTS = {
    "hydra.sweeper.direction": "maximize",
    "hydra.sweeper.n_jobs": "1",
    "hydra.sweeper.max_failure_rate": "1.0",
}


# Valid counts; -1 is one process per core.
COUNTS = {
    "hydra.sweeper.n_trials": r"[1-9]\d*",
    "hydra.sweeper.n_jobs": r"[1-9]\d*|-1",
    "hydra.launcher.n_jobs": r"[1-9]\d*|-1",
}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run of a sweep.

    Attributes:
        overrides: of the run.
        folder: of the run.
        best_epoch: counted from 0; None if the run failed.
        val_iou: of the best epoch; NaN if the run failed.
        error: the message if the run failed, else empty.
    """

    overrides: list[str]
    folder: str
    best_epoch: int | None
    val_iou: float
    error: str = ""


def run_sweep(overrides: Sequence[str], configs: Sequence[TrainConfig]) -> list[Outcome]:
    """Runs a sweep and compares its runs in a table, best first.

    The folder of the sweep gets `sweep.csv` and links to the files of the best run, and counts as the newest run.

    Args:
        overrides: of the user, including those of `hydra.` and `hydra/`.
        configs: of the runs, as far as they are known in advance.

    Raises:
        ConfigError: an invalid run, before the first one starts; or no result of a run was found.
        MissingExtraError: a launcher or sweeper is not installed.
        PartialFailureError: some runs failed; the others are complete.
    """
    chosen = {override.key_or_group: str(override.value()) for override in parse_overrides(overrides)
              if not override.is_sweep_override()}  # fmt: skip
    _check_plugins(chosen)
    _check_counts(chosen)
    _check_runs(configs)
    output_dir = Path(configs[0].output_dir)
    folder = Path(chosen.get("hydra.sweep.dir") or new_folder(output_dir))
    if "${" in str(folder):
        raise ConfigError(f"hydra.sweep.dir={folder}: interpolations are not supported; give a plain path, or omit it")
    check_writable(folder)
    defaults = DEFAULTS | ({} if "hydra.sweep.dir" in chosen else {"hydra.sweep.dir": f"'{folder}'"})
    if chosen.get("hydra/sweeper") == "optuna":
        defaults |= OPTUNA_DEFAULTS
    ours = [f"{key}={value}" for key, value in defaults.items() if key not in chosen]
    say(f"Sweep {folder}")
    try:
        _multirun([*overrides, *ours])
    finally:
        Run(folder).discard_empty()
    outcomes = [Outcome(**json.loads(file.read_text("utf-8"))) for file in folder.glob(f"**/{RESULT}")]
    if not outcomes:
        raise ConfigError(f"{folder}: no run wrote {RESULT}; the launcher or hydra.sweep.subdir wrote elsewhere")
    outcomes.sort(key=lambda outcome: (-outcome.val_iou if not outcome.error else math.inf, outcome.folder))
    _conclude(folder, outcomes, output_dir)
    return outcomes


def _check_plugins(chosen: dict[str, str]) -> None:
    for group in ("hydra/launcher", "hydra/sweeper"):
        package, module = PLUGINS.get(chosen.get(group, ""), ("", ""))
        if package and not _is_installed(module):
            raise MissingExtraError(f"{group}={chosen[group]}: not installed; pip install '{package}'")


def _check_counts(chosen: dict[str, str]) -> None:
    """Raises ConfigError for numbers of trials or processes that would end in a traceback of Hydra."""
    for key, allowed in COUNTS.items():
        if key in chosen and not re.fullmatch(allowed, chosen[key]):
            raise ConfigError(f"{key}={chosen[key]}: must be a whole number of at least 1")


def _check_runs(configs: Sequence[TrainConfig]) -> None:
    """Checks the components of each run; creates the MLflow store before parallel runs would do so."""
    from flood_seg.verbs.train_parts import check_components

    for config in configs:
        if config.trainer.devices != 1:
            raise ConfigError(f"trainer.devices={config.trainer.devices}: runs of a sweep use one device each")
        check_components(config)
        if mlflow := config.logger.get("mlflow"):
            from flood_seg.tracking.mlflow import prepare

            prepare(mlflow["tracking_uri"], mlflow["experiment_name"])


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # no plugin is installed
        return False


def _multirun(overrides: list[str]) -> None:
    """Runs Hydra's multirun as `hydra.main` does, with given arguments instead of `sys.argv`.

    There is no public API for it; hydra-zen does the same.
    """
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    version.setbase("1.3")
    GlobalHydra.instance().clear()
    hydra = Hydra.create_main_hydra2("train", create_config_search_path(str(configs_dir())))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="hydra_plugins")
            hydra.multirun("train", run_job, hydra_arguments(overrides), with_log_configuration=False)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split()).partition(" Config search path")[0]) from error
    except (TypeError, ValueError) as error:  # of the sweeper or launcher; `run_job` records errors of runs
        raise ConfigError(f"hydra.sweeper or hydra.launcher: {' '.join(str(error).split())}") from error
    finally:
        GlobalHydra.instance().clear()


def run_job(composed: DictConfig) -> float:
    """Runs one job of a sweep, in this process or in one of the launcher; returns its best validation IoU.

    Errors are recorded instead of raised, so that the other runs continue.
    """
    from hydra.core.hydra_config import HydraConfig

    settings = HydraConfig.get()
    folder, number = Path(settings.runtime.output_dir), settings.job.num
    overrides = list(settings.overrides.task)
    try:
        summary = _train(composed, overrides, folder, number)
        outcome = Outcome(overrides, str(folder), summary.best_epoch, summary.metrics["val_iou"])
    except FloodSegError as error:
        outcome = Outcome(overrides, str(folder), None, math.nan, str(error))
    except Exception as error:  # e.g. a bug or out of memory in one run
        outcome = Outcome(
            overrides, str(folder), None, math.nan, f"{type(error).__name__}: {' '.join(str(error).split())}"
        )
    if outcome.error:
        warn(f"run {number} failed: {outcome.error}")
    write_json(folder / RESULT, outcome.__dict__)
    return outcome.val_iou


def _train(composed: DictConfig, overrides: list[str], folder: Path, number: int) -> Summary:
    from flood_seg.verbs.train_run import run_training

    config = from_composed(composed, TrainConfig)
    if config.run_name:
        config.run_name = f"{config.run_name}-{number}"  # separate plots of each run
    say(f"Run {number}: {' '.join(overrides)}")
    resumed = find_run(config.resume, Path(config.output_dir), config.run_name)
    summary = run_training(config, overrides, folder, resumed)
    assert summary is not None
    return summary


def _conclude(folder: Path, outcomes: list[Outcome], output_dir: Path) -> None:
    columns = ("overrides", "folder", "best epoch", "val IoU")
    shared = set.intersection(*(set(outcome.overrides) for outcome in outcomes)) if len(outcomes) > 1 else set()
    rows = [
        (
            " ".join(override for override in outcome.overrides if override not in shared),
            str(shorten(Path(outcome.folder))),
            "failed" if outcome.error else outcome.best_epoch,
            "" if outcome.error else f"{outcome.val_iou:.4f}",
        )
        for outcome in outcomes
    ]
    show_table(f"Runs of {folder}, best first", columns, rows)
    file = folder / "sweep.csv"
    write_csv(file, (*columns, "error"), [(*row, one.error) for row, one in zip(rows, outcomes, strict=True)])
    say(str(file))
    done = [outcome for outcome in outcomes if not outcome.error]
    if done:
        _link_best(folder, Run(Path(done[0].folder)), output_dir)
    if len(done) < len(outcomes):
        raise PartialFailureError(
            f"{len(outcomes) - len(done)} of {len(outcomes)} runs failed; see {file}; the others are complete"
        )


def _link_best(folder: Path, best: Run, output_dir: Path) -> None:
    for file in (best.onnx, best.best, best.last, best.split, best.spec):
        if file.exists():
            with atomic_path(folder / file.name) as temporary:
                temporary.symlink_to(os.path.relpath(file, folder))
    link_latest(best, output_dir)
