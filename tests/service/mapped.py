"""Jobs whose scenes were mapped by `flood-seg map`, for tests of what is made of their results."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from fastapi.testclient import TestClient

from flood_seg.cli.main import main
from flood_seg.config.compose import compose
from flood_seg.config.schema.service import ServeConfig
from flood_seg.files import write_json
from flood_seg.service.app import create_app
from flood_seg.service.jobs.records import JobRequest, JobState, Status, as_record, new_id
from flood_seg.service.jobs.store import JobStore
from flood_seg.service.models import Models
from flood_seg.service.state import Service


def map_scene(model: Path, scene: Path, out: Path, *words: str) -> Path:
    """Runs `flood-seg map`, and returns the folder of the results."""
    main(["map", "--model", str(model), "--image", str(scene), "--out", str(out), "map.page=false", *words])
    return out


def add_job(
    work: Path, scene: Path | str, results: Path | None, status: Status = "successful", **inputs: Path
) -> str:  # fmt: skip
    """Makes a job of a scene that was mapped already, and returns its identifier; `inputs`: others than the scene."""
    store, job = JobStore(work), new_id()
    store.prepare(job)
    given = {"scene": str(scene)} | {name: str(path) for name, path in inputs.items()}
    found = store.accept(JobRequest(job, "2026-11-28T12:00:00Z", "somebody", "scene", "default", given))
    if results:
        shutil.copytree(results, found.results)
    write_json(found.folder / "state" / "0.json", as_record(JobState(status=status)))
    return job


@contextmanager
def asking(work: Path, *words: str) -> Iterator[TestClient]:
    """Yields a client of a service without models, in this process."""
    limits = ["serve.limits.rate=0", "serve.limits.concurrency=1"]
    service = Service(compose("serve", [f"serve.work_dir={work}", *limits, *words], ServeConfig), Models({}))
    with TestClient(create_app(service), base_url="http://127.0.0.1") as client:
        yield client


def smooth(height: int, width: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Returns an image of soft blobs, uint8 [height, width, bands], whose map has areas instead of noise."""
    import cv2

    random = np.random.default_rng(seed).random((height // 16 + 4, width // 16 + 4, bands), np.float32)
    large = cv2.resize(cv2.GaussianBlur(random, (0, 0), 1), (width, height), interpolation=cv2.INTER_CUBIC)
    large = large.reshape(height, width, bands)
    low, high = large.min(), large.max()
    return np.asarray(((large - low) * (255 / (high - low))).clip(0, 255), np.uint8)
