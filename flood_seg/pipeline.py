"""Runs the stages of many items concurrently: while one is computed, the next is read and the previous one written."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


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


def _after(function: Callable[[Any], Any], earlier: Future[Any]) -> Any:
    return function(earlier.result())
