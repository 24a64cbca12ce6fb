"""Hydra, at the edge: compose a configuration, check it, expand sweeps, build what it names."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flood_seg.errors import ConfigError, did_you_mean
from flood_seg.imaging.write import atomic_path

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")

# What a configuration may build; nothing else is imported by name.
ALLOWED_TARGETS = (
    "flood_seg.",
    "torch.nn.",
    "torch.optim.",
    "pytorch_lightning.",
    "segmentation_models_pytorch.losses.",
)


def configs_dir() -> Path:
    """Returns the folder of the configuration files: in a checkout, or inside an installed package."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "configs"
    return checkout if (checkout / "train.yaml").is_file() else package / "configs"


def compose(name: str, overrides: Sequence[str], schema: type[T]) -> T:
    """Composes configs/{name}.yaml with Hydra overrides and checks it against `schema`.

    Args:
        name: `train`, `infer`, `evaluate` or `export`.
        overrides: as on Hydra's command line: `key=value`, `group=choice`, `+new=1`, `~removed`.
        schema: a dataclass of `flood_seg.schema`; its `__post_init__` checks the values.

    Raises:
        ConfigError: an unknown key or choice, a wrong type, an impossible value, an override that cannot be read.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    composed = _compose(name, overrides)
    try:
        checked = OmegaConf.merge(OmegaConf.structured(schema), composed)
        result = OmegaConf.to_object(checked)
    except OmegaConfBaseException as error:
        raise ConfigError(_describe(error)) from error
    assert isinstance(result, schema)
    return result


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException

    with initialize_config_dir(str(configs_dir()), version_base=None):
        try:
            return hydra_compose(name, overrides=list(overrides))
        except MissingConfigException as error:
            raise ConfigError(_missing_choice(str(error))) from error
        except ConfigCompositionException as error:
            # A key that is not there; composing without overrides lists the keys that are.
            known = _keys(hydra_compose(name))
            raise ConfigError(_unknown_key(str(error), str(error.__cause__ or ""), known)) from error
        except HydraException as error:
            raise ConfigError(_unreadable(str(error), overrides)) from error


def _missing_choice(message: str) -> str:
    found = re.search(r"Could not find '([^']+)'", message)
    missing = found[1] if found else message.split("\n")[0]
    group, _, choice = missing.rpartition("/")
    choices = sorted(path.stem for path in (configs_dir() / group).glob("*.yaml"))
    return f"{group}={choice}: allowed are {', '.join(choices) or 'none'}{did_you_mean(choice, choices)}"


def _unknown_key(message: str, cause: str, known: list[str]) -> str:
    found = re.search(r"'([^']+)'", message)
    if found is None or "override" not in message:
        return f"{message} {cause}".replace("\n", " ").strip()
    key = found[1]
    hint = did_you_mean(key, known) or _same_ending(key, known)
    return f"{key}: no such key{hint}; +{key}=... adds one where a group allows it"


def _same_ending(key: str, known: list[str]) -> str:
    """A hint for `batch_size=4`, where only `datamodule.batch_size` is a key."""
    ends = [other for other in known if other.rpartition(".")[2] == key.rpartition(".")[2]]
    return f" (did you mean '{ends[0]}'?)" if ends else ""


def _unreadable(message: str, overrides: Sequence[str]) -> str:
    lines = [line for line in message.split("\n") if line and not line.startswith("See http")]
    named = [override for override in overrides if override in message]
    what = named[0] if named else " ".join(overrides)
    return f"{what}: not a Hydra override ({lines[-1].strip()}); write key=value, and quote special characters"


def _describe(error: Exception) -> str:
    key = str(getattr(error, "full_key", "") or "")
    first_line = str(getattr(error, "msg", "") or error).split("\n")[0]
    return f"{key}: {first_line}" if key and key not in first_line else first_line


def _keys(node: Any, prefix: str = "") -> list[str]:
    keys = []
    for name in node:
        full = f"{prefix}{name}"
        child = node._get_node(name)
        keys.append(full)
        if hasattr(child, "items"):
            keys += _keys(child, f"{full}.")
    return keys


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


def save_config(config: Any, overrides: Sequence[str], folder: Path) -> None:
    """Writes the resolved configuration and the overrides: folder/config.yaml and folder/overrides.yaml."""
    import yaml

    for name, content in (("config.yaml", asdict(config)), ("overrides.yaml", list(overrides))):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


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


def sweep(overrides: Sequence[str]) -> list[list[str]]:
    """Expands `model=a,b optimizer.lr=1e-3,3e-4` into the overrides of each job, by Hydra's own rules.

    Raises:
        ConfigError: an override that cannot be read.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise ConfigError(_unreadable(str(error), overrides)) from error
    (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [list(job) for job in jobs]


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
    build = _find_target(target)
    arguments = {key: value for key, value in node.items() if key != "_target_"} | kwargs
    try:
        inspect.signature(build).bind(*args, **arguments)
    except TypeError as error:
        known = [name for name in inspect.signature(build).parameters if name != "self"]
        wrong = [name for name in arguments if name not in known]
        what = f"has no argument {wrong[0]!r}{did_you_mean(wrong[0], known)}" if wrong else str(error)
        raise ConfigError(f"{target}: {what}") from error
    return build(*args, **arguments)


def _find_target(target: str) -> Any:
    if not target.startswith(ALLOWED_TARGETS):
        raise ConfigError(f"_target_={target}: must start with one of {', '.join(ALLOWED_TARGETS)}")
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise  # a package that the module needs is not installed
        raise ConfigError(f"_target_={target}: there is no module {error.name}") from error
    if not hasattr(module, name):
        raise ConfigError(f"_target_={target}: {module_name} has no {name}{did_you_mean(name, dir(module))}")
    return getattr(module, name)
