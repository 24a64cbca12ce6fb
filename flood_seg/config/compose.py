"""Hydra, at the edge: compose a configuration, check it, expand sweeps, build what it names."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flood_seg.config.schema.checks import check_finite
from flood_seg.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

T = TypeVar("T")

# What a configuration may build; nothing else is imported by name.
ALLOWED_TARGETS = (
    "flood_seg.",
    "torch.nn.",
    "torch.optim.",
    "pytorch_lightning.",
    "segmentation_models_pytorch.losses.",
    "timm.optim.",
)

REQUIRED = ("augmentation", "backend", "datamodule", "loss", "model", "optimizer", "trainer")
# Hydra's own keys that a single run takes.
RUN_KEYS = ("hydra.run.dir",)
# Groups of which several can be chosen.
SEVERAL = ("logger", "loss")
# Groups without a default, of which Hydra wants a + that nobody expects.
ADDED = ("debug=", "experiment=")
# Text that Hydra reads as text without quotes.
PLAIN = re.compile(r"(?:[A-Za-z_/]|\.{1,2}/)[\w./-]*", re.ASCII)
WORDS = ("null", "true", "false", "nan", "inf")
# Dictionaries whose keys the user chooses.
FREE_KEYS = tuple(f"datamodule.{name}" for name in ("band_sources", "colors", "extra_val", "labels"))

# Names of files, which stay texts: 1e3, 1_000 and 2050 are stems, not numbers.
NAMES = ("check.fix_swaps",)


def configs_dir() -> Path:
    """Returns the folder of the configuration files: in a checkout, or inside an installed package."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent / "configs"
    return checkout if (checkout / "train.yaml").is_file() else package / "configs"


def compose(name: str, overrides: Sequence[str], schema: type[T]) -> T:
    """Composes configs/{name}.yaml with Hydra overrides and checks it against `schema`.

    Args:
        name: `train`, `infer`, `evaluate` or `export`.
        overrides: as on Hydra's command line: `key=value`, `group=choice`, `+new=1`, `~removed`.
        schema: a dataclass of `flood_seg.config.schema`; its `__post_init__` checks the values.

    Raises:
        ConfigError: an unknown key or choice, a wrong type, an impossible value, an override that cannot be read.
    """
    return from_composed(_compose(name, overrides), schema)


def from_composed(composed: DictConfig, schema: type[T]) -> T:
    """Checks what Hydra has composed against `schema`; raises as `compose`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    structure = OmegaConf.structured(schema)
    _check_kinds(structure, composed)
    try:
        checked = OmegaConf.merge(structure, composed)
        check_finite(OmegaConf.to_container(checked, resolve=True))
        result = OmegaConf.to_object(checked)
    except OmegaConfBaseException as error:
        raise ConfigError(_describe(error, _keys(structure))) from error
    assert isinstance(result, schema)
    check_finite(asdict(result))  # type: ignore[call-overload] # a dataclass; some values are read from files
    return result


def _check_kinds(structure: DictConfig, composed: DictConfig, prefix: str = "") -> None:
    """Refuses a list or a single value for a dictionary, of which OmegaConf does not say where it is.

    Raises:
        ConfigError: as said.
    """
    from omegaconf import DictConfig

    for name in map(str, structure):
        if name not in composed:  # removed by ~name
            continue
        ours, theirs = structure._get_node(name), composed._get_node(name)
        if isinstance(ours, DictConfig) and theirs is not None and not theirs._is_none():
            if isinstance(theirs, DictConfig):
                _check_kinds(ours, theirs, f"{prefix}{name}.") if not ours._is_none() else None
            elif not theirs._is_interpolation():
                key = f"{prefix}{name}"
                raise ConfigError(f"{key}={theirs}: must be a dictionary; write '{key}={{name: value}}'")


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException

    with initialize_config_dir(str(configs_dir()), version_base=None):
        for override in _parse(overrides):
            _check_override(override)
        try:
            return hydra_compose(name, overrides=hydra_arguments(overrides))
        except MissingConfigException as error:
            raise ConfigError(_missing_choice(str(error))) from error
        except ConfigCompositionException as error:
            # A key that is not there; composing with the choices of groups alone lists the keys that are.
            choices = [override for override in hydra_arguments(overrides) if _is_choice(override)]
            try:
                known = _keys(hydra_compose(name, overrides=choices))
            except ConfigCompositionException:  # a choice is what is wrong
                known = _keys(hydra_compose(name))
            raise ConfigError(_unknown_key(str(error), str(error.__cause__ or ""), known)) from error
        except HydraException as error:
            raise ConfigError(str(error).replace("\n", " ")) from error


def hydra_arguments(overrides: Sequence[str]) -> list[str]:
    """Returns overrides as Hydra takes them.

    Letters beyond ASCII are quoted; `debug=fast` is `+debug=fast`; `datamodule.labels={...}` replaces a dictionary of
    the user's keys, where Hydra would merge or refuse.
    """
    rewritten = []
    for override in map(_readable, overrides):
        if override.startswith(ADDED):
            override = f"+{override}"
        key, _, value = override.partition("=")
        whole = key in FREE_KEYS and value.strip() != "null"
        rewritten += [f"{key}=null", override] if whole else [override]
    return rewritten


def _readable(override: str) -> str:
    """Quotes a plain value with letters beyond ASCII, a path for example, which Hydra's grammar stumbles over.

    Likewise the elements of a list of names, which would else become numbers.
    """
    key, _, value = override.partition("=")
    if key.lstrip("+") in NAMES and (listed := re.fullmatch(r"\s*\[([^'\"\[\]{}()\\]*)\]\s*", value)):
        names = [f"'{name.strip()}'" for name in listed[1].split(",") if name.strip()]
        return f"{key}=[{','.join(names)}]"
    if key.lstrip("+") in NAMES and re.fullmatch(r"[\w.+-]+", value) and value.lower() not in ("true", "false", "null"):
        return f"{key}='{value}'"
    plain = re.fullmatch(r"[^'\"\[\]{}(),$\\]*", value) and not value.isascii()
    return f"{key}='{value.strip()}'" if plain else override


def _parse(overrides: Sequence[str]) -> list[Override]:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    # The loader knows the choices of a group, for sweeps like model=glob(*).
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    try:
        return parser.parse_overrides([_readable(override) for override in overrides])
    except OverrideParseException as error:
        raise ConfigError(_unreadable(error.override, str(error))) from error


def check_relevant(overrides: Sequence[str], relevant: Sequence[str], flag: str) -> None:
    """Raises ConfigError where an override is none of the keys that have an effect together with a flag."""
    for override in parse_overrides(overrides):
        if override.key_or_group not in relevant:
            known = ", ".join(relevant)
            raise ConfigError(
                f"{override.input_line}: has no effect with {flag}, which takes {known} alone; leave it out"
            )


def as_override(key: str, value: Any) -> str:
    """Returns `key=value` as Hydra reads it.

    Args:
        key: dotted.
        value: text, a number, None, or a list or dictionary of these; a dictionary's keys are numbers or words, since
            Hydra takes no quotes there.
    """
    return f"{key}={_as_text(value)}"


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_as_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_as_text, value)) + "]"
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return value if PLAIN.fullmatch(value) and value.lower() not in WORDS else quoted(value)


def quoted(text: str) -> str:
    """Returns text in quotes that Hydra takes as it is, whatever characters it holds.

    Hydra reads a backslash as one only before a quote, and OmegaConf before an interpolation.
    """
    escaped = re.sub(r'(\\*)("|\$\{|\Z)', lambda found: found[1] * 2 + ("\\" + found[2] if found[2] else ""), text)
    return f'"{escaped}"'


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parses overrides; raises ConfigError where one cannot be read."""
    from hydra import initialize_config_dir

    with initialize_config_dir(str(configs_dir()), version_base=None):
        return _parse(overrides)


def run_folder(overrides: Sequence[str]) -> Path | None:
    """Returns the folder that `hydra.run.dir` names; None where it is not among the overrides.

    Raises:
        ConfigError: it is empty, or holds an interpolation, which Hydra alone would resolve.
    """
    named = [override.value() for override in parse_overrides(overrides) if override.key_or_group == RUN_KEYS[0]]
    if not named:
        return None
    folder = "" if named[-1] is None else str(named[-1])
    if not folder or "${" in folder:
        raise ConfigError(f"{RUN_KEYS[0]}={folder}: give a folder's plain name; without it, date and time make one")
    return Path(folder)


def _check_override(override: Override) -> None:
    """Refuses what Hydra would answer with a traceback, in several lines or not at all."""
    key, line = override.key_or_group, override.input_line
    if re.match(r"hydra[./]", key) and key not in RUN_KEYS:
        raise ConfigError(f"{line}: Hydra's own settings are of sweeps; add -m, or leave it out")
    if override.is_delete() and key in REQUIRED:
        raise ConfigError(f"{line}: there is no run without {key}; choose one of {', '.join(_choices(key))}")
    if not key:
        raise ConfigError(f"{line}: there is no key before the value; write key=value")
    if override.is_delete() and (configs_dir() / key).is_dir() and not isinstance(override.value() or "", str):
        raise ConfigError(f"{line}: no choice of {key}; ~{key} alone removes it")
    if override.is_sweep_override():
        value = str(line).partition("=")[2]
        raise ConfigError(
            f"{line}: more than one value; train -m runs once with each, {key}=[{value}] makes a list, "
            f"\"{key}='{value}'\" is a text"
        )
    if not (configs_dir() / key).is_dir() or override.is_delete():
        return
    choice = override.value()
    if isinstance(choice, list) and key in SEVERAL and choice and all(isinstance(one, str) for one in choice):
        return
    if not isinstance(choice, str):
        raise ConfigError(f"{line}: allowed are {', '.join(_choices(key))}")


def _check_sweep(override: Override) -> None:
    """Refuses a range or an interval without values, which Hydra and its sweepers answer with a traceback, if at all.

    Raises:
        ConfigError: as said.
    """
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep

    swept, line = override.value(), override.input_line
    if isinstance(swept, RangeSweep):
        start, stop, step = (number or 0 for number in (swept.start, swept.stop, swept.step))
        if not (step > 0 and start < stop) and not (step < 0 and start > stop):
            raise ConfigError(f"{line}: holds no value; write range(start,stop,step), which leads from start to stop")
    if isinstance(swept, IntervalSweep):
        start, end = swept.start or 0, swept.end or 0
        if not start <= end:
            raise ConfigError(f"{line}: ends below its start; write interval(low,high)")
        if "log" in swept.tags and start <= 0:
            raise ConfigError(f"{line}: begins at {start}, which has no logarithm; begin above 0")


def _is_choice(override: str) -> bool:
    group = override.partition("=")[0].lstrip("+")
    return "=" in override and (configs_dir() / group).is_dir()


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (configs_dir() / group).glob("*.yaml"))


def _missing_choice(message: str) -> str:
    found = re.search(r"Could not (?:find|load) '([^']+)'", message)
    missing = found[1] if found else message.split("\n")[0]
    group, _, choice = missing.replace("=", "/").rpartition("/")  # a list's choice is named group=choice
    choices = _choices(group)
    return f"{group}={choice}: allowed are {', '.join(choices) or 'none'}{did_you_mean(choice, choices)}"


def _unknown_key(message: str, cause: str, known: list[str]) -> str:
    found = re.search(r"'([^']+)'", message)
    if found is None or not message.startswith(("Could not override", "Could not append", "Could not delete")):
        return f"{message} {cause}".replace("\n", " ").strip()
    key = found[1]
    if message.startswith("Could not delete") and key in known:
        return f"~{key}: is null already; leave it out"
    if message.startswith("Could not append"):
        return f"{key}: there is such a key already; leave out the +"
    advice = f"; +{key}=... adds one where a group allows it" if message.startswith("Could not override") else ""
    return f"{key}: no such key{_nearest(key, known)}{advice}"


def _nearest(key: str, known: list[str]) -> str:
    """The nearest key, else the nearest by its last part: `epochs=4` is meant for `trainer.max_epochs`."""
    known = [other for other in known if not key.startswith(f"{other}.")]
    if same := [other for other in known if other.endswith(f".{key}")]:
        return f" (did you mean '{same[0]}'?)"
    if near := did_you_mean(key, known):
        return near
    ends = {other.rpartition(".")[2]: other for other in reversed(known)}
    near_ends = get_close_matches(key.rpartition(".")[2], ends, n=1, cutoff=0.7)
    return f" (did you mean '{ends[near_ends[0]]}'?)" if near_ends else ""


def _unreadable(override: str, message: str) -> str:
    """`message` is the parser's: what it stumbled over, a line with a caret, an address of the documentation."""
    lines = [line for line in message.split("\n") if line.strip() != "^" and not line.startswith("See http")]
    reason = "a character that must be quoted" if lines[-1].startswith("Lexer") else lines[-1].strip()
    return f"{override}: not a Hydra override ({reason}); write key=value, and quote special characters: \"key='a(b)'\""


def _describe(error: Exception, known: list[str]) -> str:
    from omegaconf.errors import ConfigKeyError

    key = str(getattr(error, "full_key", "") or "")
    if isinstance(error, ConfigKeyError):
        return f"{key}: no such key{_nearest(key, known)}"
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
    return from_composed(saved, schema)


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

    Hydra's own settings are left out. A search's jobs are not known beforehand: what all of them have in common is one.

    Raises:
        ConfigError: an override that cannot be read.
    """
    from hydra import initialize_config_dir
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.errors import HydraException

    with initialize_config_dir(str(configs_dir()), version_base=None):
        parsed = _parse(overrides)
        for override in parsed:
            _check_sweep(override)
        if any(override.key_or_group == "hydra/sweeper" and override.value() != "basic" for override in parsed):
            return [[str(o.input_line) for o in parsed if not o.is_sweep_override() and not _is_hydras(o)]]
        parsed = [override for override in parsed if not _is_hydras(override)]
        try:
            (jobs,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        except HydraException as error:  # interval(a, b) has no end of values
            raise ConfigError(f"{' '.join(overrides)}: {error}; list the values: key=1,2,3") from error
    if not jobs:
        raise ConfigError(f"{' '.join(overrides)}: no choice fits the pattern, so there is nothing to run")
    return [list(job) for job in jobs]


def _is_hydras(override: Override) -> bool:
    return override.key_or_group.startswith(("hydra.", "hydra/"))


def show(name: str, overrides: Sequence[str], kind: str) -> str:
    """Returns Hydra's own part of a configuration (`hydra`), as YAML."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(configs_dir()), version_base=None):
        composed = hydra_compose(name, overrides=hydra_arguments(overrides), return_hydra_config=True)
    text: str = OmegaConf.to_yaml(OmegaConf.masked_copy(composed, ["hydra"]))
    return text


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
