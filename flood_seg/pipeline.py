"""Overlaps the stages of work on many items: while one is computed, the next is read and the last is written."""

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
        items: what the first stage takes.
        stages: functions and how many threads run each; a stage takes what the one before returned.
        ahead: how many items may be under way, and so in memory, beside the one that is yielded.

    Raises:
        Exception: what a stage raised, at its item's turn; items under way are finished, the others never begun.
    """
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(threads)) for _, threads in stages]
        under_way: deque[Future[Any]] = deque()
        try:
            for item in items:
                future: Future[Any] = Future()
                future.set_result(item)
                for (function, _), pool in zip(stages, pools, strict=True):
                    # Waits in the stage's own thread: stages are entered in order, so that none waits for a later one.
                    future = pool.submit(_after, function, future)
                under_way.append(future)
                if len(under_way) > ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)


def _after(function: Callable[[Any], Any], earlier: Future[Any]) -> Any:
    return function(earlier.result())
