"""The values of configs/ as objects, for code and tests that build one group or change single values of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from flood_seg.config.compose import compose_unchecked, from_composed
from flood_seg.config.schema import SCHEMAS
from flood_seg.config.schema.checks import nested_schema

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")


def defaults(schema: type[T], **changes: Any) -> T:
    """Returns what configs/ says, where it is not changed.

    Args:
        schema: a whole configuration or one of its groups, `DataConfig` for example.
        changes: values by their names; a dictionary replaces the default one.

    Raises:
        ConfigError: an unknown name, a wrong type or an impossible value.
    """
    from omegaconf import open_dict

    node = _default_node(schema).copy()  # type: ignore[arg-type] # a class can be hashed
    with open_dict(node):
        for name, value in changes.items():
            node[name] = value
    return from_composed(node, schema)


@cache
def _default_node(schema: type) -> DictConfig:
    for name, whole in SCHEMAS.items():
        if (path := _path_of(schema, whole)) is not None:
            node: DictConfig = compose_unchecked(name)
            for key in path:
                node = node[key]
            return node
    raise LookupError(f"{schema.__name__} is no configuration and no group of one")


def _path_of(schema: type, whole: type) -> list[str] | None:
    """Returns the keys that lead from a configuration to one of its groups; None where it has no such group."""
    if schema is whole:
        return []
    for key, hint in get_type_hints(whole).items():
        group = nested_schema(hint)
        if group is not None and (rest := _path_of(schema, group)) is not None:
            return [key, *rest]
    return None
