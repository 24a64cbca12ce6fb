"""Out of memory, by whatever name a library raises it, as one error of ours."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flood_seg.errors import FloodSegError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What C++ libraries say, in lower case: OpenCV, ONNX Runtime's arena, OpenVINO, PyTorch on the CPU and on a GPU, GDAL.
# Python's "can't start new thread" is the address space that a thread's stack needs, the loader's "failed to map
# segment" what a library needs.
_PHRASES = (
    "insufficient memory", "failed to allocate", "bad_alloc", "bad allocation", "can't allocate memory",
    "cannot allocate memory", "out of memory", "outofmemory", "unable to allocate", "not enough memory",
    "can't start new thread", "failed to map segment",
)  # fmt: skip

# Bytes. Measured on two cores with `ulimit -v`: up to 480 MB OpenBLAS, which NumPy loads, and up to 720 MB threads of
# OpenVINO and ONNX Runtime were segmentation faults and aborts; the model in the box wants 900 MB.
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library says that memory ended."""
    if isinstance(error, FloodSegError | MemoryError):
        return isinstance(error, OutOfMemoryError | MemoryError)
    if isinstance(error, OSError) and error.errno is not None:  # its text has a file's name
        return error.errno == errno.ENOMEM
    text = str(error).lower()
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
