"""A real process, a real SIGKILL in the middle of an epoch: the resumed run ends where an undisturbed one does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flood_seg.training.history import read_history

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


def start(folder: Path, data: Path, *overrides: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "flood_seg", "train", *OPTIONS, f"datamodule.data_dir={data}", *overrides]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen) -> str:
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
    return out


def run_folders(folder: Path) -> list[Path]:
    return sorted((folder / "outputs").glob("2*/*"))


def kill_in_the_middle_of_an_epoch(process: subprocess.Popen, folder: Path, after_epochs: int) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        done = [path for path in run_folders(folder) if (path / "last.ckpt").is_file()]
        if done and len(read_history(done[0] / "history.csv")) >= after_epochs:
            break
        time.sleep(0.02)
    time.sleep(0.05)  # the next epoch has begun
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_and_resumed_run_ends_where_an_undisturbed_one_does(tmp_path, shared_ponds):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(whole, shared_ponds))
    killed = start(broken, shared_ponds)
    kill_in_the_middle_of_an_epoch(killed, broken, after_epochs=2)
    (folder,) = run_folders(broken)
    # As of a kill in the middle of a checkpoint, which is too short to be met here.
    for name in (f".last.{killed.pid}.part.ckpt", f".best.{killed.pid}.part.ckpt"):
        (folder / name).touch()
    assert len(read_history(folder / "history.csv")) < EPOCHS
    out = finish(start(broken, shared_ponds, "resume=auto"))
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
    process = start(tmp_path / "run", shared_ponds, "trainer.max_epochs=500", "callbacks.early_stopping=null")
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not list((tmp_path / "run").glob("outputs/2*/*/last.ckpt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "flood-seg train resume=outputs" in out and "flood-seg: interrupted" in out and "Traceback" not in out
