"""Loading of training checkpoints, without executing code from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from flood_seg.errors import ModelError
from flood_seg.networks.network import PaddedNetwork, build_network
from flood_seg.spec import METADATA_KEY, ModelSpec

if TYPE_CHECKING:
    from pathlib import Path


def read_checkpoint(path: Path) -> tuple[dict[str, Any], ModelSpec]:
    """Loads a checkpoint onto the CPU, with `weights_only=True`.

    Raises:
        ModelError: the file is missing, damaged, or carries no ModelSpec.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; train one with 'flood-seg train' or give --ckpt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types
        raise ModelError(f"{path}: not a complete flood-seg checkpoint ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or METADATA_KEY not in checkpoint:
        raise ModelError(f"{path}: carries no ModelSpec; give a checkpoint of 'flood-seg train'")
    return checkpoint, ModelSpec.from_json(checkpoint[METADATA_KEY], str(path))


def load_network(path: Path) -> tuple[PaddedNetwork, ModelSpec]:
    """Rebuilds the network of a checkpoint, in evaluation mode on the CPU; downloads nothing.

    Raises:
        ModelError: as `read_checkpoint`, or the weights do not match the architecture in the spec.
    """
    checkpoint, spec = read_checkpoint(path)
    provenance = spec.provenance
    network = build_network(provenance["architecture"], provenance["encoder"], len(spec.bands), spec.logit_channels)
    prefix = "network."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: the weights do not fit {provenance['architecture']} with {provenance['encoder']}"
        ) from error
    return network.eval(), spec
