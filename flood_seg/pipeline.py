"""Runs the stages of many items concurrently: while one is computed, the next is read and the previous one written."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from flood_seg.resources import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Item = TypeVar("Item")
Read = TypeVar("Read")
Ran = TypeVar("Ran")
Finished = TypeVar("Finished")


def pipeline(items: Iterable[Any], stages: Sequence[tuple[Callable[[Any], Any], int]], ahead: int = 4) -> Iterator[Any]:
    """Passes each item through all stages and yields what the last one returns, in order.

    Args:
        items: inputs of the first stage.
        stages: functions and the number of threads of each; a stage takes the result of the one before.
        ahead: how many items may be in progress, and so in memory, beside the one that is yielded.

    Raises:
        Exception: of a stage, at its item's turn; items in progress are finished, the others never started.
    """
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(threads)) for _, threads in stages]
        in_progress: deque[Future[Any]] = deque()
        try:
            for item in items:
                future: Future[Any] = Future()
                future.set_result(item)
                for (function, _), pool in zip(stages, pools, strict=True):
                    # Waits in the stage's own thread; items enter each stage in order, so none waits for a later one.
                    future = pool.submit(_after, function, future)
                in_progress.append(future)
                if len(in_progress) > ahead:
                    yield in_progress.popleft().result()
            while in_progress:
                yield in_progress.popleft().result()
        finally:
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)


def inference_pipeline(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    run: Callable[[Read], Ran],
    finish: Callable[[Ran], Finished],
    concurrency: int,
) -> Iterator[Finished]:
    """Passes each item through the stages of inference, as `pipeline`.

    Args:
        items: inputs of `read`.
        read: decodes and preprocesses, in as many threads as suit the machine.
        run: runs the model.
        finish: postprocesses, in as many threads as `read`.
        concurrency: how many threads may call `run` at once.
    """
    threads = max(1, min(4, cores() // 2))
    yield from pipeline(
        items, ((read, threads), (run, concurrency), (finish, threads)), ahead=2 * threads + concurrency
    )


def _after(function: Callable[[Any], Any], earlier: Future[Any]) -> Any:
    return function(earlier.result())
