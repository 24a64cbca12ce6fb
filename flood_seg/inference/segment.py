"""From image files to mask files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flood_seg.errors import ImageError, LogitsError, OutOfMemoryError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.preprocess import shrink
from flood_seg.imaging.read import read_bands
from flood_seg.imaging.write import write_image
from flood_seg.inference.predictor import class_shares
from flood_seg.inference.rendering import Renderer
from flood_seg.inference.stages import Item, Stages

if TYPE_CHECKING:
    import numpy as np

    from flood_seg.config.schema import OutputConfig
    from flood_seg.inference.files import Job
    from flood_seg.inference.photo_position import PhotoPosition
    from flood_seg.inference.predictor import Predictor

THUMBNAIL = 256  # pixels of its longer side


@dataclass
class ImageState(Item):
    """An image on its way to its files.

    Attributes:
        job: its files.
        shares: the share of the pixels of each class but the background, in [0, 1].
        nodata_share: the share of the pixels without data, in [0, 1].
        overlaid: whether an overlay is written.
        position: where it was taken; None: unknown, or not asked for.
        small: of an image with a position, its bands at the size of a thumbnail; between read and finish.
        thumbnail: JPEG of an image with a position, its classes tinted; empty: there is none.
    """

    job: Job
    shares: dict[str, float] = field(default_factory=dict)
    nodata_share: float = 0.0
    overlaid: bool = False
    position: PhotoPosition | None = None
    small: np.ndarray | None = None
    thumbnail: bytes = b""

    def __post_init__(self) -> None:
        self.name = str(self.job.image)

    def drop(self) -> None:
        """Drops the arrays."""
        super().drop()
        self.small = None


class Segmenter(Stages[ImageState]):
    """Reads image files and writes their masks, for one model and one kind of output."""

    carried = (ImageError, OutOfMemoryError, LogitsError)
    advice = "close other programs, or cut it into tiles with flood-seg data tile"

    def __init__(self, predictor: Predictor, output: OutputConfig, overlay: bool, locate: bool = False) -> None:
        """Takes the model and the output; `locate`: whether positions of photos are read."""
        super().__init__(predictor)
        self._locate = locate
        self._spec, self.keeps_image = predictor.spec, overlay
        self._bands, self._renderer = BandSelection.of(predictor.spec), Renderer(predictor.spec, output)

    def decode(self, item: ImageState) -> np.ndarray:
        """Reads the file."""
        if self._locate:
            from flood_seg.inference.photo_position import read_position

            item.position = read_position(item.job.image)
        raster = read_bands(item.job.image, self._bands)
        item.valid, item.missing = raster.valid, raster.missing
        if item.position:
            step = max(1, max(raster.values.shape[:2]) // (3 * THUMBNAIL))  # averaging all of 12 megapixels took 25 ms
            item.small = shrink(raster.values[::step, ::step], THUMBNAIL)
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
        self._draw_thumbnail(item, prediction.mask)

    def recall(self, job: Job) -> ImageState:
        """Returns an image whose mask an earlier run wrote, with its shares; of one with a position all that is known.

        The error is the image's where a file cannot be read any more.
        """
        from flood_seg.inference.photo_position import read_position

        item = ImageState(job, position=read_position(job.image))
        with self._guard(item):
            mask = self._renderer.read_mask(job.mask)
            item.shares = class_shares(mask, self._spec.class_names)
            if item.position:
                self._read(item)
                self._draw_thumbnail(item, mask)
        item.drop()
        return item

    def _draw_thumbnail(self, item: ImageState, mask: np.ndarray) -> None:
        if item.small is not None:
            item.thumbnail = self._renderer.thumbnail(item.small, mask)
