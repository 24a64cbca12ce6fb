"""Chooses the backend of a model: the one that is named, or the one that the model's name implies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from flood_seg.config.compose import compose
from flood_seg.config.instantiate import find_target, instantiate
from flood_seg.config.repository import configs_dir
from flood_seg.config.schema import InferConfig
from flood_seg.errors import ConfigError, UsageError, did_you_mean
from flood_seg.inference.backends.contract import Backend
from flood_seg.inference.backends.streams import streams_for
from flood_seg.inference.models import run_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Engine:
    """A model and the backend that runs it.

    Attributes:
        name: of the backend, a file of configs/backend/.
        options: overrides of the backend's keys, `key=value`.
        model: a file, or `host:port/name` on a Triton server.
    """

    name: str
    options: tuple[str, ...]
    model: str

    def __str__(self) -> str:
        named = ",".join((self.name, *self.options))
        return self.model if named == engine_of(self.model) else f"{named}:{self.model}"

    def node(self) -> dict[str, Any]:
        """Composes the backend's configuration.

        Raises:
            ConfigError: an unknown backend or key.
        """
        options = [f"backend.{option}" for option in self.options]
        return compose("infer", [f"backend={self.name}", *options], InferConfig).backend


@cache
def backends() -> dict[str, type[Backend]]:
    """Returns the class of each backend by its name, a file of configs/backend/; loads no engine."""
    files = sorted((configs_dir() / "backend").glob("*.yaml"))
    return {file.stem: backend_class(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files}


def backend_class(node: Mapping[str, Any]) -> type[Backend]:
    """Returns the class that a `backend` group names; loads no engine.

    Raises:
        ConfigError: it names something else.
    """
    target = str(node.get("_target_", ""))
    found = find_target(target)
    if not (isinstance(found, type) and Backend in found.__mro__):
        raise ConfigError(f"backend._target_={target}: is not a backend; choose one with backend=NAME")
    return found


def model_suffixes() -> list[str]:
    """Returns the suffixes of the files that some backend runs."""
    return [suffix for backend in backends().values() for suffix in backend.suffixes]


def parse_engine(text: str) -> Engine:
    """Parses `model`, `engine:model` or `engine,key=value,...:model`; a run's folder stands for its model.

    Examples: `best.ckpt`, `openvino,precision=bfloat16:model.onnx`, `triton:localhost:8000/flood_area_segmentation`.

    Raises:
        UsageError: the engine is unknown, or neither named nor implied by the model's suffix.
        ModelError: a folder without a model.
    """
    if named := _named_engine(text):
        return named
    model = _in_folder(text, None)
    if engine := engine_of(model):
        return Engine(engine, (), model)
    raise _unknown_engine(text)


def _named_engine(text: str) -> Engine | None:
    """Parses `engine:model`; None where no engine is named. Raises UsageError where one is mistyped."""
    named, _, model = text.partition(":")
    name, *options = named.split(",")
    if model and name in backends():
        return Engine(name, tuple(options), _in_folder(model, name))
    if model and not Path(text).exists() and did_you_mean(name, backends()):
        raise _unknown_engine(text)
    return None


def _in_folder(model: str, engine: str | None) -> str:
    """Returns the model of a run's folder, or the model itself where it is none."""
    if not Path(model).is_dir():
        return model
    backend = backends().get(engine or "")
    return str(run_model(Path(model), (backend.run_file,)) if backend else run_model(Path(model)))


def _unknown_engine(text: str) -> UsageError:
    name = text.partition(":")[0].split(",")[0]
    return UsageError(
        f"{text}: no engine runs that; give a {', '.join(model_suffixes())} file, or ENGINE:MODEL with one of "
        f"{', '.join(backends())}{did_you_mean(name, backends())}"
    )


def short_name(text: str) -> str:
    """Returns the model's own name, without its engine and its folder, for tables."""
    return Path(text.rpartition(":")[2]).name


def engine_of(model: str) -> str | None:
    """Returns the backend that a model's suffix or URL scheme implies; None where it implies none."""
    scheme, separator, _ = model.partition("://")
    suffix = Path(model).suffix.lower()
    for name, backend in backends().items():
        if scheme in backend.schemes if separator else suffix in backend.suffixes:
            return name
    return None


def choose_engine(overrides: Sequence[str], model: str | None) -> tuple[list[str], str | None]:
    """Moves the engine that a model is given with into the Hydra overrides.

    Args:
        overrides: a `backend=...` among them takes precedence over the model's suffix.
        model: `model`, `engine:model` or `engine,key=value,...:model`; None: the default one.

    Returns:
        the overrides with the engine, and the model without it.

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


def with_streams(node: Mapping[str, Any], batches: int) -> dict[str, Any]:
    """Returns the backend's configuration with as many streams as suit that many batches, where it leaves them open."""
    return dict(node) | ({"streams": streams_for(batches)} if node.get("streams") == 0 else {})


def as_trained(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the backend's configuration with the options of the training, where it has them and none is given."""
    options = backend_class(node).training_options
    return dict(node) | {key: value for key, value in options.items() if node.get(key) is None}


def on_gpu(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the backend's configuration such that it requires a GPU, where it leaves the device open."""
    options = backend_class(node).gpu_options
    return dict(node) | {key: value for key, value in options.items() if node.get(key) == "auto"}


def open_backend(node: Mapping[str, Any], model: str, warmup: int = 0) -> Backend:
    """Loads a model.

    Args:
        node: the backend's configuration, a `backend` group.
        model: a file, or an address of a Triton server.
        warmup: how many times an empty image is run before the first real one.

    Raises:
        FloodSegError: the model or the backend cannot be used.
    """
    backend: Backend = instantiate(node, model if backend_class(node).schemes else Path(model))
    spec = backend.spec
    for _ in range(warmup):
        backend.run(np.zeros((1, len(spec.bands), spec.height, spec.width), np.float32))
    return backend
