"""Losses of logits and class indices, combined as a weighted sum.

configs/loss/ uses Dice, Jaccard, focal, Tversky and Lovász of segmentation-models-pytorch directly. Ignored pixels are
removed before a loss is called; a loss that requires the neighborhood of a pixel sets `spatial = True` and handles
ignored pixels itself. A loss for one task only sets `task`.
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
WEIGHT = "weight"  # the key of a term that is not an argument of its loss


class WeightedLoss(nn.Module):
    """A weighted sum of losses."""

    def __init__(self, terms: Mapping[str, tuple[nn.Module, float]], *, ignores: bool = False) -> None:
        """Combines losses with their weights; `ignores`: whether masks may contain ignored pixels."""
        super().__init__()
        self.terms = nn.ModuleDict({name: loss for name, (loss, _) in terms.items()})
        self.weights = {name: weight for name, (_, weight) in terms.items()}
        self.ignores = ignores

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Returns the loss of logits, float32 [B, channels, H, W], and class indices, uint8 [B, H, W].

        0 if all pixels are ignored.
        """
        masks = masks.long()
        counted = masks != IGNORED if self.ignores else None
        if counted is None or bool(counted.all()):
            flat = logits, masks
        elif not bool(counted.any()):
            return logits.sum() * 0
        else:  # an image with a height of one pixel
            flat = logits.transpose(0, 1)[:, counted][None, :, None], masks[counted][None, None]
        parts = []
        for name, loss in self.terms.items():
            arguments = (logits, masks) if getattr(loss, "spatial", False) else flat
            parts.append(self.weights[name] * loss(*arguments))
        return torch.stack(parts).sum()


def build_loss(
    nodes: Mapping[str, Any],
    classes: Classes,
    task: str,
    pixels: Callable[[], np.ndarray] | None = None,
    *,
    ignores: bool = False,
) -> WeightedLoss:
    """Builds the losses of the `loss` group: one term per key, with its `_target_`, arguments and `weight`.

    Args:
        nodes: the configuration group.
        classes: of the data set.
        task: `binary` or `multiclass`.
        pixels: returns the number of pixels of each class, for arguments that are `auto`; None: all classes are assumed
            to be equally frequent.
        ignores: whether masks may contain ignored pixels.

    Raises:
        ConfigError: no term, a term without a target or for the other task, a weight that is not a positive number, not
            one class weight per class, or invalid arguments.
    """
    count = cache(pixels or (lambda: np.ones(len(classes.names))))
    terms = {}
    for name, node in nodes.items():
        if not isinstance(node, dict) or "_target_" not in node:
            raise ConfigError(f"loss.{name}={node}: a loss is a group of keys with a _target_; see configs/loss/")
        weight = node.get(WEIGHT, 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
            raise ConfigError(f"loss.{name}.weight={weight}: must be a number above 0; remove the term instead")
        required = getattr(find_target(str(node["_target_"])), "task", task)
        if required != task:
            raise ConfigError(f"loss.{name}: is for task={required}, not for task={task}; see docs/recipes.md")
        arguments = {key: _resolved(name, key, value, classes, count) for key, value in node.items() if key != WEIGHT}
        loss = instantiate(arguments)
        terms[name] = (loss, float(weight))
    if not terms:
        raise ConfigError("loss: no loss is selected; choose one or more, as in loss=[bce,dice]")
    return WeightedLoss(terms, ignores=ignores)


def _resolved(loss: str, key: str, value: Any, classes: Classes, count: Callable[[], np.ndarray]) -> Any:
    """Replaces `auto` by a value computed from the pixel counts, and checks given class weights."""
    if key == "pos_weight" and value == AUTO:
        background, foreground = (max(float(pixels), 1.0) for pixels in count())
        return background / foreground
    if key == "class_weights" and value == AUTO:
        return inverse_frequencies(count()).tolist()
    if key == "class_weights" and value is not None:
        names = ", ".join(classes.names)
        if not isinstance(value, list) or len(value) != len(classes.names):
            raise ConfigError(f"loss.{loss}.class_weights={value}: give one number per class ({names}), auto or null")
    return value


def inverse_frequencies(pixels: np.ndarray) -> np.ndarray:
    """Returns one weight per class, inverse to its pixels, with a mean of 1; 1 for a class without pixels.

    Args:
        pixels: number of pixels of each class, int64 [classes].
    """
    weights, present = np.ones(len(pixels)), pixels > 0
    inverse = 1 / pixels[present]
    weights[present] = inverse / inverse.mean()
    return weights


class CrossEntropy(nn.Module):
    """Cross-entropy with class weights; the mean is weighted, as that of `torch.nn.CrossEntropyLoss`."""

    task = "multiclass"

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if any(not float(weight) >= 0 for weight in class_weights or ()):
            raise ValueError(f"class_weights must be at least 0, not {class_weights}")
        weights = None if class_weights is None else torch.tensor([float(weight) for weight in class_weights])
        self.entropy = nn.CrossEntropyLoss(weights, label_smoothing=float(label_smoothing))

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Returns the loss of logits, float32 [B, classes, H, W], and class indices [B, H, W]."""
        loss: Tensor = self.entropy(logits, masks.long())
        return loss


class BCEWithLogits(nn.Module):
    """Binary cross-entropy with logits; foreground pixels are weighted by `pos_weight`."""

    task = "binary"

    def __init__(self, pos_weight: float = 1.0) -> None:
        super().__init__()
        if not float(pos_weight) > 0:
            raise ValueError(f"pos_weight must be above 0, not {pos_weight}")
        self.register_buffer("pos_weight", torch.tensor(float(pos_weight)), persistent=False)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Returns the loss of logits, float32 [B, 1, H, W], and class indices, uint8 [B, H, W]."""
        targets = masks.unsqueeze(1).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.get_buffer("pos_weight"))


class MCC(nn.Module):
    """One minus the Matthews correlation coefficient, by segmentation-models-pytorch, which requires probabilities."""

    task = "binary"

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Returns the loss of logits, float32 [B, 1, H, W], and class indices, uint8 [B, H, W]."""
        from segmentation_models_pytorch.losses import MCCLoss

        loss: Tensor = MCCLoss()(logits.sigmoid(), masks.unsqueeze(1).to(logits.dtype))
        return loss


class BoundaryBCE(nn.Module):
    """Binary cross-entropy in a band around the true outline, to which overlap losses are hardly sensitive.

    The band is the morphological gradient of the mask: dilation minus erosion. 0 where no mask has an outline. Ignored
    pixels and their neighbors are excluded, since the outline there is unknown.
    """

    task, spatial = "binary", True

    def __init__(self, width: int = 3) -> None:
        """Sets the width of the band on each side of the outline, in pixels."""
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        self.width = width

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Returns the loss of logits, float32 [B, 1, H, W], and class indices, uint8 [B, H, W]."""
        targets = masks.unsqueeze(1).to(logits.dtype)
        side = 2 * self.width + 1
        dilated = functional.max_pool2d(targets, side, stride=1, padding=self.width)
        eroded = -functional.max_pool2d(-targets, side, stride=1, padding=self.width)
        band = dilated - eroded
        band = band * (band <= 1)  # the index of ignored pixels is far above 1
        targets = targets.clamp_max(1)
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (losses * band).sum() / band.sum().clamp_min(1.0)
