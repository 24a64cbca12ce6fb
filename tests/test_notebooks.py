"""The notebooks of docs/tutorials/ run from the first to the last cell."""

import os
import shutil
import sys
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "tutorials").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path, tmp_path, monkeypatch):
    if shutil.which("flood-seg") is None:
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)
    assert all(cell.get("outputs") for cell in notebook.cells if cell.cell_type == "code"), "python docs/notebooks.py"
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
