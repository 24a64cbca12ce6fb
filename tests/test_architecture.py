"""The picture of the packages is that of the imports; a loaded verb stays below what it may load."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("grimp")
sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import architecture


def test_the_page_draws_the_imports_of_today():
    assert architecture.PAGE.read_text("utf-8") == architecture.page(), "run python docs/architecture.py"


def test_an_import_upwards_is_refused(monkeypatch):
    monkeypatch.setattr(architecture, "imports", lambda: {"imaging": {"verbs"}})
    with pytest.raises(SystemExit, match="imaging imports verbs"):
        architecture.draw()


def test_infer_loads_neither_torch_nor_what_lies_above_it():
    code = "import sys, flood_seg.verbs.infer as i; print(sorted(m for m in sys.modules if m.startswith(%r)))"
    packages = ("training", "evaluation", "export", "workshop", "networks", "data", "tracking")
    above = ("torch", "pytorch_lightning", "mlflow", "matplotlib", *(f"flood_seg.{name}" for name in packages))
    done = subprocess.run([sys.executable, "-c", code % (above,)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
