from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn.metrics import jaccard_score
from torch import nn
from torch.utils.data import DataLoader

from flood_seg.classes import IGNORED
from flood_seg.errors import DataError, TrainingError
from flood_seg.training.checks import check_values
from flood_seg.training.losses import BCEWithLogits
from flood_seg.training.module import SegmentationModule
from tests.conftest import make_spec


class Frozen(nn.Module):
    """Answers the first band; its only weight does nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1] + self.weight * 0


def validate(batch_size: int) -> dict[str, float]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(7, 3, 8, 8, generator=random)
    masks = (torch.rand(7, 8, 8, generator=random) > 0.5).to(torch.uint8)
    samples = [{"image": i, "mask": m, "index": torch.tensor(0)} for i, m in zip(images, masks, strict=True)]
    module = SegmentationModule(
        Frozen(), make_spec(8, 8), BCEWithLogits(3.0), lambda network: torch.optim.SGD(network.parameters())
    )
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    (result,) = trainer.validate(module, DataLoader(samples, batch_size), verbose=False)
    predicted, truth = (images[:, 0] > 0).numpy(), masks.numpy() > 0
    flat = truth.reshape(7, -1), predicted.reshape(7, -1)
    return result | {
        "iou": (predicted & truth).sum() / (predicted | truth).sum(),
        "image_iou": np.mean([(p & t).sum() / (p | t).sum() for p, t in zip(predicted, truth, strict=True)]),
        "accuracy": (predicted == truth).mean(),
        "macro_iou": np.mean(list(map(partial(jaccard_score, average="macro"), *flat))),
        "frequency_weighted_iou": np.mean(list(map(partial(jaccard_score, average="weighted"), *flat))),
    }


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_epoch_metrics_are_those_of_all_pixels_whatever_the_batch_size(batch_size):
    result = validate(batch_size)
    for name in ("iou", "image_iou", "accuracy", "macro_iou", "frequency_weighted_iou"):
        assert result[f"val_{name}"] == pytest.approx(result[name], abs=1e-6)
    assert result["val_loss"] == pytest.approx(validate(7)["val_loss"], abs=1e-6)


@pytest.mark.parametrize("stage", ["training", "validation"])
def test_a_loss_that_is_not_finite_stops_with_its_step_and_what_to_try(stage):
    sample = {"image": torch.full((3, 8, 8), torch.inf), "mask": torch.ones(8, 8, dtype=torch.uint8)}
    good = {"image": torch.zeros(3, 8, 8), "mask": torch.zeros(8, 8, dtype=torch.uint8)}
    samples = [one | {"index": torch.tensor(0)} for one in (good, sample)]
    module = SegmentationModule(
        Frozen(), make_spec(8, 8), BCEWithLogits(3.0), lambda network: torch.optim.SGD(network.parameters(), lr=0.25)
    )
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False,
                         enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0)  # fmt: skip
    train, val = (samples, samples[:1]) if stage == "training" else (samples[:1] * 2, samples)
    step = 1 if stage == "training" else 2
    with pytest.raises(TrainingError, match=rf"the {stage} loss is nan at step {step} \(epoch 0\).*now 0.25"):
        trainer.fit(module, DataLoader(train, 1), DataLoader(val, 1))


class Samples(list):  # a store of samples, which may be given pairs
    pairs: list


def test_samples_all_of_whose_pixels_are_ignored_say_nothing_of_the_scale():
    photo, nothing = np.full((8, 8, 3), 120, np.uint8), np.full((8, 8), IGNORED, np.uint8)
    photo[::2] = 90
    masks = [nothing, nothing, nothing, np.zeros((8, 8), np.uint8)]

    def data_of(image: np.ndarray) -> SimpleNamespace:
        samples = [(image, mask) for mask in masks]
        store = Samples(samples)
        store.pairs = [SimpleNamespace(image=Path(f"{number}.png")) for number in range(4)]
        return SimpleNamespace(train_set=SimpleNamespace(store=store, indices=[0, 1, 2, 3]))

    check_values(data_of(photo), make_spec())
    with pytest.raises(DataError, match="3.png: values from .*and 0 more of 1 training images"):
        check_values(data_of(photo // 60), make_spec())
