"""Builds what a `_target_` of the configuration names."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from flood_seg.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a configuration may build; nothing else is imported by name.
ALLOWED_TARGETS = (
    "flood_seg.",
    "torch.nn.",
    "torch.optim.",
    "pytorch_lightning.",
    "segmentation_models_pytorch.losses.",
    "timm.optim.",
)


def instantiate(node: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """Builds what a `_target_` leaf names, with its keys as arguments.

    Args:
        node: `_target_` and arguments.
        args: positional arguments that come first.
        kwargs: further arguments.

    Raises:
        ConfigError: a target outside ALLOWED_TARGETS or not there, or arguments that do not fit it.
    """
    target = str(node.get("_target_", ""))
    build = find_target(target)
    arguments = {key: value for key, value in node.items() if key != "_target_"} | kwargs
    try:
        inspect.signature(build).bind(*args, **arguments)
    except TypeError as error:
        known = [name for name in inspect.signature(build).parameters if name != "self"]
        wrong = [name for name in arguments if name not in known]
        what = f"has no argument {wrong[0]!r}{did_you_mean(wrong[0], known)}" if wrong else str(error)
        raise ConfigError(f"{target}: {what}") from error
    for name, parameter in inspect.signature(build).parameters.items():
        value = arguments.get(name)
        if type(parameter.default) in (int, float) and isinstance(value, str) and value != "auto":
            raise ConfigError(f"{target}: {name}={value} must be a number")
    try:
        return build(*args, **arguments)
    except (TypeError, ValueError) as error:  # lr=abc, lr=-1: the target checks its own values
        given = ", ".join(f"{key}={value}" for key, value in node.items() if key != "_target_")
        raise ConfigError(f"{target} does not take {given}: {' '.join(str(error).split())}") from error


def find_target(target: str) -> Any:
    """Returns what a `_target_` names, a class or a function; raises as `instantiate`."""
    if not target.startswith(ALLOWED_TARGETS):
        raise ConfigError(f"_target_={target}: must start with one of {', '.join(ALLOWED_TARGETS)}")
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise  # a package that the module needs is not installed
        raise ConfigError(f"_target_={target}: there is no module {error.name}") from error
    build = getattr(module, name, None)
    if not callable(build):
        raise ConfigError(f"_target_={target}: {module_name} has no {name}{did_you_mean(name, dir(module))}")
    return build
