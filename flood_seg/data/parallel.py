"""Processes pairs in threads, with a progress bar, and reports the pairs that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flood_seg.console import track
from flood_seg.errors import ImageError, LogitsError
from flood_seg.pipeline import pipeline
from flood_seg.resources import cores
from flood_seg.skipped import CHECK, LeftOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flood_seg.data.pairing import Pair

S = TypeVar("S")
T = TypeVar("T")


def parallel_map(work: Callable[[S], T], items: Sequence[S], label: str, threads: int = 4) -> Iterator[T]:
    """Yields `work` of each item, in their order, with a progress bar.

    OpenCV, Pillow and GDAL release the interpreter's lock while they decode.

    Args:
        work: is called in threads.
        items: its arguments.
        label: of the progress bar.
        threads: maximum number, further limited by the number of cores. At most twice as many results are held in
            memory, however slow the consumer is.
    """
    threads = min(threads, cores())
    return track(pipeline(items, [(work, threads)], ahead=2 * threads), label, len(items))


def read_pairs(
    pairs: Sequence[Pair], work: Callable[[Pair], T], label: str, *, threads: int = 4, listing: str = CHECK
) -> Iterator[tuple[Pair, T]]:
    """Yields each pair with what `work` returns of it, in their order; warns of those that it cannot use.

    Args:
        pairs: that are read.
        work: reads a pair, in threads; raises ImageError or LogitsError where the pair is to be left out.
        label: of the progress bar.
        threads: as of `parallel_map`.
        listing: text on where all skipped pairs are listed.
    """

    def attempt(pair: Pair) -> T | ImageError | LogitsError:
        try:
            return work(pair)
        except (ImageError, LogitsError) as error:
            return error

    with LeftOut(listing) as left_out:
        for pair, result in zip(pairs, parallel_map(attempt, pairs, label, threads), strict=True):
            if isinstance(result, ImageError | LogitsError):
                left_out.add(pair.stem, str(result))
            else:
                yield pair, result
