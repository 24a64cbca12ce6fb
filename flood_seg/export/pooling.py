"""Adaptive average pooling in a form that can be exported to ONNX for any size.

The exporter supports adaptive pooling only where the input size is fixed and a multiple of the output size. Here it is
a product with two matrices that the model computes from the size of its input, with the same result.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import flood_seg.torchvision_compat  # noqa: F401 - before smp

import torch
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from torch import Tensor, nn
from torch.nn import functional


class AdaptivePool(nn.Module):
    """Averages the windows of torch.nn.AdaptiveAvgPool2d: row i of n covers floor(i H / n) to ceil((i + 1) H / n)."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, features: Tensor) -> Tensor:
        """Maps float32 [batch, channels, height, width] to [batch, channels, rows, columns]."""
        if (self.rows, self.columns) == (1, 1):
            return features.mean(dim=(2, 3), keepdim=True)
        height, width = features.shape[-2:]
        return (
            _windows(height, self.rows, features) @ features @ _windows(width, self.columns, features).transpose(0, 1)
        )


def _windows(length: int, count: int, like: Tensor) -> Tensor:
    """Returns float32 [count, length]: each row averages its window."""
    place, window = torch.arange(length, device=like.device), torch.arange(count, device=like.device)[:, None]
    first = torch.div(window * length, count, rounding_mode="floor")
    end = torch.div((window + 1) * length + count - 1, count, rounding_mode="floor")
    inside = ((place >= first) & (place < end)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


class PyramidBlock(nn.Module):
    """PSPNet's pyramid block as in training: its own forward differs while a model is exported."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        """Pools, convolves and resizes float32 [batch, channels, height, width] to its own size again."""
        size = features.shape[-2:]
        return functional.interpolate(self.pool(features), size=size, mode="bilinear", align_corners=True)


def make_exportable(network: nn.Module) -> nn.Module:
    """Returns a copy that can be exported to ONNX, with each adaptive pooling replaced."""
    copy = deepcopy(network)
    for parent in list(copy.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, PSPBlock):
                setattr(parent, name, PyramidBlock(child.pool))
            elif isinstance(child, nn.AdaptiveAvgPool2d):
                size: Any = child.output_size
                setattr(parent, name, AdaptivePool(*((size, size) if isinstance(size, int) else size)))
    return copy
