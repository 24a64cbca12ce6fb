"""The command with a standard output or error that is closed, full, without a reader or narrow."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.conftest import red_spec, write_model

COMMAND = [sys.executable, "-m", "flood_seg"]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a folder of two photos."""
    root = tmp_path_factory.mktemp("stdio")
    write_model(root / "red.onnx", red_spec())
    (root / "in").mkdir()
    for name in ("a", "ü→b"):
        Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(root / "in" / f"{name}.png")
    return root


def infer(folder: Path, out: Path, image: str = "in", **options: object) -> subprocess.CompletedProcess:
    words = ["infer", "--onnx", "red.onnx", "--image", image, "--out", str(out), "--json", str(out / "r.json")]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([*COMMAND, *words], cwd=folder, timeout=60, check=False, **given)


def assert_all_is_written(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "r.json", "ü→b.png"]
    assert len(json.loads((out / "r.json").read_text("utf-8"))["images"]) == 2


def closed(*descriptors: int) -> Callable[[], None]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


@pytest.mark.parametrize(
    ("descriptors", "code", "said"),
    [((1,), 2, b"standard output: cannot be written (Bad file descriptor)"), ((2,), 0, b""), ((0, 1, 2), 2, b"")],
)
def test_streams_that_are_closed_stop_nothing_and_no_photo_takes_their_place(folder, tmp_path, descriptors, code, said):
    done = infer(folder, tmp_path, preexec_fn=closed(*descriptors))
    assert done.returncode == code and said in done.stderr and done.stderr.count(b"\n") == bool(said)
    assert_all_is_written(tmp_path)


@needs_full
def test_a_full_standard_output_is_told_when_all_is_done(folder, tmp_path):
    with FULL.open("wb") as full:
        done = infer(folder, tmp_path, stdout=full)
    assert done.returncode == 2 and done.stderr == (
        b"flood-seg: error: standard output: cannot be written (No space left on device); files are written all the "
        b"same\n"
    )
    assert_all_is_written(tmp_path)


@needs_full
def test_an_error_of_the_work_itself_goes_before_that_of_the_output(folder, tmp_path):
    with FULL.open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "infer", "--image", "missing.jpg"], cwd=folder, stdout=full, stderr=full, check=False
        )
    assert done.returncode == 2


def test_a_reader_that_has_gone_ends_quietly_when_all_is_done(folder, tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = infer(folder, tmp_path, stdout=write)
    os.close(write)
    assert done.returncode == 141 and not done.stderr
    assert_all_is_written(tmp_path)


def test_a_reader_that_has_gone_is_no_traceback_of_what_only_prints():
    read, write = os.pipe()
    os.close(read)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    for word in ("--help", "--version"):
        done = subprocess.run(
            [*COMMAND, word], stdout=write, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
        assert done.returncode == 141 and not done.stderr
    os.close(write)


def test_letters_that_the_encoding_lacks_are_escaped(folder, tmp_path):
    out = tmp_path / "m.png"
    words = ["infer", "--onnx", "red.onnx", "--image", "in/ü→b.png", "--out", str(out)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, check=False, env=environment)
    assert done.returncode == 0 and b"64\\xd764, 100.0% water" in done.stdout and not done.stderr
    done = subprocess.run(
        [*COMMAND, *words[:4], "in/→.png"], cwd=folder, capture_output=True, check=False, env=environment
    )
    assert done.returncode == 2 and b"in/\\u2192.png: no such file" in done.stderr
