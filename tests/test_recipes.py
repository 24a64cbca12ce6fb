"""Every file of configs/ composes and builds, and docs/recipes.md tells of all of them."""

import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from flood_seg.config.compose import compose
from flood_seg.config.repository import configs_dir
from flood_seg.config.schema import InferConfig, MapConfig, SceneConfig, TrainConfig
from flood_seg.errors import ConfigError
from flood_seg.imaging.optional import OptionalBands
from flood_seg.spec import ModelSpec
from flood_seg.verbs.train_parts import build_module, check_components, make_spec

ROOT = Path(__file__).parent.parent
CHOICES = sorted((path.parent.name, path.stem) for path in configs_dir().glob("*/*.yaml"))


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_builds(group, choice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if group == "backend":
        module, _, name = compose("infer", [f"backend={choice}"], InferConfig).backend["_target_"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        return
    if group == "catalog":
        compose("scene", [f"catalog={choice}"], SceneConfig)
        return
    if group == "executor":
        module, _, name = compose("map", [f"executor={choice}"], MapConfig).executor["_target_"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        return
    override = f"{'+' if group in ('experiment', 'debug') else ''}{group}={choice}"
    several = ["task=multiclass", "datamodule.max_label=2"] if choice in OF_SEVERAL else FIXED_SIZE.get(choice, [])
    check_components(compose("train", [override, *several], TrainConfig))


def test_the_page_of_recipes_is_what_the_files_say():
    done = subprocess.run([sys.executable, "docs/recipes.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run python docs/recipes.py"


RECIPES = sorted(path.stem for path in configs_dir().glob("experiment/*.yaml"))
LOSSES = [*(choice for group, choice in CHOICES if group == "loss"), "[dice,focal]"]
OF_TWO_CLASSES = {"bce", "bce_dice", "bce_dice_auto", "boundary", "mcc"}
OF_SEVERAL = {"ce", "ce_dice", "ce_dice_auto"}
FIXED_SIZE = {"dpt": ["datamodule.height=224", "datamodule.width=224"]}


def choices_of(group: str) -> list[str]:
    return [choice for its, choice in CHOICES if its == group]


def same_choices(recipe: str) -> list[str]:
    """The recipes with the same model, loss, optimizer and scheduler."""
    files = {
        name: yaml.safe_load((configs_dir() / "experiment" / f"{name}.yaml").read_text("utf-8")) for name in RECIPES
    }
    chosen = {name: (file.get("defaults"), file.get("task")) for name, file in files.items()}
    return [name for name in RECIPES if chosen[name] == chosen[recipe]]


def jobs(recipe: str) -> list[tuple[str, list[str]]]:
    """Each loss with the recipe, and in turn each model, optimizer, scheduler and augmentation.

    Of recipes with the same choices, such as ombria and its ablations, the first takes all, the others a few.
    """
    others = {group: choices_of(group) for group in ("model", "optimizer", "scheduler", "augmentation")}
    turns = max(map(len, (LOSSES, *others.values()))) if recipe == same_choices(recipe)[0] else 2
    chosen = [{group: names[turn % len(names)] for group, names in others.items()} for turn in range(turns)]
    return [
        (LOSSES[turn % len(LOSSES)],
         [f"+experiment={recipe}", f"loss={LOSSES[turn % len(LOSSES)]}", *(f"{g}={name}" for g, name in one.items()),
          *FIXED_SIZE.get(one["model"], [])])
        for turn, one in enumerate(chosen)
    ]  # fmt: skip


class Dot(torch.nn.Module):
    """A network of one pixel's width, with an encoder by name."""

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        self.encoder, self.head = torch.nn.Conv2d(bands, 4, 1), torch.nn.Conv2d(4, channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(images))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_takes_each_loss_model_optimizer_and_scheduler_and_a_step_with_it(recipe):
    for loss, overrides in jobs(recipe):
        config = compose("train", overrides, TrainConfig)
        if loss in (OF_SEVERAL if config.task == "binary" else OF_TWO_CLASSES):
            with pytest.raises(ConfigError, match=rf"^loss\.\w+: is for task=\w+, not for task={config.task}; see .*$"):
                check_components(config)
            continue
        check_components(config)
        assert config.loss == loss_alone(loss, config.task), f"{overrides}: nothing of the recipe's loss is left"
        take_a_step(config)


@cache
def loss_alone(loss: str, task: str) -> dict:
    return compose("train", [f"task={task}", "datamodule.max_label=1", f"loss={loss}"], TrainConfig).loss


def take_a_step(config: TrainConfig) -> None:
    data, classes = config.datamodule, config.datamodule.classes(config.task)
    torch.manual_seed(0)
    network = Dot(len(data.bands), 1 if config.task == "binary" else len(classes.names))
    images, masks = torch.randn(2, len(data.bands), 8, 8), torch.randint(0, len(classes.names), (2, 8, 8))
    spec = ModelSpec(config.task, classes.names, classes.label_values, tuple(data.bands), 32, 32, 1.0,
                     (0.0,) * len(data.bands), (1.0,) * len(data.bands))  # fmt: skip
    module = build_module(config, network, spec, lambda: np.arange(1, len(classes.names) + 1), ignores=False)
    optimizer = module._make_optimizer(network)
    scheduler = module._make_scheduler(optimizer, 10) if config.scheduler else None
    before = [weights.detach().clone() for weights in network.parameters()]
    module.loss(network(images), masks.to(torch.uint8)).backward()
    optimizer.step()
    if scheduler is not None:
        scheduler.step(*([0.5] if "monitor" in config.scheduler else []))
    after = list(network.parameters())
    assert all(torch.isfinite(weights).all() for weights in after)
    assert any((weights != old).any() for weights, old in zip(after, before, strict=True))


def test_no_recipe_changes_keys_of_a_choice_that_another_may_replace():
    """Of another optimizer its learning rate would stay, of another loss a term without a target."""
    for recipe in RECIPES:
        changed = yaml.safe_load((configs_dir() / "experiment" / f"{recipe}.yaml").read_text("utf-8"))
        assert not {"loss", "optimizer", "scheduler"} & set(changed), recipe


def test_a_model_of_the_ombria_recipe_answers_with_one_sensor_or_date_but_not_with_what_was_before_alone():
    numbers = ",".join(["0.5"] * 8)
    config = compose(
        "train", ["+experiment=ombria", f"datamodule.mean=[{numbers}]", f"datamodule.std=[{numbers}]"], TrainConfig
    )
    optional = OptionalBands.of(make_spec(config))
    bands = {name for name in config.datamodule.bands}
    optical = {name for name in bands if not name.startswith("vv")}
    after = {name for name in bands if name.endswith("after")}
    for left in (bands, optical, bands - optical, after, after & optical, after - optical, bands - (after & optical)):
        assert optional.allow(bands - left), left
    for left in (set(), bands - after, bands - {"nir_after"}):
        assert not optional.allow(bands - left), left
