"""Runs every fault of table.md through the real command.

To add a fault, add a row to table.md, and a file to world.py where none of its files is broken in that way. A row runs
in this process, which is what `python -m flood_seg` does but for the start; FLOOD_SEG_FAULT_ROWS=processes runs each
in one of its own. A command that begins with `$` is a line of bash and always does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

import pytest

from flood_seg.cli.main import main
from tests.faults.table import PAGE, Fault, page, read_faults
from tests.faults.world import build

FAULTS = read_faults()
ROOT = Path(__file__).parents[2]
SECONDS = 60  # that a command may take
IN_PROCESSES = os.environ.get("FLOOD_SEG_FAULT_ROWS") == "processes"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of world.py, not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    build(folder)
    return folder


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault.topic}: {fault.what}" for fault in FAULTS])
def test_a_fault_is_one_line_and_leaves_everything_else_as_it_was(fault, world, tmp_path, monkeypatch, capfd):
    place = tmp_path / "work"
    shutil.copytree(world, place, symlinks=True)
    before = look(place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    capfd.readouterr()
    code, stderr = run(fault, tmp_path) if IN_PROCESSES or fault.command.startswith("$") else run_here(fault, capfd)
    after = look(place)

    lines = stderr.splitlines()
    assert code == fault.code, stderr[-2000:]
    assert all(line.startswith("flood-seg: ") for line in lines), stderr[-2000:]
    assert [line.startswith("flood-seg: error: ") for line in lines] == [False] * (len(lines) - 1) + [True], stderr
    assert fault.message in lines[-1] and len(lines[-1]) < 2000
    assert {name: after.get(name) for name in before} == before, "an input has changed"
    left = sorted(after.keys() - before.keys())
    assert [name for name in left if not any(fnmatch(name, pattern) for pattern in fault.left)] == []
    assert [pattern for pattern in fault.left if not any(fnmatch(name, pattern) for name in left)] == []


def run_here(fault: Fault, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Returns exit code and stderr."""
    code = 0
    try:
        main(fault.arguments)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    return code, capfd.readouterr().err


def run(fault: Fault, folder: Path) -> tuple[int, str]:
    """Does the same in a process of its own, through bash where the command begins with `$`."""
    command = folder / "bin" / "flood-seg"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\nfrom flood_seg.cli.main import main\nmain()\n")
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    words = ["bash", "-c", fault.command.removeprefix("$ ")] if fault.command.startswith("$") else [
        str(command), *fault.arguments]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)
    return done.returncode, done.stderr


def look(folder: Path) -> dict[str, str]:
    """Returns the content of each file and link below a folder, and of each folder that is empty."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = sha256(path.read_bytes()).hexdigest()
        elif not any(path.iterdir()):
            found[f"{name}/"] = "empty folder"
    return found


def test_there_are_over_a_hundred_faults_and_none_stands_twice():
    assert len(FAULTS) >= 100
    assert len({fault.command for fault in FAULTS}) == len(FAULTS)


def test_the_page_of_reliability_has_the_counts_of_the_table():
    text = PAGE.read_text("utf-8")
    assert page(text) == text, "run python -m tests.faults.table"
