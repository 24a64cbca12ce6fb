"""What libraries raised where memory ended, word for word, under `ulimit -v`."""

import errno
import resource
import subprocess
import sys

import cv2
import numpy as np
import pytest

from flood_seg.errors import ImageError, OutOfMemoryError
from flood_seg.memory import enough_memory, is_out_of_memory


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
