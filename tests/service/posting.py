"""Jobs of a running service as a client sees them, and the same maps on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.conftest import make_spec
from tests.scenes.conftest import write_scene, write_smoothing_model

FINISHED = ("successful", "failed", "dismissed")
WAIT_SECONDS = 120  # on a busy machine


def post_job(url: str, *, headers: dict[str, str] | None = None, data: dict[str, str] | None = None,
             **files: Path) -> httpx.Response:  # fmt: skip
    """Posts a job with files by their field."""
    fields: dict[str, Any] = {name: (None, value) for name, value in (data or {}).items()}
    fields |= {name: (path.name, path.read_bytes()) for name, path in files.items()}
    return httpx.post(f"{url}/jobs", files=fields, headers=headers, timeout=60)


def new_job(url: str, **asked: Any) -> dict[str, Any]:
    """Posts a job that must be accepted, and returns it."""
    answer = post_job(url, **asked)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def read_job(url: str, job: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/jobs/{job}", timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def wait_for(url: str, job: str, *statuses: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    """Returns a job once it has one of some statuses, by default one of those of finished jobs."""
    end = time.monotonic() + seconds
    while (found := read_job(url, job))["status"] not in (statuses or FINISHED):
        assert time.monotonic() < end, found
        assert found["status"] not in FINISHED, found
        time.sleep(0.05)
    return found


def wait_successful(url: str, job: str, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
    found = wait_for(url, job, seconds=seconds)
    assert found["status"] == "successful", found
    return found


def wait_until(condition: Any, seconds: float = WAIT_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def run_map(folder: Path, model: Path, *words: str) -> Path:
    """Runs `flood-seg map` on the command line, and returns the folder of its results."""
    out = folder / "cli"
    command = [sys.executable, "-m", "flood_seg", "map", "--model", str(model), "--out", str(out), *words]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return out


def checksums(folder: Path) -> dict[str, str]:
    """Returns the digest of each file but the records, in which times are."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {
        name: sha256(path.read_bytes()).hexdigest() for name, path in sorted(found.items()) if name[-9:] != "item.json"
    }


def record(folder: Path) -> dict[str, Any]:
    """Returns the figures of a map's record, without times and what the input is called."""
    properties = json.loads((folder / "item.json").read_bytes())["properties"]
    left_out = ("flood_seg:seconds", "flood_seg:signature", "created", "datetime")
    return {key: value for key, value in properties.items() if key not in left_out}


def smoothing(folder: Path) -> Path:
    """Writes a small model that is slow enough for its large scenes to be interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_smoothing_model(folder / "smoothing.onnx", make_spec())


def noise(path: Path, height: int, width: int, seed: int = 0) -> Path:
    """Writes a scene of smooth noise, whose water has many shores."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
    return write_scene(path, cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC))
