"""The configuration of a run as files: what is saved with it and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from flood_seg.config.compose import compose_unchecked, from_composed
from flood_seg.config.schema import SCHEMAS
from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


def flatten(config: Any) -> dict[str, Any]:
    """Returns a configuration's values by their dotted keys."""
    flat: dict[str, Any] = {}

    def visit(node: Any, prefix: str) -> None:
        for name, value in node.items():
            if isinstance(value, Mapping) and value:
                visit(value, f"{prefix}{name}.")
            else:
                flat[f"{prefix}{name}"] = value

    visit(asdict(config), "")
    return flat


def as_yaml(config: Any) -> str:
    """Returns a configuration as YAML, in the order of its schema."""
    import yaml

    text: str = yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)
    return text


def save_config(config: Any, overrides: Sequence[str], folder: Path) -> None:
    """Writes the resolved configuration and the overrides: folder/config.yaml and folder/overrides.yaml."""
    import yaml

    from flood_seg.files import write_text

    named = yaml.safe_dump(list(overrides), allow_unicode=True)
    for name, content in (("config.yaml", as_yaml(config)), ("overrides.yaml", named)):
        write_text(folder / name, content)


def load_config(folder: Path, schema: type[T]) -> T:
    """Reads the configuration that `save_config` wrote, its groups as the objects that `compose` makes of them.

    A key that the release of that run did not have gets its default value.

    Raises:
        ConfigError: the file is missing, cannot be read, or does not fit `schema`, as that of another release may not.
    """
    import yaml
    from omegaconf import DictConfig, OmegaConf

    path = folder / "config.yaml"
    try:
        saved = OmegaConf.load(path)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({error.__class__.__name__}); give another run") from error
    if not isinstance(saved, DictConfig):
        raise ConfigError(f"{path}: not a configuration; give another run")
    name = next(name for name, known in SCHEMAS.items() if known is schema)
    return from_composed(saved, schema, missing=compose_unchecked(name))


def load_overrides(folder: Path) -> list[str]:
    """Reads the overrides that `save_config` wrote.

    Raises:
        ConfigError: the file is missing or no list.
    """
    import yaml

    path = folder / "overrides.yaml"
    try:
        overrides = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({error.__class__.__name__}); give another run") from error
    if not isinstance(overrides, list):
        raise ConfigError(f"{path}: not a list of overrides; give another run")
    return [str(override) for override in overrides]
