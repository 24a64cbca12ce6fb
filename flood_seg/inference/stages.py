"""Runs the stages of inference concurrently, in as many threads as suit the machine and the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flood_seg.pipeline import pipeline
from flood_seg.resources import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Read = TypeVar("Read")
Ran = TypeVar("Ran")
Finished = TypeVar("Finished")


def run_stages(
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
