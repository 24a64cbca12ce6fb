"""Processors and memory of this machine, and running out of memory."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.errors import ConfigError, FloodSegError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

LESS_MEMORY = "set a smaller batch or image size, or fewer workers and threads, or close other programs"

# The limit of threads or processes that a user may set: many thousands bring the machine down.
MIN_WORKER_LIMIT, WORKERS_PER_CORE = 256, 4


def max_workers() -> int:
    """Returns the largest number of threads or processes that a user may set."""
    return max(MIN_WORKER_LIMIT, WORKERS_PER_CORE * (os.cpu_count() or 1))


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# What C++ libraries say, in lower case: OpenCV, ONNX Runtime's arena, OpenVINO, PyTorch on the CPU and on a GPU, GDAL.
# Python's "can't start new thread" means that a thread's stack finds no address space, the loader's "failed to map
# segment" that a library finds none.
_PHRASES = (
    "insufficient memory", "failed to allocate", "bad_alloc", "bad allocation", "can't allocate memory",
    "cannot allocate memory", "out of memory", "outofmemory", "unable to allocate", "not enough memory",
    "can't start new thread", "failed to map segment",
)  # fmt: skip

# libtiff's words for a tag that promises more values than the file could hold: a damaged file.
_TIFF_TAG = "out of memory reading of"

# Measured on two cores with `ulimit -v`: up to 480 MB OpenBLAS, which NumPy loads, and up to 720 MB threads of OpenVINO
# and ONNX Runtime ended in segmentation faults and aborts; the bundled model requires 900 MB.
MIN_ADDRESS_SPACE_BYTES = 768 << 20


def check_address_space() -> None:
    """Raises OutOfMemoryError where `ulimit -v` leaves too little for the libraries to be loaded."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < MIN_ADDRESS_SPACE_BYTES:
        required = MIN_ADDRESS_SPACE_BYTES >> 10
        raise OutOfMemoryError(
            f"not enough memory: ulimit -v is {limit >> 10}, at least {required} is required; raise it"
        )


# A lower bound for networks: the small bundled model needs 37 (batch 8) to 46 (batch 32) in ONNX Runtime on the CPU.
ACTIVATION_BYTES_PER_INPUT_BYTE = 32


def machine_memory() -> float:
    """Returns the bytes of memory that this process may use: the machine's, its container's or `ulimit -v`'s."""
    import psutil

    limits = [float(psutil.virtual_memory().total)]
    with suppress(ValueError, OSError):  # `max` where there is none
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8")))
    with suppress(ImportError, OSError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [soft] if soft != resource.RLIM_INFINITY else []
    return min(limits)


def peak_memory(process: int | None = None) -> float:
    """Returns the peak memory of a running process in bytes; on Linux from /proc: ru_maxrss starts with the parent's.

    Args:
        process: its id, which only Linux takes; None: this process. One that has ended has 0.
    """
    import resource

    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text(encoding="utf-8").splitlines()
        return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    except (OSError, StopIteration):
        if process:
            return 0.0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)


def check_batch_memory(key: str, images: int, bands: int, height: int, width: int) -> None:
    """Checks before the work that a batch can fit: running out of memory may end the process.

    Raises:
        ConfigError: it cannot.
    """
    one = bands * height * width * 4 * ACTIVATION_BYTES_PER_INPUT_BYTE
    memory = machine_memory()
    if images > 1 and images * one > memory:
        raise ConfigError(
            f"{key}: {images} images of {width}×{height} need {images * one / 1e9:.0f} GB at least, of which there are "
            f"{memory / 1e9:.0f}; set {key}={max(1, int(memory / one / 2))} or less"
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library means that the process ran out of memory."""
    if isinstance(error, FloodSegError | MemoryError):
        return isinstance(error, OutOfMemoryError | MemoryError)
    if isinstance(error, OSError) and error.errno is not None:  # its text has a file's name
        return error.errno == errno.ENOMEM
    text = str(error).lower().replace(_TIFF_TAG, "")
    return isinstance(error, Exception) and any(phrase in text for phrase in _PHRASES)


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Turns every out-of-memory exception of the body into one of ours.

    Args:
        what: what requires the memory.
        advice: how to reduce it.

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


def release_freed_memory() -> None:
    """Returns memory that was freed to the system; glibc's allocator keeps much of what many threads have used."""
    import ctypes

    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
