"""Keeps the small pictures of the best and the worst photos while they come, and of no other."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flood_seg.evaluation.measure import ImageResult


@dataclass
class Gallery:
    """The best and the worst of a stream of photos.

    Attributes:
        count: of each.
        best: the best first.
        worst: the worst first.
    """

    count: int
    best: list[ImageResult] = field(default_factory=list)
    worst: list[ImageResult] = field(default_factory=list)
    _ranks: dict[str, float] = field(default_factory=dict)

    def add(self, result: ImageResult, iou: float) -> None:
        """Takes a photo in, and drops the pictures of those that are pushed out."""
        self._ranks[result.stem] = iou
        insort(self.best, result, key=lambda kept: -self._ranks[kept.stem])
        insort(self.worst, result, key=lambda kept: self._ranks[kept.stem])
        out = [*self.best[self.count :], *self.worst[self.count :]]
        del self.best[self.count :], self.worst[self.count :]
        shown = {id(kept) for kept in (*self.best, *self.worst)}
        for pushed in out:
            if id(pushed) not in shown:
                pushed.looks = None
