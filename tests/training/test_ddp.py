"""Two real processes that train one model over gloo."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import flood_seg.torchvision_compat  # noqa: F401 - before lightning

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig, TrainerConfig
from flood_seg.data.datamodule import FloodDataModule
from flood_seg.data.split import Split
from flood_seg.networks.checkpoint import read_checkpoint
from flood_seg.training.distributed import choose_strategy
from flood_seg.training.history import read_history
from flood_seg.training.losses import BCEWithLogits
from flood_seg.training.module import SegmentationModule
from tests.conftest import make_spec
from tests.processes import Forked, start
from tests.training.conftest import run_training

OPTIONS = [
    "model=tiny_unet", "datamodule.height=64", "trainer.precision=32-true", "trainer.accelerator=cpu", "logger=csv",
    "augmentation=none", "callbacks.early_stopping=null", "optimizer=sgd", "scheduler=none",
]  # fmt: skip
DDP = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true"]


@pytest.fixture(scope="module")
def runs(shared_ponds, tmp_path_factory):
    """One process with batches of 4, and two with 2 each: the same samples a step. 7 samples validate."""
    folder = tmp_path_factory.mktemp("ddp")
    common = [*OPTIONS, "datamodule.val_split=0.58", "trainer.max_epochs=2"]
    alone = run_training(folder / "one", shared_ponds, *common, "datamodule.batch_size=4").run_dir
    words = [*common, f"datamodule.data_dir={shared_ponds}", *DDP, "datamodule.batch_size=2"]
    command = [sys.executable, "-m", "flood_seg", "train", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return alone, sorted(folder.glob("outputs/2*/*"))[0], done.stdout + done.stderr


def test_one_run_is_written_and_one_process_speaks(runs):
    alone, folder, out = runs
    assert len(list(folder.parent.glob("*"))) == 1, "one folder"
    names = [{path.name for path in place.iterdir() if "best-epoch" not in path.name} for place in (alone, folder)]
    assert names[0] == names[1]
    assert (folder / "model.onnx").is_file() and (folder / "csv" / "metrics.csv").is_file()
    assert out.count("epoch   1 ") == 1 and out.count("Best epoch") == 1


def test_every_validation_sample_counts_once(runs):
    """The confusion matrix of 7 samples of 64×64 pixels."""
    for folder in runs[:2]:
        spec = read_checkpoint(folder / "last.ckpt")[1]
        assert sum(map(sum, spec.provenance["confusion"])) == 7 * 64 * 64


def test_the_metrics_of_the_saved_weights_are_those_that_one_process_counts(runs, shared_ponds, tmp_path):
    from flood_seg.config.compose import compose
    from flood_seg.config.schema import EvaluateConfig
    from flood_seg.inference.engines import choose_engine
    from flood_seg.verbs.evaluate import run_evaluation as evaluate

    _, folder, _ = runs
    model = str(folder / "best.ckpt")
    data = [f"datamodule.data_dir='{shared_ponds}'", f"datamodule.split_file='{folder}/split.txt'"]
    record = evaluate(
        compose("evaluate", choose_engine(data, model)[0], EvaluateConfig), model, None, at_network_size=True
    ).record
    saved = read_checkpoint(folder / "best.ckpt")[1].provenance
    assert record["confusion"] == saved["confusion"]
    assert record["iou"] == pytest.approx(saved["metrics"]["val_iou"], abs=1e-6)


def test_two_halves_train_as_one_whole_within_noise(runs):
    """BatchNorm's own averages, of 2 samples or of 4, are the noise."""
    one, two = (read_history(folder / "history.csv") for folder in runs[:2])
    for alone, shared in zip(one, two, strict=True):
        assert shared["train_loss"] == pytest.approx(alone["train_loss"], rel=0.15)
        assert shared["val_loss"] == pytest.approx(alone["val_loss"], rel=0.15)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads its processes from /proc")
@pytest.mark.parametrize(("name", "code"), [("interrupted", 130), ("killed", 1)])
def test_ctrl_c_and_the_end_of_one_process_end_both(name, code, shared_ponds, tmp_path):
    options = [*DDP, "trainer.max_epochs=500", "logger=none", f"output_dir={tmp_path / 'runs'}"]
    process = start(tmp_path, "train", *OPTIONS, f"datamodule.data_dir={shared_ponds}", *options)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(tmp_path.glob("runs/*/*/last.ckpt")):
        time.sleep(0.1)
    (other,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid if name == "interrupted" else int(other), signal.SIGINT if code == 130 else signal.SIGKILL)
    assert process.finish(60)[0] == code
    status = Path(f"/proc/{other}/status")
    deadline = time.monotonic() + 30
    while runs_still := status.exists() and "zombie" not in status.read_text():
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert not runs_still


def test_the_gradient_of_two_processes_is_that_of_all_samples(tmp_path):
    """A network without BatchNorm, one step: equal weights within 1e-5."""
    train_a_step(1, tmp_path / "1.pt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1]), "WORLD_SIZE": "2"}
    ranks = [Forked(tmp_path, train_a_step, 2, tmp_path / "2.pt", **place, LOCAL_RANK=rank) for rank in "01"]
    for code, output in [rank.finish() for rank in ranks]:
        assert code == 0, output
    one, two = (torch.load(tmp_path / f"{devices}.pt", weights_only=True) for devices in (1, 2))
    for key in one:
        assert torch.allclose(one[key], two[key], atol=1e-5), key


class Store:
    """Eight samples of noise."""

    pairs = tuple(SimpleNamespace(stem=str(number)) for number in range(8))
    faults = ()

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.images = random.integers(0, 256, (8, 16, 16, 3), np.uint8)
        self.masks = random.integers(0, 2, (8, 16, 16), np.uint8)

    def __getitem__(self, index):
        return self.images[index], self.masks[index]

    def draw(self, index, random):
        return self[index]


def train_a_step(devices: int, path: Path) -> None:
    """Trains on all samples at once, a part of them in each of so many processes, and saves the weights."""
    config = defaults(DataConfig, height=32, width=32, batch_size=8 // devices)
    stems = tuple(pair.stem for pair in Store.pairs)
    data = FloodDataModule(config, make_spec(16, 16), Store(), Split(stems, stems[:3]), None, 0)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))
    module = SegmentationModule(
        network, make_spec(16, 16), BCEWithLogits(2.0), lambda network: torch.optim.SGD(network.parameters(), 0.5)
    )
    strategy = choose_strategy(defaults(TrainerConfig, devices=devices))
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", devices=devices, strategy=strategy, max_epochs=1,
                         use_distributed_sampler=False, **options)  # fmt: skip
    trainer.fit(module, data)
    if trainer.is_global_zero:
        torch.save(module.state_dict(), path)
