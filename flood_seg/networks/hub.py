"""Asks whether encoder weights can be had, within seconds and without torch; the hub's own client tries for 23 s."""

from __future__ import annotations

from pathlib import Path

from flood_seg.errors import WeightsError

PROBE_SECONDS = 4.0


def ensure_reachable(encoder: str, weights: str) -> None:
    """Returns at once where an earlier run downloaded the weights, or where the hub answers.

    Raises:
        WeightsError: neither is so.
    """
    import httpx
    from huggingface_hub import constants

    # segmentation-models-pytorch keeps its encoders' weights in repositories of this name, timm in its own.
    model = encoder.removeprefix("tu-")
    kept = f"models--timm--{model}*" if encoder.startswith("tu-") else f"models--smp-hub--{encoder}.{weights}"
    if any(Path(constants.HF_HUB_CACHE).glob(f"{kept}/snapshots")):
        return
    try:
        httpx.head(constants.ENDPOINT, timeout=PROBE_SECONDS)
    except httpx.HTTPError as error:
        raise WeightsError(no_download(weights, str(error) or type(error).__name__)) from error


def no_download(weights: str, reason: str) -> str:
    """Returns the line that says what to do without a download."""
    first_line = reason.split("\n")[0]
    return (
        f"model.encoder_weights={weights} cannot be downloaded ({first_line}); without a network give "
        "model.encoder_weights_path=FILE (a local state dict) or model.encoder_weights=null (from scratch)"
    )
