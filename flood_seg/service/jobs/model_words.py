"""The flags and overrides by which the command of a job uses the same model and engine as the service."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.overrides import as_override
from flood_seg.inference.engines import choose_engine, parse_engine
from flood_seg.inference.models import choose_model
from flood_seg.service.models import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema.service import ServeConfig

KEYS = ("value_scale", "max_input_shift", "batch_size", "max_megapixels")
UNKNOWN = ""  # digest of a model that is no file, on a Triton server for example


@dataclass(frozen=True)
class ModelWords:
    """A model that is served.

    Attributes:
        file: of the model, or its address.
        words: flags and overrides of `flood-seg map`.
        digest: SHA-256 of the file.
    """

    file: str
    words: tuple[str, ...]
    digest: str


def model_words(config: ServeConfig, overrides: Sequence[str], model: str | None) -> dict[str, ModelWords]:
    """Returns the models by name, without loading them.

    Args:
        config: of the service.
        overrides: that it was composed of; those of `backend` apply to the model of `--model`.
        model: of `--model`; None: the default one.

    Raises:
        FloodSegError: a model cannot be found.
    """
    common = [as_override(key, getattr(config, key)) for key in KEYS if getattr(config, key) is not None]
    common += [] if config.threshold is None else [as_override("threshold", config.threshold)]
    found = {}
    for name, text in (config.serve.models or {}).items():
        engine = parse_engine(text)
        prefix = str(engine).removesuffix(engine.model)  # empty where the file's suffix implies the engine
        file = _absolute(engine.model)
        found[name] = ModelWords(file, ("--model", f"{prefix}{file}", *common), model_digest(file))
    if not found:
        chosen_overrides, chosen = choose_engine(overrides, model)
        file = _absolute(choose_model(chosen, config.output_dir)[0])
        backend = [one for one in chosen_overrides if one.lstrip("+").startswith(("backend=", "backend."))]
        found[DEFAULT] = ModelWords(file, ("--model", file, *backend, *common), model_digest(file))
    return found


def _absolute(model: str) -> str:
    return str(Path(model).absolute()) if Path(model).exists() else model


def model_digest(file: str) -> str:
    """Returns the SHA-256 of a model's file; UNKNOWN where it is none."""
    if not Path(file).is_file():
        return UNKNOWN
    with Path(file).open("rb") as content:
        return file_digest(content, "sha256").hexdigest()
