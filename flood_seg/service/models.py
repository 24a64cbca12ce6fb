"""The models that the service has loaded, by name."""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from flood_seg.console import say
from flood_seg.errors import did_you_mean
from flood_seg.inference.engines import open_backend, parse_engine, with_streams
from flood_seg.inference.models import choose_model
from flood_seg.inference.predictor import Predictor
from flood_seg.service.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flood_seg.config.schema.service import ServeConfig
    from flood_seg.spec import ModelSpec

DEFAULT = "default"


@dataclass(frozen=True)
class ServedModel:
    """A loaded model.

    Attributes:
        name: by which callers choose it.
        file: of the model, or its address.
        engine: its engine, device and precision.
        predictor: the model.
    """

    name: str
    file: str
    engine: str
    predictor: Predictor

    @property
    def spec(self) -> ModelSpec:
        """What the model expects and returns."""
        return self.predictor.spec


class Models:
    """The models of a service, which has one at least."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        """Takes the models by name, the default one first."""
        self._models = dict(models)

    @classmethod
    def load(cls, config: ServeConfig, model: str | None) -> Models:
        """Loads the models of `serve.models`, or else one.

        Args:
            config: of the service.
            model: of `--model`, without its engine, which is in `config.backend`; None: the default one.

        Raises:
            FloodSegError: a model or its backend cannot be used.
        """
        found = {}
        for name, text in (config.serve.models or {}).items():
            engine = parse_engine(text)
            found[name] = _load(name, engine.node(), engine.model, config)
        if not found:
            name, _ = choose_model(model, config.output_dir)
            found[DEFAULT] = _load(DEFAULT, config.backend, name, config)
        return cls(found)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    @property
    def streams(self) -> int:
        """How many images may be in the engines at once."""
        return max(model.predictor.backend.concurrency for model in self)

    def get(self, name: str | None) -> ServedModel:
        """Returns a model by its name, the first one where none is given.

        Raises:
            Problem: there is none of this name.
        """
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            known = ", ".join(self._models)
            raise Problem(HTTPStatus.NOT_FOUND, f"model {name}: is not served{did_you_mean(name, self._models)}; "
                          f"served are {known}")  # fmt: skip
        return self._models[name]


def _load(name: str, node: Mapping[str, object], model: str, config: ServeConfig) -> ServedModel:
    started = time.perf_counter()
    streams = config.serve.limits.concurrency
    backend = open_backend(with_streams(node, streams) if streams else node, model, config.warmup)
    predictor = Predictor(backend, config.threshold, config.value_scale)
    say(f"Model {name}: {model}, {backend.description}, loaded in {time.perf_counter() - started:.1f} s")
    return ServedModel(name, model, backend.description, predictor)
