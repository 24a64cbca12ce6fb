"""A real process, a real SIGKILL in the middle of an epoch: the resumed run ends where an undisturbed one does."""

import signal
import sys
import time
from pathlib import Path

import pytest

from flood_seg.cli.main import main
from flood_seg.training.history import read_history
from tests.processes import Forked, start

EPOCHS = 4
OPTIONS = [
    "model=mobilenet_unet",
    "model.encoder_weights=null",
    "datamodule.height=64",
    "datamodule.batch_size=3",
    "trainer.precision=32-true",
    f"trainer.max_epochs={EPOCHS}",
    "logger=none",
    # halves the learning rate at once, so that a step of the scheduler that gets lost shows
    "scheduler.patience=0",
    "scheduler.mode=min",
    "+optimizer.eps=1e-8",
]


def run_folders(folder: Path, file: str = "") -> list[Path]:
    return sorted((folder / "outputs").glob(f"2*/*/{file}"))


def kill_in_the_middle_of_an_epoch(process: Forked, folder: Path, after_epochs: int) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        done = [path for path in run_folders(folder) if (path / "last.ckpt").is_file()]
        if done and len(read_history(done[0] / "history.csv")) >= after_epochs:
            break
        time.sleep(0.02)
    time.sleep(0.05)  # the next epoch has begun
    process.send(signal.SIGKILL)
    assert process.finish()[0] == -signal.SIGKILL, "it ended before it could be killed"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_and_resumed_run_ends_where_an_undisturbed_one_does(tmp_path, shared_ponds, monkeypatch, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = ["train", *OPTIONS, f"datamodule.data_dir={shared_ponds}"]
    for folder in (whole, broken):
        folder.mkdir()
    monkeypatch.chdir(whole)
    main(words)
    killed = start(broken, *words)
    kill_in_the_middle_of_an_epoch(killed, broken, after_epochs=2)
    (folder,) = run_folders(broken)
    # As of a kill in the middle of a checkpoint, which is too short to be met here.
    for name in (f".last.{killed.pid}.part.ckpt", f".best.{killed.pid}.part.ckpt"):
        (folder / name).touch()
    assert len(read_history(folder / "history.csv")) < EPOCHS
    monkeypatch.chdir(broken)
    capsys.readouterr()
    main([*words, "resume=auto"])
    out = capsys.readouterr().out
    assert run_folders(broken) == [folder], "a resumed run stays in its folder"
    assert "epoch   0" not in out
    assert "removed 2 incomplete files of an interrupted run" in out and not list(folder.glob(".*.part*"))
    expected, resumed = (read_history(run_folders(place)[0] / "history.csv") for place in (whole, broken))
    assert [row["epoch"] for row in resumed] == [0, 1, 2, 3]
    for ours, theirs in zip(resumed, expected, strict=True):
        for name in set(theirs) - {"seconds"}:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-4), name


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for a single process")
def test_ctrl_c_says_how_to_go_on(tmp_path, shared_ponds):
    options = ["model=tiny_unet", "trainer.max_epochs=500", "callbacks.early_stopping=null"]
    process = start(tmp_path, "train", *OPTIONS, f"datamodule.data_dir={shared_ponds}", *options)
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not run_folders(tmp_path, "last.ckpt"):
        time.sleep(0.05)
    process.send(signal.SIGINT)
    code, out = process.finish(60)
    assert code == 130
    assert "flood-seg train resume=outputs" in out and "flood-seg: interrupted" in out and "Traceback" not in out
