"""Images that a program or a caller of the service gives, through the stages of inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from flood_seg.imaging.bands import BandSelection
from flood_seg.inference.inputs import read_input
from flood_seg.inference.stages import Item, Stages

if TYPE_CHECKING:
    import numpy as np

    from flood_seg.imaging.source import ImageSource
    from flood_seg.inference.predictor import Predictor


@dataclass
class GivenImage(Item):
    """An image that was given; its name is that of `read_input`.

    Attributes:
        given: what `read_input` takes.
        source: its file or bytes, which may say where it lies; None: it was given as pixels, or is not read yet.
    """

    given: Any
    source: ImageSource | None = None


AnyGiven = TypeVar("AnyGiven", bound=GivenImage)


class GivenStages(Stages[AnyGiven]):
    """Reads given images for one model; a derived class concludes them."""

    def __init__(self, predictor: Predictor) -> None:
        """Takes the model."""
        super().__init__(predictor)
        self.spec = predictor.spec
        self._bands = BandSelection.of(predictor.spec)

    def decode(self, item: AnyGiven) -> np.ndarray:
        """Reads the image."""
        item.name, raster, item.source = read_input(item.given, self._bands)
        item.valid, item.missing = raster.valid, raster.missing
        return raster.values
