"""The clients of docs/service.md run as they are written there, but for the port."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

import flood_seg
from tests.conftest import draw_pond
from tests.service.images import decode, encode
from tests.service.running import Running

PAGE = Path(__file__).parents[2] / "docs" / "service.md"
COMMANDS = {"python": [sys.executable, "-"], "bash": ["bash", "-s"]}


@pytest.mark.parametrize("language", COMMANDS)
def test_a_client_of_the_docs_saves_the_mask(language: str, server: Running, tmp_path: Path) -> None:
    (code,) = re.findall(rf"```{language}\n(.*?\d/predict.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 10
    data = encode(draw_pond(3, 200, 300)[0], "JPEG")
    (tmp_path / "photo.jpg").write_bytes(data)
    script = code.replace("http://127.0.0.1:8000", server.url)
    ended = subprocess.run(
        COMMANDS[language], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    expected = flood_seg.load_model().predict(data)
    assert np.array_equal(decode((tmp_path / "photo_mask.png").read_bytes()), expected.mask * 255)
    if language == "python":
        assert ended.stdout == f"photo.jpg: {expected.shares['water']:.1%} water\n"


def test_the_service_loads_no_torch(server: Running, client: httpx.Client) -> None:
    assert client.post("/predict", content=encode(draw_pond(3)[0])).status_code == 200
    libraries = Path(f"/proc/{server.process.pid}/maps").read_text("utf-8")
    assert "onnxruntime" in libraries and "torch" not in libraries
