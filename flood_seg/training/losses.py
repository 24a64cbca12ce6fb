"""Losses: called with logits and class indices, they return a scalar; several are added, each with its weight.

Dice, Jaccard, focal, Tversky and Lovász are segmentation-models-pytorch's, which configs/loss/ names directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from flood_seg.config import instantiate
from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHT = "weight"  # of a term, the one key of it that is not its loss's own


class WeightedLoss(nn.Module):
    """A sum of losses, each times its weight."""

    def __init__(self, terms: Mapping[str, tuple[nn.Module, float]]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict({name: loss for name, (loss, _) in terms.items()})
        self.weights = {name: weight for name, (_, weight) in terms.items()}

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        parts = [self.weights[name] * loss(logits, masks) for name, loss in self.terms.items()]
        return torch.stack(parts).sum()


def build_loss(nodes: Mapping[str, Any]) -> WeightedLoss:
    """Builds what the `loss` group names: a term a key, with its `_target_`, its arguments and its `weight`.

    Raises:
        ConfigError: no term, one without a target, a weight that is no positive number, or arguments that do not fit.
    """
    terms = {}
    for name, node in nodes.items():
        if not isinstance(node, dict) or "_target_" not in node:
            raise ConfigError(f"loss.{name}={node}: a loss is a group of keys with a _target_; see configs/loss/")
        weight = node.get(WEIGHT, 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
            raise ConfigError(f"loss.{name}.weight={weight}: must be a number above 0; leave the loss out instead")
        terms[name] = (instantiate({key: value for key, value in node.items() if key != WEIGHT}), float(weight))
    if not terms:
        raise ConfigError("loss: there is none; choose one or more, as in loss=[bce,dice]")
    return WeightedLoss(terms)


class BCEWithLogits(nn.Module):
    """Binary cross-entropy of logits, with water pixels weighted by `pos_weight`."""

    def __init__(self, pos_weight: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("pos_weight", torch.tensor(float(pos_weight)), persistent=False)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        targets = masks.unsqueeze(1).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.get_buffer("pos_weight"))


class MCC(nn.Module):
    """One less Matthews' correlation coefficient: segmentation-models-pytorch's, which wants probabilities."""

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        from segmentation_models_pytorch.losses import MCCLoss

        loss: Tensor = MCCLoss()(logits.sigmoid(), masks.unsqueeze(1).to(logits.dtype))
        return loss


class BoundaryBCE(nn.Module):
    """Binary cross-entropy in a band around the true outline, where an overlap loss hardly looks.

    The band is the morphological gradient of the mask: its dilation less its erosion. 0 where no mask has an outline.
    """

    def __init__(self, width: int = 3) -> None:
        """Takes the band's width to each side of the outline, in pixels."""
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.width = width

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        targets = masks.unsqueeze(1).to(logits.dtype)
        side = 2 * self.width + 1
        dilated = functional.max_pool2d(targets, side, stride=1, padding=self.width)
        eroded = -functional.max_pool2d(-targets, side, stride=1, padding=self.width)
        band = dilated - eroded
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (losses * band).sum() / band.sum().clamp_min(1.0)
