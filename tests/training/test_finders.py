from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from flood_seg.config.compose import compose
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError
from flood_seg.training import finders
from flood_seg.training.finders import find_batch_size
from tests.training.conftest import run_training


def test_training_goes_on_with_what_was_found_and_says_so(shared_ponds, tmp_path, capsys):
    options = ["logger=none", "model=tiny_unet", "augmentation=none", "tuner.find_lr=true", "tuner.steps=30",
               "tuner.find_batch_size=true", "trainer.max_epochs=1"]  # fmt: skip
    summary = run_training(tmp_path, shared_ponds, *options)
    shown = capsys.readouterr().out
    assert "Batch size 8: the limit is 10" in shown and "at the steepest descent of the loss" in shown
    config = yaml.safe_load((summary.run_dir / ".hydra" / "config.yaml").read_text())
    assert config["datamodule"]["batch_size"] == 8 and 1e-7 < config["optimizer"]["lr"] < 1
    overrides = yaml.safe_load((summary.run_dir / ".hydra" / "overrides.yaml").read_text())
    assert f"optimizer.lr={config['optimizer']['lr']}" in overrides and overrides[-1] == "tuner.find_lr=false"
    assert (tmp_path / "plots" / "lr_finder.png").stat().st_size > 5000
    assert not list((tmp_path / "plots").glob(".lr_find*"))


class Hungry(torch.nn.Module):
    """Answers the first band; counts batches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.sizes = torch.nn.Parameter(torch.ones(1)), []

    def __deepcopy__(self, memo) -> "Hungry":
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        return images[:, :1] * self.weight


def loss_of(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return logits.mean()


def find(monkeypatch, needs: float, available: float, most: int = 1000) -> tuple[int, list[int]]:
    """With a machine of `available` MB, where a sample needs `needs`."""
    network, loss = Hungry(), torch.nn.Module()
    loss.forward = loss_of
    at_start = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=0))
    monkeypatch.setattr(finders.psutil, "Process", lambda: at_start)
    monkeypatch.setattr(finders.psutil, "virtual_memory", lambda: SimpleNamespace(available=available * 2**20))
    monkeypatch.setattr(finders, "peak_memory", lambda: needs * max(network.sizes, default=0) * 2**20)
    config = compose("train", ["datamodule.height=32", "trainer.accelerator=cpu"], TrainConfig)
    return find_batch_size(
        config.trainer, config.datamodule, network, loss, min(most, config.tuner.max_batch_size)
    ), network.sizes


def test_the_batch_is_doubled_as_long_as_the_next_is_expected_to_fit(monkeypatch):
    assert find(monkeypatch, needs=100, available=4200) == (32, [2, 4, 8, 16, 32]), "64 would need 6400 of 3360"
    assert find(monkeypatch, needs=1, available=1e9)[0] == 256, "as tuner.max_batch_size says"
    assert find(monkeypatch, needs=1, available=1e9, most=50)[0] == 32


def test_a_gpu_is_tried_until_its_memory_ends():
    def step(size: int) -> None:
        if size > 16:
            raise torch.OutOfMemoryError

    fits = finders._fits_gpu(step)
    assert [fits(size) for size in (2, 16, 32)] == [True, True, False]


def test_a_loss_that_never_falls_is_one_line(monkeypatch, shared_ponds, tmp_path):
    monkeypatch.setattr("pytorch_lightning.tuner.lr_finder._LRFinder.suggestion", lambda self, **_: None)
    with pytest.raises(ConfigError, match="tuner.find_lr: the loss never decreases between 1e-07 and 1"):
        run_training(tmp_path, shared_ponds, "logger=none", "model=tiny_unet", "tuner.find_lr=true", "tuner.steps=20")


def test_the_plot_shows_a_valley(tmp_path):
    from flood_seg.plots.history import plot_lr_finder

    rates = np.geomspace(1e-6, 1, 50)
    path = plot_lr_finder(list(rates), list(1 + np.log10(rates + 1e-3) ** 2 / 9), 1e-3, tmp_path / "lr.png")
    assert path.stat().st_size > 5000
