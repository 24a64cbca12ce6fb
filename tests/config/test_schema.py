"""The schema says which keys, types and choices there are; their values are those of configs/ alone."""

from dataclasses import MISSING, fields
from typing import get_type_hints

import pytest

from flood_seg.config.compose import compose
from flood_seg.config.defaults import defaults
from flood_seg.config.repository import choices, configs_dir, shipped_values
from flood_seg.config.schema import (
    SCHEMAS,
    AugmentationConfig,
    DataConfig,
    EvaluateConfig,
    TrainConfig,
    TrainerConfig,
    WindowsConfig,
)
from flood_seg.config.schema.checks import choices_of, nested_schema
from flood_seg.errors import ConfigError

REMOVABLE_GROUPS = {"scheduler", "logger", "callbacks"}


def classes_of(schema: type) -> set[type]:
    """A schema and the groups within it."""
    nested = filter(None, map(nested_schema, get_type_hints(schema).values()))
    return {schema}.union(*map(classes_of, nested))


CLASSES = sorted(set().union(*map(classes_of, SCHEMAS.values())), key=lambda schema: schema.__name__)
CLOSED = [(schema, name) for schema in CLASSES for name in vars(schema).get("__choices__", {})]


@pytest.mark.parametrize("schema", CLASSES)
def test_no_field_repeats_a_default_of_configs(schema):
    given = {field.name for field in fields(schema) if field.default is not MISSING}
    made = {field.name: field.default_factory() for field in fields(schema) if field.default_factory is not MISSING}
    assert not given
    assert set(made) <= REMOVABLE_GROUPS and not any(made.values()), "an empty group is what is left of a removed one"


def test_every_file_of_configs_has_a_schema_and_gives_each_key_a_value():
    assert set(SCHEMAS) == {path.stem for path in configs_dir().glob("*.yaml")}
    for name, schema in SCHEMAS.items():
        assert isinstance(compose(name, [], schema), schema)


@pytest.mark.parametrize(("schema", "name"), CLOSED)
def test_a_closed_choice_names_what_is_allowed(schema, name):
    with pytest.raises(ConfigError, match=rf"{name}=nothing: allowed are {', '.join(choices_of(schema)[name])}"):
        defaults(schema, **{name: "nothing"})


def test_the_comments_of_configs_name_each_closed_choice():
    text = "\n".join(path.read_text("utf-8") for path in configs_dir().glob("**/*.yaml")).splitlines()
    for schema, name in CLOSED:
        lines = [number for number, line in enumerate(text) if line.strip().startswith(f"{name}:")]
        comments = [" ".join(text[max(0, number - 3) : number + 1]) for number in lines]
        assert any(all(choice in comment for choice in choices_of(schema)[name]) for comment in comments), name


def test_defaults_are_what_a_verb_composes():
    assert defaults(DataConfig) == compose("train", [], TrainConfig).datamodule
    assert defaults(EvaluateConfig) == compose("evaluate", [], EvaluateConfig)
    changed = compose("train", ["trainer.max_epochs=3"], TrainConfig).trainer
    assert defaults(TrainerConfig, max_epochs=3) == changed


def test_defaults_are_changed_by_name_and_checked():
    config = defaults(DataConfig, height=64, labels={1: "water"}, windows=WindowsConfig(32, 2.0, 0.5, 1))
    assert (config.height, config.width, config.labels) == (64, 64, {1: "water"})  # width follows height
    assert config.windows.block == 2
    assert defaults(EvaluateConfig, backend={"_target_": "x"}).backend == {"_target_": "x"}
    with pytest.raises(ConfigError, match="color_probability=2.0: must be at least 0 and at most 1"):
        defaults(AugmentationConfig, color_probability=2)
    with pytest.raises(ConfigError, match="hight: no such key"):
        defaults(DataConfig, hight=64)
    assert defaults(DataConfig).height == 512, "a change is of one object"


@pytest.mark.parametrize("group", ["augmentation", "datamodule", "model", "trainer"])
def test_a_choice_that_extends_another_says_only_what_differs(group):
    for choice in choices(group):
        values = shipped_values(f"{group}/{choice}")
        for base in [one for one in values.pop("defaults", []) if one != "_self_"]:
            inherited = getattr(compose("train", [f"{group}={base}"], TrainConfig), group)
            assert not {key for key, value in values.items() if getattr(inherited, key) == value}, f"{choice} of {base}"


@pytest.mark.parametrize(
    ("given", "expected"), [("true", "true"), ("'true'", "true"), ("false", "false"), ("auto", "auto")]
)
def test_a_choice_of_true_needs_no_quotes(given, expected):
    config = compose("serve", [f"serve.security.require_keys={given}"], SCHEMAS["serve"])
    assert config.serve.security.require_keys == expected
