import sys

import pytest
import torch

from flood_seg.errors import BackendError
from flood_seg.training import speed
from tests.processes import Forked


@pytest.mark.parametrize(
    ("asked", "accelerator", "gpu", "cpu", "expected"),
    [
        ("auto", "cpu", False, True, "bf16-mixed"),
        ("auto", "cpu", False, False, "32-true"),
        ("auto", "gpu", True, False, "bf16-mixed"),
        ("auto", "gpu", False, True, "32-true"),
        ("auto", "mps", False, True, "32-true"),
        ("64-true", "gpu", True, True, "64-true"),
    ],
)
def test_auto_precision_follows_the_hardware(monkeypatch, asked, accelerator, gpu, cpu, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)
    monkeypatch.setattr(speed, "_cpu_supports_bf16", lambda: cpu)
    assert speed.choose_precision(asked, accelerator) == expected


def test_the_accelerator_that_is_there_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert speed.choose_accelerator("auto") == "gpu"
    assert speed.choose_accelerator("cpu") == "cpu"


def test_an_accelerator_that_is_not_there_is_an_error_that_lists_what_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert speed.choose_accelerator("auto") == "cpu"
    with pytest.raises(BackendError, match="trainer.accelerator=gpu: not available; this machine has cpu"):
        speed.choose_accelerator("gpu")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_keeping_freed_memory_changes_no_loss(tmp_path):
    runs = [Forked(tmp_path, print_losses, keep) for keep in (True, False)]
    (code, kept), (other, left) = (run.finish() for run in runs)
    assert code == other == 0 and kept == left and len(kept.splitlines()) == 3


def print_losses(keep: bool) -> None:
    if keep:
        assert speed.keep_freed_memory()
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 8, 3)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(3):
        loss = network(torch.randn(2, 3, 64, 64)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(loss.item())
