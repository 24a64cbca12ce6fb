"""Every file of configs/ composes and builds, and docs/recipes.md tells of all of them."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from flood_seg.config import compose, configs_dir
from flood_seg.schema import InferConfig, TrainConfig
from flood_seg.training.build import check_leaves

ROOT = Path(__file__).parent.parent
CHOICES = sorted((path.parent.name, path.stem) for path in configs_dir().glob("*/*.yaml"))


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_builds(group, choice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if group == "backend":
        module, _, name = compose("infer", [f"backend={choice}"], InferConfig).backend["_target_"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        return
    override = f"{'+' if group in ('experiment', 'debug') else ''}{group}={choice}"
    several = ["task=multiclass", "datamodule.max_label=2"] if choice in ("ce", "ce_dice") else []
    check_leaves(compose("train", [override, *several], TrainConfig))


def test_the_page_of_recipes_is_what_the_files_say():
    done = subprocess.run([sys.executable, "docs/recipes.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run python docs/recipes.py"
