"""Each loss of configs/loss/ against its formula, written out in NumPy."""

import math

import numpy as np
import pytest
import torch

from flood_seg.config import compose, configs_dir
from flood_seg.errors import ConfigError
from flood_seg.schema import TrainConfig
from flood_seg.training.losses import BoundaryBCE, build_loss

NAMES = sorted(path.stem for path in (configs_dir() / "loss").glob("*.yaml"))


def loss(*overrides: str):
    return build_loss(compose("train", list(overrides), TrainConfig).loss)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(2, 1, 9, 11), (torch.rand(2, 9, 11) > 0.4).to(torch.uint8)


def arrays(batch) -> tuple[np.ndarray, np.ndarray]:
    logits, masks = batch
    return 1 / (1 + np.exp(-logits[:, 0].double().numpy())), masks.numpy().astype(float)


def bce(p, y, pos_weight=1.0):
    return -(pos_weight * y * np.log(p) + (1 - y) * np.log(1 - p))


def mcc(p, y):
    tp, fp, fn, tn = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum(), ((1 - p) * (1 - y)).sum()
    return 1 - (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def focal(p, y):
    right = np.where(y > 0, p, 1 - p)
    return (-((1 - right) ** 2) * np.log(right)).mean()


FORMULAS = {
    "bce": lambda p, y: bce(p, y, 3.0).mean(),
    "dice": lambda p, y: 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1),
    "jaccard": lambda p, y: 1 - ((p * y).sum() + 1) / (p.sum() + y.sum() - (p * y).sum() + 1),
    "tversky": lambda p, y: (
        1 - ((p * y).sum() + 1) / ((p * y).sum() + 0.3 * (p * (1 - y)).sum() + 0.7 * ((1 - p) * y).sum() + 1)
    ),
    "focal": focal,
    "mcc": mcc,
    "bce_dice": lambda p, y: bce(p, y).mean() + FORMULAS["dice"](p, y),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_is_its_formula(name, batch):
    assert float(loss(f"loss={name}")(*batch)) == pytest.approx(FORMULAS[name](*arrays(batch)), abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_falls_where_it_is_followed(name, batch):
    logits, masks = batch
    logits = logits.clone().requires_grad_()
    optimizer, values = torch.optim.Adam([logits], lr=0.3), []
    for _ in range(40):
        value = loss(f"loss={name}")(logits, masks)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert all(map(math.isfinite, values)) and values[-1] < 0.6 * values[0]


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_fails_on_photos_without_water_or_without_land(name):
    for value in (0, 1):
        masks = torch.full((2, 8, 8), value, dtype=torch.uint8)
        logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
        result = loss(f"loss={name}")(logits, masks)
        result.backward()
        assert torch.isfinite(result) and torch.isfinite(logits.grad).all()


def test_several_are_added_each_with_its_weight(batch):
    both = loss("loss=[bce,dice,lovasz]", "loss.bce.weight=0.5", "loss.dice.weight=3", "loss.bce.pos_weight=2")
    parts = loss("loss=bce", "loss.bce.pos_weight=2"), loss("loss=dice"), loss("loss=lovasz")
    bce_part, dice_part, lovasz_part = (float(part(*batch)) for part in parts)
    assert float(both(*batch)) == pytest.approx(0.5 * bce_part + 3 * dice_part + lovasz_part, rel=1e-5)


def test_lovasz_is_one_less_the_iou_of_sure_predictions():
    """Logits far from the hinge on the right side cost nothing; one wrong pixel of margin 1 costs as the IoU falls."""
    masks = torch.tensor([[[1, 1, 1, 0]]], dtype=torch.uint8)
    right = torch.tensor([[[[5.0, 5.0, 5.0, -5.0]]]])
    assert float(loss("loss=lovasz")(right, masks)) == 0
    wrong = torch.tensor([[[[5.0, 5.0, 5.0, 0.0]]]])  # a hinge error of 1 on one false positive
    assert float(loss("loss=lovasz")(wrong, masks)) == pytest.approx(1 - 3 / 4)


def test_the_boundary_loss_looks_at_the_band_alone(batch):
    masks = torch.zeros(1, 9, 9, dtype=torch.uint8)
    masks[:, :, 5:] = 1
    logits = torch.randn(1, 1, 9, 9)
    p = torch.sigmoid(logits[0, 0, :, 4:6]).double().numpy()
    y = np.broadcast_to([0.0, 1.0], p.shape)
    assert float(BoundaryBCE(1)(logits, masks)) == pytest.approx(bce(p, y).mean(), abs=1e-5)
    changed = logits.clone()
    changed[..., :3] = 100.0
    assert torch.equal(BoundaryBCE(1)(logits, masks), BoundaryBCE(1)(changed, masks))


def test_what_is_no_loss_is_refused():
    with pytest.raises(ConfigError, match="there is none"):
        build_loss({})
    with pytest.raises(ConfigError, match="width must be at least 1"):
        loss("loss=boundary", "loss.boundary.width=0")
    with pytest.raises(ConfigError, match="loss.weights=.*_target_"):
        loss("loss=bce", "+loss.weights=[1,2]")
