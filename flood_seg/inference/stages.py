"""The stages of inference, read, run and finish: while one batch is run, others are read and finished."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np

from flood_seg.errors import ImageError, LogitsError
from flood_seg.pipeline import pipeline
from flood_seg.resources import cores, enough_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from flood_seg.errors import FloodSegError
    from flood_seg.inference.predictor import Prediction, Predictor


@dataclass(kw_only=True)
class Item:
    """An image, or a part of one, on its way through the stages.

    Attributes:
        name: that errors begin with; empty: they do not.
        image: any dtype [H, W, bands] with raw values; between read and finish, where it is needed.
        valid: bool [H, W], where the image has data; None: everywhere.
        missing: the share of the pixels with data that a band is missing in which may be, by its name.
        size: height and width in pixels.
        inputs: of each predictor's network, float32 [bands, height, width]; between read and run. Without any, because
            of an error or since there is nothing to predict, an item is not run.
        logits: of each network, float32 [channels, height, width]; between run and finish.
        predictions: of each predictor, for `conclude`.
        shift: of the values from the training data's, the largest of all predictors; see `measure_shift`.
        read_seconds: the duration of the stage.
        run_seconds: of each predictor, an equal share of its batch's.
        finish_seconds: the duration of the stage; None: it was not passed.
        error: why there is no prediction; later stages skip the item.
    """

    name: str = ""
    image: np.ndarray | None = None
    valid: np.ndarray | None = None
    missing: Mapping[str, float] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    inputs: list[np.ndarray] = field(default_factory=list)
    logits: list[np.ndarray] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    shift: float = 0.0
    read_seconds: float = 0.0
    run_seconds: list[float] = field(default_factory=list)
    finish_seconds: float | None = None
    error: FloodSegError | None = None

    def fail(self, error: FloodSegError) -> None:
        """Notes why there is no prediction, with the name at the beginning, and drops the arrays."""
        text = str(error)
        named = not self.name or text.startswith(f"{self.name}: ")
        self.error = error if named else type(error)(f"{self.name}: {text}")
        self.drop()

    def drop(self) -> None:
        """Drops the arrays: many items may be kept."""
        self.image = self.valid = None
        self.inputs, self.logits, self.predictions = [], [], []


AnyItem = TypeVar("AnyItem", bound=Item)


class Stages(ABC, Generic[AnyItem]):
    """Passes items through one predictor, or through several for comparison.

    A derived class says how an item is decoded and what becomes of its predictions.

    Attributes:
        carried: errors that end their item only, as its `error`; others end the work.
        advice: where there is not enough memory for an image.
        keeps_image: whether `conclude` needs the image.
    """

    carried: ClassVar[tuple[type[FloodSegError], ...]] = (ImageError, LogitsError)
    advice: ClassVar[str] = "close other programs, or cut it into tiles"
    keeps_image = True

    def __init__(self, *predictors: Predictor) -> None:
        """Takes the predictors; each gets its own input of an image."""
        self.predictors = predictors

    @abstractmethod
    def decode(self, item: AnyItem) -> np.ndarray:
        """Returns an item's image, any dtype [H, W, bands] with raw values; sets `valid` and `missing`."""

    @abstractmethod
    def conclude(self, item: AnyItem) -> None:
        """Takes what is needed of an item's `predictions` and `image`, which are dropped then."""

    def each(self, items: Iterable[AnyItem], batch_size: int = 1) -> Iterator[AnyItem]:
        """Yields each item after all stages, in order; takes no more of `items` than are in progress.

        Raises:
            FloodSegError: of another kind than `carried`, at its item's turn.
        """
        threads = max(1, min(4, cores() // 2))
        concurrency = min(predictor.backend.concurrency for predictor in self.predictors)
        stages = ((self.read, threads), (self.run, concurrency), (self.finish, threads))
        for batch in pipeline(_batches(items, batch_size), stages, ahead=2 * threads + concurrency):
            yield from batch

    def one(self, item: AnyItem) -> AnyItem:
        """Returns the item after all stages, in this thread; raises as `each`."""
        (item,) = self.finish(self.run(self.read([item])))
        return item

    def read(self, items: list[AnyItem]) -> list[AnyItem]:
        """Decodes and preprocesses each item."""
        for item in items:
            with self._guard(item):
                self._read(item)
        return items

    def _read(self, item: AnyItem) -> None:
        started = time.perf_counter()
        image = self.decode(item)
        item.size = image.shape[:2]
        self.prepare(item, image)
        item.image = image if self.keeps_image else None
        item.read_seconds = time.perf_counter() - started

    def prepare(self, item: AnyItem, image: np.ndarray) -> None:
        """Makes the inputs of a decoded item."""
        for predictor in self.predictors:
            tensor, shift = predictor.prepare(image, item.valid, item.missing)
            item.inputs.append(tensor)
            item.shift = max(item.shift, shift)

    def run(self, items: list[AnyItem]) -> list[AnyItem]:
        """Runs each model on the items that have inputs, in one batch."""
        good = [item for item in items if item.inputs]
        try:
            for predictor in self.predictors if good else ():
                started = time.perf_counter()
                batch = np.stack([item.inputs.pop(0) for item in good])
                outputs = predictor.run(batch)
                seconds = (time.perf_counter() - started) / len(good)
                for item, logits in zip(good, outputs, strict=True):
                    item.logits.append(logits)
                    item.run_seconds.append(seconds)
        except self.carried as error:  # memory, maybe only beside the other batches under way: the next may fit
            for item in good:
                item.fail(error)
        return items

    def finish(self, items: list[AnyItem]) -> list[AnyItem]:
        """Postprocesses and concludes each item that was run."""
        for item in items:
            if not item.logits:
                continue
            started = time.perf_counter()
            with self._guard(item):
                pairs = zip(self.predictors, item.logits, strict=True)
                item.predictions = [predictor.finish(logits, *item.size, item.valid) for predictor, logits in pairs]
                self.conclude(item)
                item.drop()
                item.finish_seconds = time.perf_counter() - started
        return items

    @contextmanager
    def _guard(self, item: AnyItem) -> Iterator[None]:
        try:
            with enough_memory(item.name or "the image", self.advice):
                yield
        except self.carried as error:
            item.fail(error)


def _batches(items: Iterable[AnyItem], size: int) -> Iterator[list[AnyItem]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
