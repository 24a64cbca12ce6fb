"""Loads the initial weights of an encoder: from a local file, by download, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import flood_seg.torchvision_compat  # noqa: F401 - before smp

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from flood_seg.errors import WeightsError
from flood_seg.imaging.bands import RGB
from flood_seg.networks.hub import ensure_reachable, no_download

if TYPE_CHECKING:
    from flood_seg.config.schema import ModelConfig
    from flood_seg.networks.network import PaddedNetwork


def load_encoder(network: PaddedNetwork, config: ModelConfig, bands: Sequence[str] = RGB) -> None:
    """Loads `encoder_weights_path`, else `encoder_weights`, else keeps the random weights.

    Pretrained weights are for RGB; for other bands the first layer is adapted by `adapt_bands`.

    Raises:
        WeightsError: the file is missing or does not match; the download fails; unknown weights.
    """
    encoder = network.network.encoder
    assert isinstance(encoder, nn.Module)
    if config.encoder_weights_path:
        _load_file(encoder, Path(config.encoder_weights_path), config.encoder, bands)
    elif config.encoder_weights:
        _download(encoder, config.encoder, config.encoder_weights, bands)


def _load_file(encoder: nn.Module, path: Path, name: str, bands: Sequence[str]) -> None:
    where = f"model.encoder_weights_path={path}"
    if not path.is_file():
        raise WeightsError(f"{where}: no such file; give a state dict of the {name} encoder")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types
        first_line = str(error).split("\n")[0]
        raise WeightsError(f"{where}: not a file of tensors ({first_line}); give a state dict") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{where}: contains a {type(state).__name__}, not a state dict of the {name} encoder")
    state = _adapted(encoder, state, bands)
    try:
        # Not the method of smp's encoders, which drops the keys of a classifier and returns nothing.
        nn.Module.load_state_dict(encoder, dict(state))
    except RuntimeError as error:
        raise WeightsError(f"{where}: does not match the {name} encoder ({_differences(encoder, state)})") from error


def _adapted(encoder: nn.Module, state: Mapping[str, Tensor], bands: Sequence[str]) -> dict[str, Tensor]:
    """Returns the weights, with RGB kernels adapted to `bands` where the encoder requires it."""
    own = encoder.state_dict()
    fitted = dict(state)
    for key, kernel in state.items():
        target = own.get(key)
        if isinstance(kernel, Tensor) and kernel.ndim == 4 and target is not None and kernel.shape != target.shape:
            outputs, inputs, *size = target.shape
            if kernel.shape == (outputs, len(RGB), *size) and inputs == len(bands):
                fitted[key] = adapt_bands(kernel, bands)
    return fitted


def adapt_bands(kernel: Tensor, bands: Sequence[str]) -> Tensor:
    """Adapts the kernel of a first layer from RGB to other bands.

    Red, green and blue keep their filters, at any position; each other band gets the mean of the three. All are scaled
    by 3 / bands, as in timm and segmentation-models-pytorch, which preserves the magnitude of the output.

    Args:
        kernel: [outputs, 3, height, width].
        bands: names of the input bands, in order.

    Returns:
        [outputs, bands, height, width].
    """
    mean = kernel.mean(dim=1)
    names = [name.lower() for name in bands]
    filters = [kernel[:, RGB.index(name)] if name in RGB else mean for name in names]
    return torch.stack(filters, dim=1) * (len(RGB) / len(bands))


def _differences(encoder: nn.Module, state: Mapping[str, Tensor]) -> str:
    own = encoder.state_dict()
    shapes = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    return (
        f"{len(own.keys() - state.keys())} tensors missing, {len(state.keys() - own.keys())} unexpected, "
        f"{len(shapes)} with another shape"
    )


def _download(encoder: nn.Module, name: str, weights: str, bands: Sequence[str]) -> None:
    timm = name.startswith("tu-")
    known = {"imagenet": {}} if timm else smp.encoders.encoders.get(name, {}).get("pretrained_settings", {})
    if weights not in known:
        allowed = ", ".join(["null", *known])
        raise WeightsError(
            f"model.encoder_weights={weights}: unknown weights of the {name} encoder; allowed are {allowed}"
        )
    ensure_reachable(name, weights)
    try:
        loaded = smp.encoders.get_encoder(name, weights=weights)
    except Exception as error:  # hub clients raise their own types
        raise WeightsError(no_download(weights, f"{type(error).__name__}: {error}")) from error
    nn.Module.load_state_dict(encoder, _adapted(encoder, loaded.state_dict(), bands))
