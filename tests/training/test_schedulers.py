import math

import pytest
import torch

from flood_seg.config.compose import compose
from flood_seg.config.instantiate import instantiate
from flood_seg.config.repository import configs_dir
from flood_seg.config.schema import TrainConfig
from flood_seg.verbs.train_parts import check_components


def rates(*overrides: str, epochs: int = 10) -> list[float]:
    config = compose("train", [f"trainer.max_epochs={epochs}", "optimizer.lr=1.0", *overrides], TrainConfig)
    optimizer = instantiate(config.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    scheduler, seen = instantiate(config.scheduler, optimizer), []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_poly_falls_by_its_power():
    expected = [(1 - epoch / 10) ** 0.9 for epoch in range(10)]
    assert rates("scheduler=poly") == pytest.approx(expected)


def test_warmup_rises_and_then_falls_by_half_a_cosine():
    seen = rates("scheduler=warmup_cosine", "scheduler.warmup_epochs=2", "scheduler.eta_min=0")
    assert seen[:3] == pytest.approx([0.01, 0.505, 1.0])
    assert seen[2:] == pytest.approx([(1 + math.cos(math.pi * epoch / 8)) / 2 for epoch in range(8)])


@pytest.mark.parametrize("optimizer", sorted(path.stem for path in (configs_dir() / "optimizer").glob("*.yaml")))
@pytest.mark.parametrize("scheduler", sorted(path.stem for path in (configs_dir() / "scheduler").glob("*.yaml")))
def test_every_optimizer_goes_with_every_scheduler(optimizer, scheduler):
    check_components(compose("train", [f"optimizer={optimizer}", f"scheduler={scheduler}"], TrainConfig))
