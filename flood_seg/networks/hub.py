"""Checks within seconds, without torch, whether encoder weights are available; the hub client retries for 23 s."""

from __future__ import annotations

from pathlib import Path

from flood_seg.errors import WeightsError

PROBE_TIMEOUT_SECONDS = 4.0


def ensure_reachable(encoder: str, weights: str) -> None:
    """Checks that the weights are in the local cache or that the hub is reachable.

    Raises:
        WeightsError: neither.
    """
    import httpx
    from huggingface_hub import constants

    # Repository names: smp-hub/ENCODER.WEIGHTS of segmentation-models-pytorch, timm/ENCODER of timm.
    model = encoder.removeprefix("tu-")
    cached = f"models--timm--{model}*" if encoder.startswith("tu-") else f"models--smp-hub--{encoder}.{weights}"
    if any(Path(constants.HF_HUB_CACHE).glob(f"{cached}/snapshots")):
        return
    try:
        httpx.head(constants.ENDPOINT, timeout=PROBE_TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        raise WeightsError(no_download(weights, str(error) or type(error).__name__)) from error


def no_download(weights: str, reason: str) -> str:
    """Returns the error message for weights that cannot be downloaded."""
    first_line = reason.split("\n")[0]
    return (
        f"model.encoder_weights={weights} cannot be downloaded ({first_line}); offline, set "
        "model.encoder_weights_path=FILE (a local state dict) or model.encoder_weights=null (from scratch)"
    )
