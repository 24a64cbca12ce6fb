"""Which engine runs a model: as the configuration says, or as the model's name tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.config import compose, configs_dir, instantiate
from flood_seg.errors import UsageError, did_you_mean
from flood_seg.inference.backends.streams import streams_for
from flood_seg.schema import InferConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flood_seg.inference.predictor import Backend

# The engine of a file, where none is named.
ENGINES = {
    ".onnx": "onnxruntime",
    ".xml": "openvino",
    ".ckpt": "torch",
    ".plan": "tensorrt",
    ".engine": "tensorrt",
    ".trt": "tensorrt",
}


@dataclass(frozen=True)
class Engine:
    """A model and what runs it.

    Attributes:
        name: a file of configs/backend/.
        options: changes to it, `key=value`.
        model: a file, or `host:port/name` on a Triton server.
    """

    name: str
    options: tuple[str, ...]
    model: str

    def __str__(self) -> str:
        named = ",".join((self.name, *self.options))
        return self.model if named == engine_of(self.model) else f"{named}:{self.model}"

    def node(self) -> dict[str, Any]:
        """Composes the configuration of the engine.

        Raises:
            ConfigError: no such engine or key.
        """
        options = [f"backend.{option}" for option in self.options]
        return compose("infer", [f"backend={self.name}", *options], InferConfig).backend


def parse_engine(text: str) -> Engine:
    """Reads `model`, `engine:model` or `engine,key=value,...:model`.

    `best.ckpt`, `openvino,precision=bfloat16:model.onnx` and `triton:localhost:8000/flood_area_segmentation` are such.

    Raises:
        UsageError: the engine is not known, or not told by the model's suffix.
    """
    named, _, model = text.partition(":")
    name, *options = named.split(",")
    choices = sorted(path.stem for path in (configs_dir() / "backend").glob("*.yaml"))
    if model and name in choices:
        return Engine(name, tuple(options), model)
    mistyped = model and not Path(text).exists() and did_you_mean(name, choices)
    if (engine := engine_of(text)) and not mistyped:
        return Engine(engine, (), text)
    raise UsageError(
        f"{text}: no engine runs that; give a {', '.join(ENGINES)} file, or ENGINE:MODEL with one of "
        f"{', '.join(choices)}{did_you_mean(name, choices)}"
    )


def short_name(text: str) -> str:
    """Returns the model's own name, without its engine and its folder, for tables."""
    return Path(text.rpartition(":")[2]).name


def engine_of(model: str) -> str | None:
    """Returns the engine that a model's name tells: of its suffix, or of its scheme."""
    if model.startswith(("http://", "https://", "grpc://", "grpcs://")):
        return "triton"
    return ENGINES.get(Path(model).suffix.lower())


def with_engine(overrides: Sequence[str], model: str | None) -> list[str]:
    """Adds `backend=...` to Hydra overrides that name none, as the model's name tells."""
    engine = engine_of(model) if model else None
    if engine is None or any(override.startswith("backend=") for override in overrides):
        return list(overrides)
    return [f"backend={engine}", *overrides]


def with_streams(node: Mapping[str, Any], batches: int) -> dict[str, Any]:
    """Returns the engine's configuration with streams for so many batches, where it leaves them open."""
    return dict(node) | ({"streams": streams_for(batches)} if node.get("streams") == 0 else {})


def open_backend(node: Mapping[str, Any], model: str, warmup: int = 0) -> Backend:
    """Loads a model.

    Args:
        node: the engine, a `backend` group.
        model: a file, or an address of a Triton server.
        warmup: how often to run an empty image before the first real one.

    Raises:
        FloodSegError: the model or the engine cannot be used.
    """
    served = str(node.get("_target_", "")).endswith("TritonBackend")
    backend: Backend = instantiate(node, model if served else Path(model))
    spec = backend.spec
    for _ in range(warmup):
        backend.run(np.zeros((1, len(spec.bands), spec.height, spec.width), np.float32))
    return backend
