"""Composes a configuration with Hydra and checks it against its schema."""

from __future__ import annotations

from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, get_origin, get_type_hints

from flood_seg.config.overrides import RUN_DIR, hydra_arguments, is_hydras_own, parse
from flood_seg.config.repository import choices, groups, initialized_hydra
from flood_seg.config.schema.checks import check_finite, nested_schema, schema_keys, without_none
from flood_seg.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

T = TypeVar("T")

MISSING = "???"  # OmegaConf's
MULTIPLE_CHOICE_GROUPS = ("logger", "loss")


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
            _check_single_run(override)
        try:
            return hydra_compose(name, overrides=arguments)
        except ConfigCompositionException as error:
            misfit = _find_misfit(name, arguments)
            raise ConfigError(misfit or " ".join(f"{error} {error.__cause__ or ''}".split())) from error
        except HydraException as error:
            raise ConfigError(" ".join(str(error).split())) from error


def _check_single_run(override: Override) -> None:
    """Raises ConfigError for a setting of Hydra's own, a sweep, a missing key, or an unknown choice of a group.

    Hydra's own messages for these span several lines or are tracebacks.
    """
    key, line = override.key_or_group, override.input_line
    if is_hydras_own(override) and key != RUN_DIR:
        raise ConfigError(f"{line}: Hydra's own settings are of sweeps; add -m, or leave it out")
    if not key:
        raise ConfigError(f"{line}: there is no key before the value; write key=value")
    if override.is_sweep_override():
        value = str(line).partition("=")[2]
        raise ConfigError(
            f"{line}: more than one value; train -m runs once with each, {key}=[{value}] makes a list, "
            f"\"{key}='{value}'\" is a text"
        )
    if key in groups():
        _check_group(override)


def _check_group(override: Override) -> None:
    group, line, given = override.key_or_group, override.input_line, override.value()
    if override.is_delete():
        if not isinstance(given or "", str):
            raise ConfigError(f"{line}: no choice of {group}; ~{group} alone removes it")
        return
    if override.is_force_add():  # Hydra says that groups take no ++
        return
    known = choices(group)
    chosen = given if isinstance(given, list) and given and group in MULTIPLE_CHOICE_GROUPS else [given]
    for choice in chosen:
        if not isinstance(choice, str):
            raise ConfigError(f"{line}: allowed are {', '.join(known)}")
        if choice not in known:
            raise ConfigError(f"{group}={choice}: allowed are {', '.join(known)}{did_you_mean(choice, known)}")


def _find_misfit(name: str, arguments: list[str]) -> str | None:
    """Returns what is wrong with the first of the overrides that Hydra has refused; None where it cannot be told."""
    from hydra import compose as hydra_compose
    from hydra.errors import ConfigCompositionException

    parsed = parse(arguments)
    chosen = [str(one.input_line) for one in parsed if one.key_or_group in groups() and not one.is_delete()]
    try:
        composed = hydra_compose(name, overrides=chosen)
    except ConfigCompositionException:  # of a group that this configuration does not have
        composed = hydra_compose(name)
    return _first_misfit(parsed, composed)


def _first_misfit(overrides: Sequence[Override], composed: DictConfig) -> str | None:
    """Returns what is wrong with the first override that Hydra cannot apply; None where each can be.

    Args:
        overrides: those that were given, in their order.
        composed: the configuration with the choices among them, but without the values among them.
    """
    from omegaconf import OmegaConf

    known = list(_by_dotted_keys(OmegaConf.to_container(composed)))
    for override in overrides:
        key = override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"
        value = override.value()
        current = OmegaConf.select(composed, key, throw_on_resolution_failure=False) if key in known else None
        if override.is_add() and current is not None and not isinstance(value, dict | list):
            return f"{key}: there is such a key already; leave out the +"
        if override.is_add() or override.is_force_add():
            known += [key, *_by_dotted_keys(value if isinstance(value, dict) else {}, f"{key}.")]
        elif key not in known:
            advice = "" if override.is_delete() else f"; +{key}=... adds one where a group allows it"
            return f"{key}: no such key{_nearest_key(key, known)}{advice}"
        elif override.is_delete() and current is None:
            return f"~{key}: is null already; leave it out"
        elif override.is_delete() and value not in (None, current):
            return f"{override.input_line}: {key} has another value; ~{key} alone removes it"
    return None


def _nearest_key(key: str, known: Sequence[str]) -> str:
    """Returns ` (did you mean 'x'?)` for the nearest key, or an empty text.

    Else the nearest by its last part: `epochs=4` is meant for `trainer.max_epochs`.
    """
    known = [other for other in known if not key.startswith(f"{other}.")]
    if same := [other for other in known if other.endswith(f".{key}")]:
        return f" (did you mean '{same[0]}'?)"
    if near := did_you_mean(key, known):
        return near
    ends = {other.rpartition(".")[2]: other for other in reversed(known)}
    near_ends = get_close_matches(key.rpartition(".")[2], ends, n=1, cutoff=0.7)
    return f" (did you mean '{ends[near_ends[0]]}'?)" if near_ends else ""


def _by_dotted_keys(values: Any, prefix: str = "") -> dict[str, Any]:
    """Returns the values of nested dictionaries by their dotted keys, the inner dictionaries too."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found[f"{prefix}{name}"] = value
        if isinstance(value, dict):
            found |= _by_dotted_keys(value, f"{prefix}{name}.")
    return found


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
        for key, value in _by_dotted_keys(OmegaConf.to_container(checked)).items():
            if value != MISSING:
                continue
            if missing is None:
                raise ConfigError(_missing_value(key))
            OmegaConf.update(checked, key, OmegaConf.select(missing, key))
        check_finite(OmegaConf.to_container(checked, resolve=True))
        result = OmegaConf.to_object(checked)
    except OmegaConfBaseException as error:
        raise ConfigError(_describe(error, list(schema_keys(schema)))) from error
    except OverflowError as error:  # which OmegaConf neither catches nor tells the key of
        raise ConfigError(f"a number has more digits than any value may have ({error})") from error
    assert isinstance(result, schema)
    check_finite(asdict(result))  # type: ignore[call-overload] # a dataclass; some values are read from files
    return result


def _check_dictionaries(schema: Any, composed: DictConfig, prefix: str = "") -> None:
    """Raises ConfigError for a value that is not a dictionary; OmegaConf's own message does not contain its key."""
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


def _describe(error: OmegaConfBaseException, known: Sequence[str]) -> str:
    """Returns what OmegaConf found wrong, with the key first; `known`: the keys that are allowed."""
    from omegaconf.errors import ConfigKeyError

    key = error.full_key or ""
    if isinstance(error, ConfigKeyError):
        return f"{key}: no such key{_nearest_key(key, known)}"
    first_line = (error.msg or str(error)).split("\n")[0]
    return f"{key}: {first_line}" if key and key not in first_line else first_line


def _missing_value(key: str) -> str:
    """Returns what is wrong where a required key was removed."""
    if key in groups():
        return f"~{key}: there is no run without {key}; choose one of {', '.join(choices(key))}"
    return f"{key}: is required, and has no value; give one, or leave out ~{key}"


def show(name: str, overrides: Sequence[str]) -> str:
    """Returns Hydra's own part of a configuration (`hydra`), as YAML."""
    from hydra import compose as hydra_compose
    from omegaconf import OmegaConf

    with initialized_hydra():
        composed = hydra_compose(name, overrides=hydra_arguments(overrides), return_hydra_config=True)
    text: str = OmegaConf.to_yaml(OmegaConf.masked_copy(composed, ["hydra"]))
    return text
