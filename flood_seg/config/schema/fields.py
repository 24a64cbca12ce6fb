"""What the fields of a schema say of themselves: closed choices, groups within, dotted keys."""

from __future__ import annotations

from dataclasses import is_dataclass
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from flood_seg.config.schema.checks import check_choice

T = TypeVar("T")


def closed_choices(schema: type[T]) -> type[T]:
    """Lets a dataclass have fields of `Literal` type, which OmegaConf 2.3 refuses (omry/omegaconf#422).

    OmegaConf reads such a field as a text; `check_choices` compares it with the values that the type lists.
    """
    known = dict(choices_of(schema))
    for name, hint in get_type_hints(schema).items():
        if get_origin(literal := without_none(hint)) is Literal:
            known[name] = get_args(literal)
            schema.__annotations__[name] = "str" if literal is hint else "str | None"
    schema.__choices__ = known  # type: ignore[attr-defined]
    return schema


def choices_of(schema: type) -> dict[str, tuple[str, ...]]:
    """Returns the allowed values of each field that has a closed choice."""
    return getattr(schema, "__choices__", {})


def check_choices(group: str, values: object) -> None:
    """Raises ConfigError where a field with a closed choice has another value.

    Args:
        group: the dotted key of `values`; empty for a whole configuration.
        values: an object of a `closed_choices` dataclass.
    """
    for name, allowed in choices_of(type(values)).items():
        value = getattr(values, name)
        if value is not None:
            check_choice(f"{group}.{name}" if group else name, value, allowed)


def without_none(hint: Any) -> Any:
    """Returns X of `X | None`, else the type itself."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    return kinds[0] if NoneType in get_args(hint) and len(kinds) == 1 else hint


def nested_schema(hint: Any) -> type | None:
    """Returns the dataclass that a field holds, or None where it holds something else."""
    kind = without_none(hint)
    return kind if isinstance(kind, type) and is_dataclass(kind) else None


def schema_keys(schema: type, prefix: str = "") -> dict[str, Any]:
    """Returns each dotted key of a schema and its type, groups before their keys."""
    keys: dict[str, Any] = {}
    for name, hint in get_type_hints(schema).items():
        keys[f"{prefix}{name}"] = hint
        if nested := nested_schema(hint):
            keys |= schema_keys(nested, f"{prefix}{name}.")
    return keys
