from dataclasses import dataclass

import numpy as np
import pytest

from flood_seg.errors import ImageError, OutOfMemoryError, OutputError
from flood_seg.inference.predictor import Predictor
from flood_seg.inference.stages import Item, Stages
from tests.inference.conftest import red_spec


class Red:
    """The model of `write_model`, without a file."""

    concurrency = 1

    def __init__(self) -> None:
        self.spec, self.sizes = red_spec(8, 8), []

    def run(self, batch: np.ndarray) -> np.ndarray:
        self.sizes.append(len(batch))
        return batch[:, :1] * 25.5 - 12.75


@dataclass
class Grey(Item):
    value: int
    share: float | None = None


class Stage(Stages[Grey]):
    def __init__(self, *backends: Red, fault: Exception | None = None) -> None:
        super().__init__(*(Predictor(backend) for backend in backends))
        self._fault = fault

    def decode(self, item: Grey) -> np.ndarray:
        item.name = f"image {item.value}"
        return np.full((6, 9, 3), item.value, np.uint8)

    def conclude(self, item: Grey) -> None:
        if self._fault and item.value == 200:
            raise self._fault
        item.share = float(item.predictions[-1].mask.mean())


def test_items_come_in_order_in_batches_and_drop_their_arrays():
    backend = Red()
    done = list(Stage(backend).each(map(Grey, (200, 100, 0, 201, 99)), batch_size=2))
    assert [item.share for item in done] == [1, 0, None, 1, 0] and sorted(backend.sizes) == [1, 1, 2]
    assert str(done[2].error).startswith("image 0: the image is blank") and done[2].finish_seconds is None
    assert all(item.image is None and not (item.inputs or item.logits or item.predictions) for item in done)
    assert all(item.size == (6, 9) and len(item.run_seconds) == 1 for item in done if item.error is None)


def test_each_of_several_predictors_gets_every_item():
    backends = Red(), Red()
    done = Stage(*backends).one(Grey(200))
    assert backends[0].sizes == backends[1].sizes == [1] and len(done.run_seconds) == 2 and done.share == 1


@pytest.mark.parametrize("fault", [OutputError("a.png: cannot be written"), MemoryError()])
def test_errors_that_are_not_carried_end_the_work(fault):
    kind = OutOfMemoryError if isinstance(fault, MemoryError) else OutputError
    text = "not enough memory for image 200" if kind is OutOfMemoryError else "^a.png: cannot be written$"
    results = Stage(Red(), fault=fault).each(map(Grey, (100, 200, 100)))
    assert next(results).share == 0
    with pytest.raises(kind, match=text):
        next(results)


def test_errors_that_are_carried_end_their_item_alone():
    done = list(Stage(Red(), fault=ImageError("cannot be read")).each(map(Grey, (100, 200, 100))))
    assert [str(item.error or "") for item in done] == ["", "image 200: cannot be read", ""]
