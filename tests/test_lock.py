"""requirements.lock and the script that checks it, on copies."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci/lock.py"), "--check"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_the_lock_belongs_to_pyproject(checkout):
    assert check(checkout).returncode == 0, check(checkout).stderr


def test_a_comment_or_a_lint_rule_does_not_outdate_the_lock(checkout):
    replace(checkout / "pyproject.toml", "line-length = 120", "line-length = 100 # characters")
    assert check(checkout).returncode == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"fire>=0.7"', '"fire>=0.8"'),  # the core
        ('"scipy>=1.12"', '"scipy>=1.13"'),  # an extra
        ('"ruff>=0.11"', '"ruff>=0.12"'),  # the group dev
        ('"numpy>=2"', '"numpy>=2.1"'),  # an override
    ],
)
def test_a_changed_dependency_outdates_the_lock(checkout, old, new):
    replace(checkout / "pyproject.toml", old, new)
    done = check(checkout)
    assert done.returncode == 1
    assert done.stderr == "requirements.lock does not belong to the dependencies in pyproject.toml: run `make lock`\n"


@pytest.mark.parametrize("address", ["--index-url https://example.org/simple", "flood-seg @ file:///home/me"])
def test_a_lock_that_names_an_address_is_refused(checkout, address):
    with (checkout / "requirements.lock").open("a", encoding="utf-8") as file:
        file.write(f"{address}\n")
    assert check(checkout).stderr == "requirements.lock names an address: run `make lock`\n"
