"""Which engine runs a model: as the configuration says, or as the model's name tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.config.compose import compose, configs_dir, instantiate
from flood_seg.config.schema import InferConfig
from flood_seg.errors import UsageError, did_you_mean
from flood_seg.inference.backends.streams import streams_for
from flood_seg.inference.models import run_model

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
    """Reads `model`, `engine:model` or `engine,key=value,...:model`; a run's folder stands for its model.

    `best.ckpt`, `openvino,precision=bfloat16:model.onnx` and `triton:localhost:8000/flood_area_segmentation` are such.

    Raises:
        UsageError: the engine is not known, or not told by the model's suffix.
        ModelError: a folder without a model.
    """
    if named := _named_engine(text):
        return named
    model = _in_folder(text, None)
    if engine := engine_of(model):
        return Engine(engine, (), model)
    raise _unknown_engine(text)


def _named_engine(text: str) -> Engine | None:
    """Reads `engine:model`; None where no engine is named. Raises UsageError where one is mistyped."""
    named, _, model = text.partition(":")
    name, *options = named.split(",")
    if model and name in _choices():
        return Engine(name, tuple(options), _in_folder(model, name))
    if model and not Path(text).exists() and did_you_mean(name, _choices()):
        raise _unknown_engine(text)
    return None


def _in_folder(model: str, engine: str | None) -> str:
    return str(run_model(Path(model), engine)) if Path(model).is_dir() else model


def _choices() -> list[str]:
    return sorted(path.stem for path in (configs_dir() / "backend").glob("*.yaml"))


def _unknown_engine(text: str) -> UsageError:
    name = text.partition(":")[0].split(",")[0]
    return UsageError(
        f"{text}: no engine runs that; give a {', '.join(ENGINES)} file, or ENGINE:MODEL with one of "
        f"{', '.join(_choices())}{did_you_mean(name, _choices())}"
    )


def short_name(text: str) -> str:
    """Returns the model's own name, without its engine and its folder, for tables."""
    return Path(text.rpartition(":")[2]).name


def engine_of(model: str) -> str | None:
    """Returns the engine that a model's name tells: of its suffix, or of its scheme."""
    if model.startswith(("http://", "https://", "grpc://", "grpcs://")):
        return "triton"
    return ENGINES.get(Path(model).suffix.lower())


def choose_engine(overrides: Sequence[str], model: str | None) -> tuple[list[str], str | None]:
    """Returns Hydra overrides with the engine that a model is given with, and the model without it.

    Args:
        overrides: where `backend=...` is among them, it says the engine.
        model: `model`, `engine:model` or `engine,key=value,...:model`; None: the default one.

    Raises:
        UsageError: a mistyped engine, or two engines.
        ModelError: a folder without a model.
    """
    if model is None:
        return list(overrides), None
    chosen = next((override.partition("=")[2] for override in overrides if override.startswith("backend=")), None)
    if named := _named_engine(model):
        if chosen:
            raise UsageError(f"{model}: names an engine, and so does backend={chosen}; leave one out")
        options = (f"backend.{option}" for option in named.options)
        return [f"backend={named.name}", *options, *overrides], named.model
    model = _in_folder(model, chosen)
    engine = chosen or engine_of(model)
    return [f"backend={engine}", *overrides] if engine and not chosen else list(overrides), model


def with_engine(overrides: Sequence[str], model: str | None) -> list[str]:
    """Returns the overrides of `choose_engine` alone, where the model is a file's name."""
    return choose_engine(overrides, model)[0]


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
