"""Composes a configuration with Hydra and checks it against its schema."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, get_origin, get_type_hints

from flood_seg.config.messages import describe, first_misfit, missing_keys, missing_value
from flood_seg.config.overrides import check_single_run, hydra_arguments, is_choice, parse
from flood_seg.config.repository import initialized_hydra
from flood_seg.config.schema.checks import check_finite
from flood_seg.config.schema.fields import nested_schema, schema_keys, without_none
from flood_seg.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

T = TypeVar("T")


def compose(name: str, overrides: Sequence[str], schema: type[T]) -> T:
    """Composes configs/{name}.yaml with Hydra overrides and checks it against `schema`.

    Args:
        name: `train`, `infer`, `evaluate` or another file of configs/.
        overrides: as on Hydra's command line: `key=value`, `group=choice`, `+new=1`, `~removed`.
        schema: a dataclass of `flood_seg.config.schema`; its `__post_init__` checks the values.

    Raises:
        ConfigError: an unknown key or choice, a wrong type, an impossible value, an override that cannot be read.
    """
    return from_composed(compose_unchecked(name, overrides), schema)


def compose_unchecked(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Returns what Hydra composes, before types and values are checked; raises as `compose`."""
    from hydra import compose as hydra_compose
    from hydra.errors import ConfigCompositionException, HydraException

    arguments = hydra_arguments(overrides)
    with initialized_hydra():
        for override in parse(overrides):
            check_single_run(override)
        try:
            return hydra_compose(name, overrides=arguments)
        except ConfigCompositionException as error:
            misfit = _find_misfit(name, arguments)
            raise ConfigError(misfit or " ".join(f"{error} {error.__cause__ or ''}".split())) from error
        except HydraException as error:
            raise ConfigError(" ".join(str(error).split())) from error


def _find_misfit(name: str, arguments: list[str]) -> str | None:
    """Returns what is wrong with the first of the overrides that Hydra has refused; None where it cannot be told."""
    from hydra import compose as hydra_compose
    from hydra.errors import ConfigCompositionException

    parsed = parse(arguments)
    try:
        composed = hydra_compose(name, overrides=[str(one.input_line) for one in parsed if is_choice(one)])
    except ConfigCompositionException:  # of a group that this configuration does not have
        composed = hydra_compose(name)
    return first_misfit(parsed, composed)


def from_composed(composed: DictConfig, schema: type[T], missing: DictConfig | None = None) -> T:
    """Checks what Hydra has composed against `schema`.

    Args:
        composed: the values.
        schema: a dataclass.
        missing: where to take what `composed` lacks; None: nothing may be missing.

    Raises:
        ConfigError: as `compose`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _check_dictionaries(schema, composed)
    try:
        checked = OmegaConf.merge(OmegaConf.structured(schema), composed)
        for key in missing_keys(OmegaConf.to_container(checked)):
            if missing is None:
                raise ConfigError(missing_value(key))
            OmegaConf.update(checked, key, OmegaConf.select(missing, key))
        check_finite(OmegaConf.to_container(checked, resolve=True))
        result = OmegaConf.to_object(checked)
    except OmegaConfBaseException as error:
        raise ConfigError(describe(error, list(schema_keys(schema)))) from error
    assert isinstance(result, schema)
    check_finite(asdict(result))  # type: ignore[call-overload] # a dataclass; some values are read from files
    return result


def _check_dictionaries(schema: Any, composed: DictConfig, prefix: str = "") -> None:
    """Refuses a list or a single value for a dictionary, of which OmegaConf does not say where it is.

    Raises:
        ConfigError: the value is not a dictionary.
    """
    from omegaconf import OmegaConf

    for name, hint in get_type_hints(schema).items():
        nested, key = nested_schema(hint), f"{prefix}{name}"
        if name not in composed or not (nested or get_origin(without_none(hint)) is dict):
            continue
        if OmegaConf.is_interpolation(composed, name) or composed[name] is None:
            continue
        if not OmegaConf.is_dict(composed[name]):
            raise ConfigError(f"{key}={composed[name]}: must be a dictionary; write '{key}={{name: value}}'")
        if nested:
            _check_dictionaries(nested, composed[name], f"{key}.")


def show(name: str, overrides: Sequence[str]) -> str:
    """Returns Hydra's own part of a configuration (`hydra`), as YAML."""
    from hydra import compose as hydra_compose
    from omegaconf import OmegaConf

    with initialized_hydra():
        composed = hydra_compose(name, overrides=hydra_arguments(overrides), return_hydra_config=True)
    text: str = OmegaConf.to_yaml(OmegaConf.masked_copy(composed, ["hydra"]))
    return text
