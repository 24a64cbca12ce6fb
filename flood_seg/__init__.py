"""flood-seg: segmentation models that find water on drone, aerial and satellite images.

    import flood_seg

    model = flood_seg.load_model()           # the bundled model; or a file, a run's folder, "engine:model"
    result = model.predict("photo.jpg")      # a path, bytes, a PIL image or a NumPy array; of several: an iterator
    result.mask, result.probability, result.shares
    result.save("water.png")

The names in `__all__` are the public API, which keeps its meaning within a major version; all others are internal.
What a user can get wrong is raised as a `FloodSegError`. Importing is cheap: each name is loaded at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flood_seg.version import __version__

if TYPE_CHECKING:
    from flood_seg.api import Model, Result, evaluate, load_model, train
    from flood_seg.errors import (
        BackendError,
        ConfigError,
        DataError,
        DisagreementError,
        FindingsError,
        FloodSegError,
        FormatError,
        ImageError,
        LogitsError,
        MissingExtraError,
        ModelError,
        OutOfMemoryError,
        OutputError,
        PartialFailureError,
        ServerError,
        StoreError,
        TrackingError,
        TrainingError,
        UsageError,
        WeightsError,
    )
    from flood_seg.spec import ModelSpec

__all__ = [
    "BackendError",
    "ConfigError",
    "DataError",
    "DisagreementError",
    "FindingsError",
    "FloodSegError",
    "FormatError",
    "ImageError",
    "LogitsError",
    "MissingExtraError",
    "Model",
    "ModelError",
    "ModelSpec",
    "OutOfMemoryError",
    "OutputError",
    "PartialFailureError",
    "Result",
    "ServerError",
    "StoreError",
    "TrackingError",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "__version__",
    "evaluate",
    "load_model",
    "train",
]

_MODULES = {"ModelSpec": "spec"} | dict.fromkeys(("Model", "Result", "evaluate", "load_model", "train"), "api")


def __getattr__(name: str) -> Any:
    """Loads a public name at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
