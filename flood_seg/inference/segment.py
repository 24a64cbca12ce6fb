"""From image files to mask files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flood_seg.errors import ImageError, LogitsError, OutOfMemoryError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.read import read_bands
from flood_seg.imaging.write import write_image
from flood_seg.inference.rendering import Renderer
from flood_seg.inference.stages import Item, Stages

if TYPE_CHECKING:
    import numpy as np

    from flood_seg.config.schema import OutputConfig
    from flood_seg.inference.files import Job
    from flood_seg.inference.predictor import Predictor


@dataclass
class ImageState(Item):
    """An image on its way to its files.

    Attributes:
        job: its files.
        shares: the share of the pixels of each class but the background, in [0, 1].
        nodata_share: the share of the pixels without data, in [0, 1].
        overlaid: whether an overlay is written.
    """

    job: Job
    shares: dict[str, float] = field(default_factory=dict)
    nodata_share: float = 0.0
    overlaid: bool = False

    def __post_init__(self) -> None:
        self.name = str(self.job.image)


class Segmenter(Stages[ImageState]):
    """Reads image files and writes their masks, for one model and one kind of output."""

    carried = (ImageError, OutOfMemoryError, LogitsError)
    advice = "close other programs, or cut it into tiles with flood-seg data tile"

    def __init__(self, predictor: Predictor, output: OutputConfig, overlay: bool) -> None:
        super().__init__(predictor)
        self._spec, self.keeps_image = predictor.spec, overlay
        self._bands, self._renderer = BandSelection.of(predictor.spec), Renderer(predictor.spec, output)

    def decode(self, item: ImageState) -> np.ndarray:
        """Reads the file."""
        raster = read_bands(item.job.image, self._bands)
        item.valid = raster.valid
        return raster.values

    def conclude(self, item: ImageState) -> None:
        """Writes the mask, and the overlay and the probabilities where they are wanted."""
        job, (prediction,) = item.job, item.predictions
        self._renderer.write_mask(job.mask, prediction, job.image)
        if item.image is not None:
            write_image(job.overlay, self._renderer.overlay(item.image, prediction.mask))
            item.overlaid = True
        if job.probability is not None:
            self._renderer.write_probability(job.probability, prediction, job.image)
        item.shares, item.nodata_share = prediction.shares(self._spec.class_names), prediction.nodata_share
