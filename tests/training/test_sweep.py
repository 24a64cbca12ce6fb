"""Hydra's own sweepers and launchers."""

import csv
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flood_seg.cli.main import main
from flood_seg.config.compose import compose
from flood_seg.config.overrides import sweep
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError, FloodSegError
from flood_seg.training.history import read_history
from flood_seg.training.run import new_folder
from flood_seg.verbs.train_sweep import run_sweep
from tests.processes import start

OPTIONS = ["model=tiny_unet", "datamodule.height=64", "datamodule.batch_size=4", "trainer.precision=32-true",
           "trainer.max_epochs=1", "augmentation=none"]  # fmt: skip


Run = Callable[..., tuple[str, list[dict[str, str]], Path]]


@pytest.fixture
def run(shared_ponds, tmp_path, monkeypatch, capfd) -> Run:
    """Sweeps in `tmp_path`; returns what was said, the rows of the table and its folder."""
    monkeypatch.chdir(tmp_path)

    def sweep_here(*overrides: str, code: int = 0) -> tuple[str, list[dict[str, str]], Path]:
        found = 0
        try:
            main(["train", "-m", *OPTIONS, f"datamodule.data_dir={shared_ponds}", *overrides])
        except SystemExit as stopped:
            found = stopped.code
        out = "".join(capfd.readouterr())
        assert found == code, out
        (table,) = tmp_path.glob("outputs/*/*/sweep.csv")
        with table.open(newline="") as file:
            return out, list(csv.DictReader(file)), table.parent

    return sweep_here


def test_two_sweeps_within_a_second_have_a_folder_each(tmp_path):
    assert len({new_folder(tmp_path) for _ in range(3)}) == 3


def test_runs_side_by_side_share_one_store_and_are_compared_the_best_first(run, tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path)
    options = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "optimizer.lr=1e-3,5e-3", "run_name=lr"]
    out, rows, folder = run(*options)
    assert {row["overrides"] for row in rows} == {"optimizer.lr=0.001", "optimizer.lr=0.005"}
    ious = [float(row["val IoU"]) for row in rows]
    assert ious == sorted(ious, reverse=True) and out.index(rows[0]["overrides"]) >= 0
    for row in rows:
        best = max(line["val_iou"] for line in read_history(tmp_path / row["folder"] / "history.csv"))
        assert float(row["val IoU"]) == pytest.approx(best, abs=1e-4)
    assert (folder / "model.onnx").resolve() == (tmp_path / rows[0]["folder"] / "model.onnx").resolve()
    assert (tmp_path / "outputs" / "latest").resolve() == (tmp_path / rows[0]["folder"]).resolve()
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"lr-0", "lr-1"}
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("flood-seg").experiment_id])
    assert {(run.info.status, run.data.params["optimizer.lr"]) for run in runs} == {
        ("FINISHED", "0.001"),
        ("FINISHED", "0.005"),
    }


def test_a_search_learns_from_the_validation_iou(run, tmp_path):
    options = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "optimizer.lr=tag(log,interval(1e-4,1e-2))",
               "hydra.sweeper.sampler.seed=1", "logger=none"]  # fmt: skip
    storage = f"hydra.sweeper.storage='sqlite:///{tmp_path}/study.db'"
    _, rows, _ = run(*options, storage, "hydra.sweeper.study_name=lr")
    import optuna

    study = optuna.load_study(study_name="lr", storage=f"sqlite:///{tmp_path}/study.db")
    assert study.direction.name == "MAXIMIZE" and len(study.trials) == len(rows) == 3
    assert study.best_value == pytest.approx(float(rows[0]["val IoU"]), abs=1e-4)
    assert f"optimizer.lr={study.best_params['optimizer.lr']}" == rows[0]["overrides"]
    assert all(1e-4 <= trial.params["optimizer.lr"] <= 1e-2 for trial in study.trials)


def test_a_run_that_fails_does_not_lose_the_others_and_they_may_lie_deeper(run, tmp_path):
    options = ["datamodule.val_split=0.001,0.2", "logger=none", "hydra.sweep.subdir='a/${hydra.job.num}'"]
    out, rows, folder = run(*options, code=2)
    assert {Path(row["folder"]).relative_to(folder.relative_to(tmp_path)) for row in rows} == {Path("a/0"), Path("a/1")}
    assert (folder / "model.onnx").resolve() == (tmp_path / rows[0]["folder"] / "model.onnx").resolve()
    assert [row["best epoch"] for row in rows] == ["0", "failed"] and "leaves an empty validation part" in rows[1][
        "error"
    ]
    assert "error: 1 of 2 runs failed" in out and "Traceback" not in out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("optimizer.lr=1e-3,-1", "Invalid learning rate"),
        ("loss=bce,ce", "is for task=multiclass"),
        ("trainer.devices=1,2", "use one device each"),
        ("hydra/launcher=submitit_slurm", "pip install 'hydra-submitit-launcher'"),
        ("hydra.sweep.dir='a/${now:%H}'", "interpolations are not supported"),
        ("hydra/sweeper=optun", "Available options in 'hydra/sweeper': basic optuna$"),
    ],
)
def test_a_run_that_cannot_be_is_found_before_the_first_one_starts(wrong, message, tmp_path):
    overrides = [*OPTIONS, "logger=none", f"output_dir={tmp_path}", wrong]
    configs = [compose("train", job, TrainConfig) for job in sweep(overrides)]
    with pytest.raises(FloodSegError, match=message) as error:
        run_sweep(overrides, configs)
    assert "\n" not in str(error.value) and not list(tmp_path.glob("*/*/*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a single process")
def test_ctrl_c_ends_the_sweep_and_not_the_run_alone(shared_ponds, tmp_path):
    options = ["trainer.max_epochs=500,600", "callbacks.early_stopping=null", "logger=none"]
    process = start(tmp_path, "train", "-m", *OPTIONS, f"datamodule.data_dir={shared_ponds}", *options)
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not list(tmp_path.glob("outputs/*/*/0/last.ckpt")):
        time.sleep(0.1)
    process.send(signal.SIGINT)
    code, out = process.finish(60)
    assert code == 130 and "Traceback" not in out
    assert not list(tmp_path.glob("outputs/*/*/1"))


def test_hydras_own_settings_are_no_part_of_a_run_and_refused_without_a_sweep():
    assert sweep(["hydra/launcher=joblib", "model=a,b", "hydra.launcher.n_jobs=2"]) == [["model=a"], ["model=b"]]
    assert sweep(["hydra/sweeper=optuna", "loss=dice", "optimizer.lr=interval(1,2)"]) == [["loss=dice"]]
    with pytest.raises(ConfigError, match="Hydra's own settings are of sweeps; add -m"):
        compose("train", ["hydra.launcher.n_jobs=2"], TrainConfig)


@pytest.mark.parametrize("group", ["model", "datamodule", "optimizer", "trainer"])
def test_what_no_run_is_without_cannot_be_removed(group):
    with pytest.raises(ConfigError, match=f"there is no run without {group}; choose one of"):
        compose("train", [f"~{group}"], TrainConfig)


def test_what_can_be_removed_is():
    config = compose("train", ["~scheduler", "~logger", "~callbacks.early_stopping"], TrainConfig)
    assert config.scheduler == {} and config.logger == {} and set(config.callbacks) == {"checkpoint"}
