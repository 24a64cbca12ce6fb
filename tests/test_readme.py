"""Commands of README.md and docs/ pass the guard and compose, links resolve, and generated pages are up to date."""

import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flood_seg.cli.guard import guard
from flood_seg.cli.table import VERBS
from flood_seg.config.compose import compose
from flood_seg.config.overrides import sweep
from flood_seg.config.schema import SCHEMAS
from flood_seg.inference.engines import choose_engine, parse_engine

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "models").glob("*/*.md"))]
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for page in PAGES
        for line in page.read_text("utf-8").splitlines()
        if re.match(r" {4}flood-seg ", line)
    }
)


STATS = "{bands: [red, green, blue, nir], value_scale: 10000.0, mean: [1, 1, 1, 1], std: [1, 1, 1, 1]}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_docs_is_one(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stats.yaml").write_text(STATS)  # what an earlier command wrote
    Path("sets.txt").write_text("rain\n")
    words = shlex.split(command.partition(" | ")[0])[1:]
    command = guard(VERBS, words, "flood-seg")
    assert command is not None
    verb = command[0]
    overrides = [word for word in words if re.match(r"[+~]?[a-z_./]+=", word)]
    if words[0] == "triton-client":
        overrides.insert(0, "backend=triton")
    model = next((words[words.index(flag) + 1] for flag in ("--onnx", "--model") if flag in words), None)
    if words[0] in ("infer", "evaluate"):
        overrides = choose_engine(overrides, model)[0]
    if "--models" in words:
        after = words[words.index("--models") + 1 :]
        for engine in itertools.takewhile(lambda word: not word.startswith("-") and word not in overrides, after):
            parse_engine(engine).node()
    for job in sweep(overrides) if "-m" in words else [overrides]:
        assert not job or verb.config
        if verb.config:
            compose(verb.config, job, SCHEMAS[verb.config])


def test_there_are_commands_of_every_verb():
    lines = [f"{command} " for command in COMMANDS]
    missing = [verb.name for verb in VERBS if not any(line.startswith(f"flood-seg {verb.name} ") for line in lines)]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        linked = page.parent / target
        # The page of a notebook is written when the site is built.
        assert target.startswith(("http", "data:")) or linked.exists() or linked.with_suffix(".ipynb").exists(), target


def test_the_readme_is_short_and_its_table_has_every_verb():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) < 150
    table = text.partition("\n## Commands\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{verb.name}` | {verb.summary} |" for verb in VERBS]


def test_the_reference_is_up_to_date():
    done = subprocess.run([sys.executable, "docs/reference.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "run python docs/reference.py"


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    notebooks = {path.with_suffix(".md").relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/*/*.ipynb")}
    assert set(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)) == pages | notebooks
