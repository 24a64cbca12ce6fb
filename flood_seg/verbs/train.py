"""`flood-seg train`: train a model, or several with `-m`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import say
from flood_seg.errors import ConfigError, OutputError
from flood_seg.verbs.common import as_overrides, data_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import TrainConfig
    from flood_seg.training.run import Run
    from flood_seg.training.summary import Summary
    from flood_seg.verbs.common import PathLike
    from flood_seg.verbs.train_sweep import Outcome


def train(
    overrides: Sequence[str] = (),
    *,
    data: PathLike | None = None,
    multirun: bool = False,
    cfg: str | None = None,
    image_size: int | None = None,
    find_lr: bool = False,
    find_batch_size: bool = False,
) -> Summary | list[Outcome] | None:
    """Train a model; return its summary, or for `multirun` one outcome per run, best first.

    Raises:
        FloodSegError: wrong input, detected before the first epoch where possible.
    """
    from flood_seg.config.compose import compose
    from flood_seg.config.overrides import run_folder, sweep
    from flood_seg.config.schema import TrainConfig, check_choice

    check_choice("--cfg", cfg or "job", ("job", "hydra", "all"))
    flags: dict[str, object] = {"datamodule.height": image_size, "datamodule.width": image_size}
    flags |= {"tuner.find_lr": find_lr or None, "tuner.find_batch_size": find_batch_size or None}
    overrides = [*overrides, *data_dir(data), *as_overrides(flags)]
    jobs = sweep(overrides) if multirun else [overrides]
    configs = [compose("train", job, TrainConfig) for job in jobs]  # all are checked before the first run starts
    if cfg:
        _show(cfg, jobs[0], configs)
        return None
    resumed = [_check_start(config, f"-{number}" if multirun else "") for number, config in enumerate(configs)]
    if multirun:
        from flood_seg.verbs.train_sweep import run_sweep

        return run_sweep(overrides, configs)
    from flood_seg.verbs.train_run import run_training

    job = [override for override in jobs[0] if not override.startswith("hydra.run.dir=")]
    return run_training(configs[0], job, run_folder(overrides), resumed[0])


def _show(cfg: str, job: list[str], configs: list[TrainConfig]) -> None:
    """Prints Hydra's own settings (`hydra`), the configuration of each run (`job`), or both (`all`) as YAML."""
    from flood_seg.config.compose import show
    from flood_seg.config.saved import as_yaml

    hydras = [show("train", job)] if cfg in ("hydra", "all") else []
    runs = [as_yaml(config) for config in configs] if cfg in ("job", "all") else []
    say(*"---\n".join([*hydras, *runs]).splitlines())


def _check_start(config: TrainConfig, suffix: str) -> Run | None:
    """Checks the output folders and the encoder weights, before torch is imported; returns the run to resume.

    Raises:
        ConfigError: the run to resume does not exist, or the name is taken by another run.
        OutputError: an output folder is not writable.
        WeightsError: the encoder weights are neither cached nor downloadable.
    """
    from flood_seg.files import check_writable
    from flood_seg.networks.hub import ensure_reachable
    from flood_seg.training.run import find_run

    for key, folder in (("output_dir", config.output_dir), ("plots_dir", config.plots_dir)):
        try:
            check_writable(Path(folder))
        except OutputError as error:
            raise OutputError(f"{key}={error}") from error
    resumed = find_run(config.resume, Path(config.output_dir), config.run_name)
    plots = Path(config.plots_dir) / f"{config.run_name}{suffix}"
    if config.run_name and resumed is None and plots.is_dir() and any(plots.iterdir()):
        raise ConfigError(
            f"run_name={config.run_name}: {plots} exists; choose another name, or resume=auto to continue that run"
        )
    model = config.model
    if resumed is None and model.encoder_weights and not model.encoder_weights_path:
        ensure_reachable(model.encoder, model.encoder_weights)
    return resumed
