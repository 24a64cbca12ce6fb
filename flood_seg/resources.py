"""Processors and memory of this machine, and running out of memory."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import ConfigError, FloodSegError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Threads or processes that may be asked for: no gain in more than some a core, and the machine ends in many thousands.
LEAST_BOUND, A_CORE = 256, 4


def most_workers() -> int:
    """Returns how many threads or processes may be asked for."""
    return max(LEAST_BOUND, A_CORE * (os.cpu_count() or 1))


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# What C++ libraries say, in lower case: OpenCV, ONNX Runtime's arena, OpenVINO, PyTorch on the CPU and on a GPU, GDAL.
# Python's "can't start new thread" is the address space that a thread's stack needs, the loader's "failed to map
# segment" what a library needs.
_PHRASES = (
    "insufficient memory", "failed to allocate", "bad_alloc", "bad allocation", "can't allocate memory",
    "cannot allocate memory", "out of memory", "outofmemory", "unable to allocate", "not enough memory",
    "can't start new thread", "failed to map segment",
)  # fmt: skip

# libtiff's words for a tag that promises more values than the file could hold: a damaged file.
_TIFF_TAG = "out of memory reading of"

# Bytes. Measured on two cores with `ulimit -v`: up to 480 MB OpenBLAS, which NumPy loads, and up to 720 MB threads of
# OpenVINO and ONNX Runtime were segmentation faults and aborts; the bundled model requires 900 MB.
LEAST_ADDRESS_SPACE = 768 << 20


def check_address_space() -> None:
    """Raises OutOfMemoryError where `ulimit -v` leaves too little for the libraries to be loaded."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        raise OutOfMemoryError(
            f"not enough memory: ulimit -v is {limit >> 10}, at least {LEAST_ADDRESS_SPACE >> 10} is required; raise it"
        )


# Bytes of a network's activations for each byte of its input, at least: the small one in the box took 37 (batch 8) to
# 46 (batch 32) in ONNX Runtime on the CPU.
ACTIVATIONS = 32


def machine_memory() -> float:
    """Returns the bytes of memory that this process may use: the machine's, its container's or `ulimit -v`'s."""
    limits = [float("inf")]
    with suppress(ValueError, OSError, AttributeError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):  # `max` where there is none
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8")))
    with suppress(ImportError, OSError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [soft] if soft != resource.RLIM_INFINITY else []
    return min(limits)


def check_batch_memory(key: str, images: int, bands: int, height: int, width: int) -> None:
    """Finds before the work whether a batch cannot fit: the end of memory may be the end of the process.

    Raises:
        ConfigError: it cannot.
    """
    one = bands * height * width * 4 * ACTIVATIONS
    memory = machine_memory()
    if images > 1 and images * one > memory:
        raise ConfigError(
            f"{key}: {images} images of {width}×{height} need {images * one / 1e9:.0f} GB at least, of which there are "
            f"{memory / 1e9:.0f}; set {key}={max(1, int(memory / one / 2))} or less"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library says that memory ended."""
    if isinstance(error, FloodSegError | MemoryError):
        return isinstance(error, OutOfMemoryError | MemoryError)
    if isinstance(error, OSError) and error.errno is not None:  # its text has a file's name
        return error.errno == errno.ENOMEM
    text = str(error).lower().replace(_TIFF_TAG, "")
    return isinstance(error, Exception) and any(phrase in text for phrase in _PHRASES)


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Turns whatever says in the body that memory ended into one line.

    Args:
        what: the memory is for.
        advice: how to need less.

    Raises:
        OutOfMemoryError: there is not enough memory.
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"not enough memory for {what}; {advice}") from error
        raise
