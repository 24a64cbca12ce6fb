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


# Pixels: a vision transformer with a position for each patch of one size, which training and ONNX file are held to.
FIXED_SIZE = {"DPT": 224}


class PaddedNetwork(nn.Module):
    """Lets a network take any height and width, by repeating the border up to the next multiple of its stride.

    Encoders halve their input five times, so that sides must be multiples of 32. Padding inside the network makes
    every artefact that comes of it take any size.
    """

    def __init__(self, network: nn.Module, stride: int = 32, *, fixed_size: bool = False) -> None:
        """Wraps a network; `fixed_size` says that it takes one height and width alone."""
        super().__init__()
        self.network, self.stride, self.fixed_size = network, stride, fixed_size

    def forward(self, images: Tensor) -> Tensor:
        """Maps float32 [batch, bands, height, width] to logits [batch, classes or 1, height, width]."""
        height, width = images.shape[-2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        logits: Tensor = self.network(functional.pad(images, pad, mode="replicate"))
        return logits[..., :height, :width]


def check_size(architecture: str, height: int, width: int) -> None:
    """Raises ConfigError where an architecture takes one size alone, and another is asked for."""
    side = FIXED_SIZE.get(ARCHITECTURES.get(architecture.lower(), ""))
    if side is not None and (height, width) != (side, side):
        raise ConfigError(
            f"model.architecture={architecture}: takes {side}×{side} alone, and so will its ONNX file; "
            f"set datamodule.height={side}, or take another architecture for {height}×{width}"
        )


def check_batch(network: nn.Module, batch_size: int) -> None:
    """Raises ConfigError where batches of one sample meet BatchNorm, whose averages want two or more."""
    if batch_size == 1 and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules()):
        raise ConfigError(
            "datamodule.batch_size=1: the network has BatchNorm, which wants 2 samples or more; set "
            "datamodule.batch_size=2, with a smaller datamodule.height where memory is short"
        )


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
    try:
        network = getattr(smp, name)(encoder, encoder_weights=None, in_channels=bands, classes=channels)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # a pair that does not go together, an encoder of timm's that is not
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"model.encoder={encoder}: {name} cannot be built with it ({reason})") from error
    return PaddedNetwork(network, fixed_size=name in FIXED_SIZE)
