"""Builds the network: an architecture of segmentation-models-pytorch around an encoder."""

from __future__ import annotations

import flood_seg.torchvision_compat  # noqa: F401 - before smp

import segmentation_models_pytorch as smp
from torch import Tensor, nn
from torch.nn import functional

from flood_seg.errors import ConfigError, did_you_mean

ARCHITECTURES = {name.lower(): name for name in (
    "Unet", "UnetPlusPlus", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "MAnet", "PAN", "UPerNet",
    "Segformer", "DPT",
)}  # fmt: skip


class PaddedNetwork(nn.Module):
    """Lets a network take any height and width, by repeating the border up to the next multiple of its stride.

    Encoders halve their input five times, so that sides must be multiples of 32. Padding inside the network makes
    every artefact that comes of it take any size.
    """

    def __init__(self, network: nn.Module, stride: int = 32) -> None:
        super().__init__()
        self.network, self.stride = network, stride

    def forward(self, images: Tensor) -> Tensor:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        height, width = images.shape[-2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        logits: Tensor = self.network(functional.pad(images, pad, mode="replicate"))
        return logits[..., :height, :width]


def build_network(architecture: str, encoder: str, bands: int, channels: int) -> PaddedNetwork:
    """Builds a network with random weights; downloads nothing.

    Args:
        architecture: a name of segmentation-models-pytorch, in any case.
        encoder: the name of one of its encoders.
        bands: channels of the input.
        channels: channels of the logits.

    Raises:
        ConfigError: an unknown architecture or encoder.
    """
    name = ARCHITECTURES.get(architecture.lower())
    if name is None:
        hint = did_you_mean(architecture, ARCHITECTURES.values())
        raise ConfigError(f"model.architecture={architecture}: allowed are {', '.join(ARCHITECTURES.values())}{hint}")
    known = smp.encoders.get_encoder_names()
    if encoder not in known and not encoder.startswith("tu-"):
        hint = did_you_mean(encoder, known) or f"; some are {', '.join(known[:6])}"
        raise ConfigError(f"model.encoder={encoder}: no such encoder{hint}")
    return PaddedNetwork(getattr(smp, name)(encoder, encoder_weights=None, in_channels=bands, classes=channels))
