"""What libraries raised where memory ended, word for word, under `ulimit -v`."""

import errno
import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from flood_seg import resources as memory
from flood_seg.cli import main as cli
from flood_seg.errors import ConfigError, ImageError, OutOfMemoryError
from flood_seg.resources import check_batch_memory, enough_memory, is_out_of_memory
from tests.inference.conftest import red_spec, write_model


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("Exception from src/inference/src/cpp/core.cpp:113:\nstd::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("/lib/cv2.abi3.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory"),
        Exception("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer of size 134217728"),
        Exception("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"),
    ],
)
def test_each_librarys_word_for_it_is_one_line(error):
    with pytest.raises(OutOfMemoryError, match="^not enough memory for x; do y$"), enough_memory("x", "do y"):
        raise error


def test_numpy_and_opencv_raise_what_is_known():
    with pytest.raises(OutOfMemoryError), enough_memory("x", "y"):
        np.empty((1 << 25, 1 << 25))
    with pytest.raises(OutOfMemoryError), enough_memory("x", "y"):
        cv2.resize(np.zeros((8, 8, 4)), (1 << 24, 1 << 25))


@pytest.mark.parametrize(
    "error",
    [
        ImageError("out of memory.png: not an image"),
        FileNotFoundError(2, "No such file", "out of memory"),
        ValueError("x"),
        RuntimeError('a.tif: TIFFReadDirectory:Out of memory reading of "Compression"'),  # a damaged tag
    ],
)
def test_other_errors_are_left_as_they_are(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)), enough_memory("x", "y"):
        raise error


@pytest.mark.parametrize("kilobytes", [100_000, 400_000, 700_000])
def test_an_address_space_that_no_library_fits_into_is_one_line(kilobytes, tmp_path):
    """Without the check OpenBLAS ends the process by a segmentation fault."""
    code = [sys.executable, "-m", "flood_seg", "infer", "--image", "missing.jpg"]
    limit = kilobytes << 10
    done = subprocess.run(
        code, capture_output=True, text=True, check=False, cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"flood-seg: error: not enough memory: ulimit -v is {kilobytes}, at least 786432")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["infer", "--image", "a.png", "backend.threads=100000"], "backend.threads=100000: at most "),
        (
            ["infer", "--image", "a.png", "backend=openvino", "backend.streams=100000"],
            "backend.streams=100000: at most ",
        ),
        (["infer", "--image", "a.png", "warmup=1000000000"], "warmup=1000000000: must be at least 0 and at most 1000"),
        (["data", "stats", "datamodule.num_workers=100000"], "datamodule.num_workers=100000: at most "),
        (["data", "tile", "tile.workers=100000"], "tile.workers=100000: at most "),
        (["train", "trainer.devices=100000", "trainer.accelerator=cpu"], "trainer.devices=100000: at most "),
    ],
)
def test_numbers_that_no_machine_has_are_refused_before_the_work(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("a.png")
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"flood-seg: error: {message}")


def test_a_batch_that_cannot_fit_is_refused_with_one_that_does(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 8e9)
    with pytest.raises(
        ConfigError, match="batch_size: 1000 images of 512×512 need 101 GB at least, .* set batch_size=39 or"
    ):
        check_batch_memory("batch_size", 1000, 3, 512, 512)
    check_batch_memory("batch_size", 39, 3, 512, 512)
    check_batch_memory("batch_size", 1, 3, 100_000, 100_000)  # of one there is no smaller batch


def test_a_huge_batch_size_is_no_more_than_the_photos_that_there_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "red.onnx", red_spec())
    (tmp_path / "in").mkdir()
    for number in range(3):
        Image.effect_noise((64, 64), 50).convert("RGB").save(f"in/{number}.png")
    cli.main(["infer", "--onnx", "red.onnx", "--image", "in", "batch_size=1000000000"])
    assert "3 masks" in capsys.readouterr().out
    monkeypatch.setattr(memory, "machine_memory", lambda: 1e6)
    with pytest.raises(SystemExit):
        cli.main(["infer", "--onnx", "red.onnx", "--image", "in", "batch_size=1000000000", "--out", "again"])
    assert "batch_size: 3 images of 64×64 need" in capsys.readouterr().err and not (tmp_path / "again").exists()
