"""Small data that the tests make themselves."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# Before torch is imported, and for processes that tests start: on data this small, threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest
from PIL import Image

from flood_seg.imaging.decode import read_photo
from flood_seg.spec import ModelSpec
from tests.browser import browser, visit

__all__ = ["browser", "visit"]  # fixtures of the session, so that one browser serves all pages

# Files of ten seconds and more, and the folders of most of them.
LONG = {"training", "serving", "test_architectures.py", "test_composite.py", "test_dvc.py", "test_experiments.py",
        "test_fuzz.py", "test_notebooks.py", "test_recipes.py"}  # fmt: skip


def pytest_configure() -> None:
    # In a background job of a shell SIGINT is ignored, and would be by the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long files first, so that in the end no worker goes on alone."""
    items.sort(key=lambda item: not LONG & {*item.path.parts})


def read_image(given: Path | bytes) -> np.ndarray:
    """Reads a photo as uint8 [H, W, 3] RGB."""
    return read_photo(given)[0]


def draw_pond(seed: int, height: int = 64, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """A blue-grey pond on rough green land: image uint8 [H, W, 3] and mask uint8 [H, W], 0 and 255."""
    random = np.random.default_rng(seed)
    image = random.normal((90, 130, 70), 25, (height, width, 3))
    mask = np.zeros((height, width), np.uint8)
    center = (int(random.integers(10, width - 10)), int(random.integers(10, height - 10)))
    cv2.ellipse(mask, center, (int(random.integers(8, 30)), int(random.integers(8, 30))), 0, 0, 360, 255, -1)
    image[mask > 0] = random.normal((110, 125, 140), 6, (int((mask > 0).sum()), 3))
    return image.clip(0, 255).astype(np.uint8), mask


def write_ponds(folder: Path, count: int) -> Path:
    """Writes `count` ponds as images/NN.jpg and masks/NN.png."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image, mask = draw_pond(number)
        Image.fromarray(image).save(folder / "images" / f"{number:02d}.jpg", quality=95)
        Image.fromarray(mask).save(folder / "masks" / f"{number:02d}.png")
    return folder


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings in this process leave out the twelve curves, which take longer than two epochs on data this small."""
    monkeypatch.setattr("flood_seg.verbs.train_run.plot_history", lambda rows, folder: [])


@pytest.fixture
def ponds(tmp_path: Path) -> Path:
    """A data set of ten ponds."""
    return write_ponds(tmp_path / "ponds", 10)


@pytest.fixture(scope="session")
def shared_ponds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of twelve, not to be changed."""
    return write_ponds(tmp_path_factory.mktemp("shared") / "ponds", 12)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with its tables, whose making takes seconds; to be copied."""
    from flood_seg.tracking.mlflow import prepare

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(file.parent)
        prepare(f"sqlite:///{file}", "another")
    return file


def make_spec(height: int = 64, width: int = 64, **changes: object) -> ModelSpec:
    """The spec of a binary RGB model with ImageNet's mean and std."""
    values: dict[str, object] = {
        "task": "binary",
        "class_names": ("background", "water"),
        "label_values": (0, 255),
        "bands": ("red", "green", "blue"),
        "height": height,
        "width": width,
        "value_scale": 255.0,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "provenance": {"architecture": "Unet", "encoder": "mobilenet_v2"},
    }
    return ModelSpec(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def spec() -> ModelSpec:
    """See `make_spec`."""
    return make_spec()
