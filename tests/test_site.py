"""The documentation site builds without a broken link, and its pages load nothing from another host."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("zensical")
pytest.importorskip("mkdocstrings_handlers.python")

ROOT = Path(__file__).parent.parent
OTHER_HOST = r"=[\"']?(?:https?:)?//[^>]*>"
RESOURCE = rf"<(?:script|img|iframe|source)[^>]*\ssrc{OTHER_HOST}|<link[^>]*\shref{OTHER_HOST}"


def test_the_site_builds_and_loads_nothing_from_another_host(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    for name in ("flood_seg", "models", "CHANGELOG.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    for command in (["docs/notebooks.py"], ["-m", "zensical", "build", "--strict"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert not re.findall(RESOURCE, page.read_text("utf-8")), page
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text("utf-8")), style
