"""Builds a TensorRT plan by the `tensorrt` package, in this process."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flood_seg.errors import BackendError
from flood_seg.export.trtexec import Built, unsupported
from flood_seg.inference.backends.tensorrt import gpu

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flood_seg.config.schema import TensorRtExport
    from flood_seg.export.trtexec import Shapes

FLAGS = {"float16": "FP16", "bfloat16": "BF16"}


def is_available() -> bool:
    """Whether the package can be imported, its libraries too, and CUDA finds a GPU."""
    try:
        import tensorrt  # noqa: F401
    except Exception:  # a library that is missing or of another version is an ImportError, an OSError, a RuntimeError
        return False
    return gpu(0) is not None


def build(graph: Path, source: Path, plan: Path, shapes: Shapes, options: TensorRtExport, quantized: bool) -> Built:
    """Writes the plan of an ONNX file; `source` is the one that the user gave, for messages.

    Where the graph is `quantized`, by QuantizeLinear nodes, TensorRT 10 requires a flag.

    Raises:
        ModelError: TensorRT cannot parse the graph, for example an operator that it does not support.
        BackendError: it built nothing, or not within the time limit.
    """
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.ERROR)  # writes to stderr
    builder = tensorrt.Builder(logger)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, logger)  # the network's weights are its own: it must outlive the build
    _parse(parser, graph, source)
    settings = builder.create_builder_config()
    settings.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    for flag in _flags(tensorrt, options.precision, quantized):
        settings.set_flag(flag)
    profile = builder.create_optimization_profile()
    profile.set_shape(shapes.name, shapes.min, shapes.opt, shapes.max)
    settings.add_optimization_profile(profile)
    settings.progress_monitor = deadline = _deadline(tensorrt, options.timeout)
    with _ctrl_c_ends(deadline):
        serialized = builder.build_serialized_network(network, settings)
    if deadline.interrupted:
        raise KeyboardInterrupt
    if serialized is None and deadline.passed:
        raise BackendError(
            f"{source}: no plan within {options.timeout} s, so the build was stopped; export.timeout=... waits longer"
        )
    if serialized is None:
        raise BackendError(f"{source}: TensorRT built no plan; its messages above say why")
    plan.write_bytes(bytes(serialized))
    return Built(tensorrt.__version__, *(gpu(0) or ("", "")))


def _parse(parser: Any, graph: Path, source: Path) -> None:
    if parser.parse(graph.read_bytes()):
        return
    errors = [parser.get_error(number) for number in range(parser.num_errors)]
    reason = "; ".join(" ".join(str(error.desc()).split()) for error in errors)
    raise unsupported(source, [error.node_operator() for error in errors], reason)


def _flags(tensorrt: Any, precision: str, quantized: bool) -> list[Any]:
    """Returns the flags of the precision for TensorRT 10; 11 has none, the graph's types decide."""
    names = [FLAGS.get(precision), "INT8" if quantized else None]
    found = [getattr(tensorrt.BuilderFlag, name, None) for name in names if name]
    return [flag for flag in found if flag is not None]  # not by truth value: FP16 is number 0


def _deadline(tensorrt: Any, seconds: int) -> Any:
    """Returns the monitor that TensorRT asks after each step whether to continue: not after the limit or Ctrl-C."""

    class Deadline(tensorrt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            tensorrt.IProgressMonitor.__init__(self)
            self.end, self.passed, self.interrupted = time.monotonic() + seconds, False, False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            pass

        def phase_finish(self, phase_name: str) -> None:
            pass

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.passed = self.passed or time.monotonic() > self.end
            return not (self.passed or self.interrupted)

    return Deadline()


@contextmanager
def _ctrl_c_ends(deadline: Any) -> Iterator[None]:
    """Notes Ctrl-C for the next step: an exception must not pass through TensorRT, which calls the monitor."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: setattr(deadline, "interrupted", True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
