"""Training augmentation: one warp, then colour, stretch and blur, all on raw samples; bands are dropped last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import albumentations as A

from flood_seg.data.augmentation.radiometry import Blur, Radiometry, Stretch, around_one
from flood_seg.data.augmentation.warp import OneWarp

if TYPE_CHECKING:
    from flood_seg.config.schema import AugmentationConfig
    from flood_seg.data.augmentation.band_dropout import BandDropout
    from flood_seg.imaging.bands import BandSelection


def build_augmentation(
    config: AugmentationConfig, bands: BandSelection | None = None, dropout: BandDropout | None = None
) -> A.Compose | None:
    """Builds the pipeline for `image`, any dtype [H, W, bands], and `mask` uint8 [H, W]; None where it is off.

    Saturation and hue change for 8-bit RGB images only; other images change in brightness and contrast. Bands are
    dropped last, so that their fill value stays what it is, and also where the rest is off.
    """
    steps: list[A.BasicTransform] = []
    if config.enabled:
        color = _jitter(config) if bands is None or bands.is_photo else Radiometry(config)
        stretch = [Stretch(config, bands)] if bands and config.stretch_probability and config.stretch_groups else []
        steps = [OneWarp(config), color, *stretch, Blur(config)]
    if dropout:
        steps.append(dropout)
    return A.Compose(steps) if steps else None


def left_out(config: AugmentationConfig, bands: BandSelection) -> str:
    """Returns a message on augmentation that is configured but not possible for the bands, or an empty string."""
    wanted = config.enabled and config.color_probability and (config.saturation or config.hue)
    if bands.is_photo or not wanted:
        return ""
    return (
        f"Augmentation: brightness and contrast change; saturation and hue are left out, for {', '.join(bands.names)} "
        "are not the red, green and blue of an 8-bit image."
    )


def _jitter(config: AugmentationConfig) -> A.ColorJitter:
    return A.ColorJitter(
        brightness=around_one(config.brightness),
        contrast=around_one(config.contrast),
        saturation=around_one(config.saturation),
        hue=(-config.hue, config.hue),
        p=config.color_probability,
    )
