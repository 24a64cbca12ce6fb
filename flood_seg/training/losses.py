"""Losses: called with logits and class indices, they return a scalar; several are added, each with its weight.

Dice, Jaccard, focal, Tversky and Lovász are segmentation-models-pytorch's, which configs/loss/ names directly. Ignored
pixels are taken out before a loss sees them, so that none has to know of them; a loss that looks at a pixel's
neighbours says `spatial = True` and passes over them itself. One that is for one task alone says `task`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from flood_seg.classes import IGNORED
from flood_seg.config.instantiate import find_target, instantiate
from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flood_seg.classes import Classes

AUTO = "auto"
WEIGHT = "weight"  # of a term, the one key of it that is not its loss's own


class WeightedLoss(nn.Module):
    """A sum of losses, each times its weight."""

    def __init__(self, terms: Mapping[str, tuple[nn.Module, float]], *, ignores: bool = False) -> None:
        """Takes the losses with their weights; `ignores` says that masks may hold ignored pixels."""
        super().__init__()
        self.terms = nn.ModuleDict({name: loss for name, (loss, _) in terms.items()})
        self.weights = {name: weight for name, (_, weight) in terms.items()}
        self.ignores = ignores

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, channels, height, width] with class indices uint8 [batch, height, width].

        0 where all pixels are ignored.
        """
        masks = masks.long()
        counted = masks != IGNORED if self.ignores else None
        if counted is None or bool(counted.all()):
            flat = logits, masks
        elif not bool(counted.any()):
            return logits.sum() * 0
        else:  # a picture one pixel high
            flat = logits.transpose(0, 1)[:, counted][None, :, None], masks[counted][None, None]
        parts = []
        for name, loss in self.terms.items():
            given = (logits, masks) if getattr(loss, "spatial", False) else flat
            parts.append(self.weights[name] * loss(*given))
        return torch.stack(parts).sum()


def build_loss(
    nodes: Mapping[str, Any],
    classes: Classes,
    task: str,
    pixels: Callable[[], np.ndarray] | None = None,
    *,
    ignores: bool = False,
) -> WeightedLoss:
    """Builds what the `loss` group names: a term a key, with its `_target_`, its arguments and its `weight`.

    Args:
        nodes: the group.
        classes: of the data set.
        task: `binary` or `multiclass`.
        pixels: counts those of each class, for arguments that are `auto`; None: each class is taken as frequent as
            another.
        ignores: whether masks may hold ignored pixels.

    Raises:
        ConfigError: no term, one without a target or for the other task, a weight that is no positive number, class
            weights that are not one a class, or arguments that do not fit.
    """
    count = cache(pixels or (lambda: np.ones(len(classes.names))))
    terms = {}
    for name, node in nodes.items():
        if not isinstance(node, dict) or "_target_" not in node:
            raise ConfigError(f"loss.{name}={node}: a loss is a group of keys with a _target_; see configs/loss/")
        weight = node.get(WEIGHT, 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
            raise ConfigError(f"loss.{name}.weight={weight}: must be a number above 0; leave the loss out instead")
        its = getattr(find_target(str(node["_target_"])), "task", task)
        if its != task:
            raise ConfigError(f"loss.{name}: is for task={its}, not for task={task}; see docs/recipes.md")
        arguments = {key: _resolved(name, key, value, classes, count) for key, value in node.items() if key != WEIGHT}
        loss = instantiate(arguments)
        terms[name] = (loss, float(weight))
    if not terms:
        raise ConfigError("loss: there is none; choose one or more, as in loss=[bce,dice]")
    return WeightedLoss(terms, ignores=ignores)


def _resolved(loss: str, key: str, value: Any, classes: Classes, count: Callable[[], np.ndarray]) -> Any:
    """Replaces `auto` by what the training part's pixels say, and checks given class weights."""
    if key == "pos_weight" and value == AUTO:
        background, foreground = (max(float(pixels), 1.0) for pixels in count())
        return background / foreground
    if key == "class_weights" and value == AUTO:
        return inverse_frequencies(count()).tolist()
    if key == "class_weights" and value is not None:
        names = ", ".join(classes.names)
        if not isinstance(value, list) or len(value) != len(classes.names):
            raise ConfigError(f"loss.{loss}.class_weights={value}: give one number a class ({names}), auto or null")
    return value


def inverse_frequencies(pixels: np.ndarray) -> np.ndarray:
    """Returns a weight a class, inverse to its pixels and with a mean of 1; 1 for a class without pixels.

    Args:
        pixels: int64 [classes].
    """
    weights, there = np.ones(len(pixels)), pixels > 0
    inverse = 1 / pixels[there]
    weights[there] = inverse / inverse.mean()
    return weights


class CrossEntropy(nn.Module):
    """Cross-entropy over classes, a weight each; its mean is over pixels times their weights, as PyTorch's."""

    task = "multiclass"

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if any(not float(weight) >= 0 for weight in class_weights or ()):
            raise ValueError(f"class_weights must be at least 0, not {class_weights}")
        weights = None if class_weights is None else torch.tensor([float(weight) for weight in class_weights])
        self.entropy = nn.CrossEntropyLoss(weights, label_smoothing=float(label_smoothing))

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, classes, height, width] with class indices [batch, height, width]."""
        loss: Tensor = self.entropy(logits, masks.long())
        return loss


class BCEWithLogits(nn.Module):
    """Binary cross-entropy of logits, with foreground pixels weighted by `pos_weight`."""

    task = "binary"

    def __init__(self, pos_weight: float = 1.0) -> None:
        super().__init__()
        if not float(pos_weight) > 0:
            raise ValueError(f"pos_weight must be above 0, not {pos_weight}")
        self.register_buffer("pos_weight", torch.tensor(float(pos_weight)), persistent=False)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        targets = masks.unsqueeze(1).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.get_buffer("pos_weight"))


class MCC(nn.Module):
    """One less Matthews' correlation coefficient: segmentation-models-pytorch's, which wants probabilities."""

    task = "binary"

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compares float32 logits [batch, 1, height, width] with class indices uint8 [batch, height, width]."""
        from segmentation_models_pytorch.losses import MCCLoss

        loss: Tensor = MCCLoss()(logits.sigmoid(), masks.unsqueeze(1).to(logits.dtype))
        return loss


class BoundaryBCE(nn.Module):
    """Binary cross-entropy in a band around the true outline, where an overlap loss hardly looks.

    The band is the morphological gradient of the mask: its dilation less its erosion. 0 where no mask has an
    outline. Ignored pixels and those beside them are left out: nobody knows on which side of an outline they lie.
    """

    task, spatial = "binary", True

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
        band = band * (band <= 1)  # an ignored pixel's index is far above 1
        targets = targets.clamp_max(1)
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (losses * band).sum() / band.sum().clamp_min(1.0)
