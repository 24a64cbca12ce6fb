"""Each loss of configs/loss/ against its formula, written out in NumPy."""

import math

import numpy as np
import pytest
import torch

from flood_seg.classes import IGNORED, Classes
from flood_seg.config.compose import compose
from flood_seg.config.repository import configs_dir
from flood_seg.config.schema import TrainConfig
from flood_seg.errors import ConfigError
from flood_seg.training.losses import BoundaryBCE, build_loss, inverse_frequencies

NAMES = sorted(path.stem for path in (configs_dir() / "loss").glob("*.yaml"))


SEVERAL = ("ce", "ce_dice", "ce_dice_auto")  # for tasks of several classes alone


def loss(*overrides: str):
    config = compose("train", list(overrides), TrainConfig)
    return build_loss(config.loss, config.datamodule.classes(config.task), config.task)


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
    task, channels = (("task=multiclass", "datamodule.max_label=1"), 2) if name in SEVERAL else ((), 1)
    logits = logits.repeat(1, channels, 1, 1).requires_grad_()
    optimizer, values, function = torch.optim.Adam([logits], lr=0.3), [], loss(f"loss={name}", *task)
    for _ in range(40):
        value = function(logits, masks)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert all(map(math.isfinite, values)) and values[-1] < 0.6 * values[0]


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_fails_on_photos_without_water_or_without_land(name):
    task, channels = (("task=multiclass", "datamodule.max_label=1"), 2) if name in SEVERAL else ((), 1)
    for value in (0, 1):
        masks = torch.full((2, 8, 8), value, dtype=torch.uint8)
        logits = torch.zeros(2, channels, 8, 8, requires_grad=True)
        result = loss(f"loss={name}", *task)(logits, masks)
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
    with pytest.raises(ConfigError, match="no loss is selected"):
        build_loss({}, Classes(("dry", "wet")), "binary")
    with pytest.raises(ConfigError, match="width must be at least 1"):
        loss("loss=boundary", "loss.boundary.width=0")
    with pytest.raises(ConfigError, match="loss.weights=.*_target_"):
        loss("loss=bce", "+loss.weights=[1,2]")


THREE = ("task=multiclass", "datamodule.max_label=2")


@pytest.fixture
def three():
    """Logits and masks of three classes."""
    torch.manual_seed(0)
    return torch.randn(2, 3, 9, 11), torch.randint(0, 3, (2, 9, 11)).to(torch.uint8)


def of_three(three) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and one-hot truth, float64 [3, pixels]."""
    logits, masks = three[0].double().numpy(), three[1].numpy()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.moveaxis(p, 1, 0).reshape(3, -1), np.stack([(masks == c).ravel() for c in range(3)]).astype(float)


SEVERAL_FORMULAS = {
    "ce": lambda p, y: -(y * np.log(p)).sum(axis=0).mean(),
    "dice": lambda p, y: np.mean(1 - (2 * (p * y).sum(axis=1) + 1) / ((p + y).sum(axis=1) + 1)),
    "jaccard": lambda p, y: np.mean(1 - ((p * y).sum(axis=1) + 1) / ((p + y - p * y).sum(axis=1) + 1)),
}


@pytest.mark.parametrize("name", SEVERAL_FORMULAS)
def test_a_loss_of_several_classes_is_its_formula(name, three):
    assert float(loss(f"loss={name}", *THREE)(*three)) == pytest.approx(
        SEVERAL_FORMULAS[name](*of_three(three)), abs=1e-5
    )


def test_class_weights_weigh_each_pixel_by_its_class(three):
    p, y = of_three(three)
    weights = np.array([[0.5], [1.0], [4.0]])
    expected = -(weights * y * np.log(p)).sum() / (weights * y).sum()
    assert float(loss("loss=ce", "loss.ce.class_weights=[0.5,1,4]", *THREE)(*three)) == pytest.approx(expected)


def test_automatic_weights_are_inverse_to_the_pixels_and_one_on_average():
    config = compose("train", ["loss=ce", "loss.ce.class_weights=auto", *THREE], TrainConfig)
    built = build_loss(config.loss, config.datamodule.classes("multiclass"), "multiclass", lambda: np.array([90, 9, 1]))
    weights = built.terms["ce"].entropy.weight.tolist()
    assert weights == pytest.approx(np.array([1 / 90, 1 / 9, 1]) / np.mean([1 / 90, 1 / 9, 1]))
    assert inverse_frequencies(np.array([5, 0, 5])).tolist() == [1, 1, 1]  # a class without pixels
    config = compose("train", ["loss=bce", "loss.bce.pos_weight=auto"], TrainConfig)
    built = build_loss(config.loss, config.datamodule.classes("binary"), "binary", lambda: np.array([60, 20]))
    assert float(built.terms["bce"].pos_weight) == 3


@pytest.mark.parametrize("name", [name for name in NAMES if name != "boundary"])
def test_ignored_pixels_are_as_if_they_were_not_there(name):
    """In a picture of one row, that is cut off before them."""
    torch.manual_seed(0)
    task, channels = (("task=multiclass", "datamodule.max_label=1"), 2) if name in SEVERAL else ((), 1)
    logits, masks = torch.randn(1, channels, 1, 20), (torch.rand(1, 1, 20) > 0.5).to(torch.uint8)
    masks[..., 15:] = IGNORED
    one = loss(f"loss={name}", *task)
    one.ignores = True
    assert float(one(logits, masks)) == pytest.approx(float(one(logits[..., :15], masks[..., :15])), abs=1e-6)
    nothing = one(logits.requires_grad_(), torch.full_like(masks, IGNORED))
    nothing.backward()
    assert float(nothing) == 0 and not logits.grad.any()


def test_the_boundary_loss_keeps_away_from_ignored_pixels():
    masks = torch.zeros(1, 9, 12, dtype=torch.uint8)
    masks[:, :, 4:] = 1
    masks[:, :, 8:] = IGNORED
    logits = torch.randn(1, 1, 9, 12)
    cut = BoundaryBCE(1)(logits[..., :7], masks[..., :7])
    assert float(BoundaryBCE(1)(logits, masks)) == pytest.approx(float(cut))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=bce", *THREE], "loss.bce: is for task=binary"),
        (["loss=ce"], "loss.ce: is for task=multiclass"),
        (["loss=ce", "loss.ce.class_weights=[1,2]", *THREE], "one number per class .background, class 1, class 2."),
    ],
)
def test_losses_that_do_not_fit_the_task_are_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        loss(*overrides)
