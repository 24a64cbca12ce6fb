"""One short training, shared by all that look at what a run leaves behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import flood_seg.torchvision_compat  # noqa: F401 - before what imports torchvision

import pytest

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.training.run import find_run
from flood_seg.training.summary import Summary

TINY = [
    "model=mobilenet_unet",
    "model.encoder_weights=null",
    "datamodule.height=64",
    "datamodule.batch_size=4",
    "trainer.precision=32-true",
    "trainer.max_epochs=2",
]


def run_training(folder: Path, data: Path, *overrides: str) -> Summary:
    """Trains on `data` in `folder`."""
    from flood_seg.verbs.train_run import run_training as train

    places = [f"output_dir={folder}/outputs", f"plots_dir={folder}/plots", f"datamodule.data_dir={data}"]
    job = [*TINY, *places, *overrides]
    config = compose("train", job, TrainConfig)
    return train(config, job, resumed=find_run(config.resume, Path(config.output_dir), config.run_name))


@pytest.fixture(autouse=True)
def _no_curves(no_curves: None) -> None:
    """Of `finished_run`, which is made before any test's own fixtures, they are drawn."""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, shared_ponds: Path, empty_store: Path) -> Summary:
    """A run of two epochs with MLflow's embedded store."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copy(empty_store, folder)
    store = f"logger.mlflow.tracking_uri='sqlite:///{folder}/mlflow.db'"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where MLflow keeps its artifacts
        return run_training(folder, shared_ponds, store, "run_name=ponds")
