"""Builds networks: an architecture of segmentation-models-pytorch with an encoder."""

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


# Input sides in pixels of vision transformers whose position embeddings fit one size only.
FIXED_SIZE = {"DPT": 224}


class PaddedNetwork(nn.Module):
    """Pads images to multiples of the stride (replicate padding) and crops the logits, so that any size is accepted.

    Encoders halve their input five times, which requires multiples of 32. Padding inside the network makes all exported
    models accept any size.
    """

    def __init__(self, network: nn.Module, stride: int = 32, *, fixed_size: bool = False) -> None:
        """Wraps a network; `fixed_size`: whether it accepts a single height and width only."""
        super().__init__()
        self.network, self.stride, self.fixed_size = network, stride, fixed_size

    def forward(self, images: Tensor) -> Tensor:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        height, width = images.shape[-2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        logits: Tensor = self.network(functional.pad(images, pad, mode="replicate"))
        return logits[..., :height, :width]


def check_size(architecture: str, height: int, width: int) -> None:
    """Raises ConfigError where an architecture requires a fixed size, and another one is configured."""
    side = FIXED_SIZE.get(ARCHITECTURES.get(architecture.lower(), ""))
    if side is not None and (height, width) != (side, side):
        raise ConfigError(
            f"model.architecture={architecture}: requires an input of {side}×{side}, in ONNX too; "
            f"set datamodule.height={side}, or choose another architecture for {height}×{width}"
        )


def check_batch(network: nn.Module, batch_size: int) -> None:
    """Raises ConfigError for a batch size of 1 with BatchNorm, which requires at least two samples."""
    if batch_size == 1 and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules()):
        raise ConfigError(
            "datamodule.batch_size=1: the network has BatchNorm, which requires at least 2 samples; set "
            "datamodule.batch_size=2, and a smaller datamodule.height if memory is short"
        )


def build_network(architecture: str, encoder: str, bands: int, channels: int) -> PaddedNetwork:
    """Builds a network with random weights; downloads nothing.

    Args:
        architecture: a name of segmentation-models-pytorch, case-insensitive.
        encoder: an encoder of segmentation-models-pytorch, or `tu-` and an encoder of timm.
        bands: number of input channels.
        channels: number of logit channels.

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
        raise ConfigError(f"model.encoder={encoder}: unknown encoder{hint}")
    try:
        network = getattr(smp, name)(encoder, encoder_weights=None, in_channels=bands, classes=channels)
    except (TypeError, ValueError, RuntimeError) as error:  # incompatible with the encoder, or not in timm
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"model.encoder={encoder}: {name} cannot be built with this encoder ({reason})") from error
    return PaddedNetwork(network, fixed_size=name in FIXED_SIZE)
