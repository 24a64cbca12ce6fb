"""Draws tiles: PNG in the colours of map.html, transparent where there is no data."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from flood_seg.errors import ImageError
from flood_seg.products.layers import NODATA
from flood_seg.products.page.pictures import class_palette, paletted, probability_palette, to_percent
from flood_seg.service.tiles.rasters import PICTURES, PROBABILITY, JobRasters, damaged
from flood_seg.service.tiles.readers import Pyramid, Readers, Tile

if TYPE_CHECKING:
    from pathlib import Path

COMPRESS_LEVEL = 1  # of PNG: a fifth of the time of the default, for files a fifth larger
VERSION = 1  # of the drawing, part of the ETags
MEDIA_TYPE = "image/png"


@dataclass(frozen=True)
class Style:
    """How a layer is drawn.

    Attributes:
        threshold: where the probability is above it, the colour of the class is drawn; None: a ramp of colours.
        band: of probability.tif, from 1; None: the largest probability of a pixel.
    """

    threshold: float | None = None
    band: int | None = None


def draw_tile(rasters: JobRasters, layer: str, pyramid: Pyramid, tile: Tile, style: Style, readers: Readers) -> bytes:
    """Returns a tile as PNG.

    Args:
        rasters: of the job.
        layer: that the job has, of the scene its finished picture.
        pyramid: of the scene.
        tile: that the scene has; see `Pyramid.has`.
        style: of the probability.
        readers: that the thread reads with.

    Raises:
        Problem: 404, the file of the layer is damaged, or was removed meanwhile.
    """
    path = rasters.path(layer)
    try:
        if layer in PICTURES:
            return _picture(readers.read(path, pyramid, tile, "bilinear"))
        if layer != PROBABILITY:
            values = readers.read(path, pyramid, tile, "nearest")[0]
            return _classes(values.filled(NODATA), class_palette(rasters.legend(layer)))
        # The pixels that a threshold is compared with are those of the file, as in the result.
        found = readers.read(path, pyramid, tile, "bilinear" if style.threshold is None else "nearest")
        layer_values = found.max(axis=0) if style.band is None else found[style.band - 1]
        scale = rasters.probability_scale
        if style.threshold is None:
            return _classes(to_percent(layer_values, scale), probability_palette())
        band = style.band or 1
        palette = np.zeros((256, 4), np.uint8)
        palette[1] = (*rasters.color(band), 255)
        return _classes(np.uint8(1) * above(layer_values, scale, style.threshold), palette)
    except (ImageError, OSError) as error:
        raise damaged(layer) from error


def above(values: np.ma.MaskedArray, scale: float, threshold: float) -> np.ndarray:
    """Returns where stored probabilities are above a threshold, bool [h, w]; nowhere where there is no data."""
    if values.dtype.kind == "f":
        return np.asarray((values > threshold).filled(False))
    return np.asarray((values > round(threshold / scale, 6)).filled(False))  # 0.4 is step 80, not 79.99…


def etag(path: Path, layer: str, plane: str, tile: Tile, style: Style) -> str:
    """Returns what changes with the content of a tile."""
    status = path.stat()
    parts = VERSION, layer, plane, asdict(tile), asdict(style), status.st_mtime_ns, status.st_size, status.st_ino
    return f'"{sha256(repr(parts).encode()).hexdigest()[:32]}"'


@cache
def empty(size: int) -> bytes:
    """Returns a transparent tile."""
    return paletted(np.zeros((size, size), np.uint8), np.zeros((256, 4), np.uint8), 9)


def _classes(values: np.ndarray, palette: np.ndarray) -> bytes:
    if not palette[:, 3][values].any():
        return empty(len(values))
    return paletted(values, palette, COMPRESS_LEVEL)


def _picture(bands: np.ma.MaskedArray) -> bytes:
    """Draws red, green and blue."""
    valid = np.asarray(~np.ma.getmaskarray(bands).any(axis=0))
    if not valid.any():
        return empty(len(valid))
    channels = list(bands.filled(0))
    picture = Image.fromarray(np.dstack(channels if valid.all() else [*channels, np.uint8(255) * valid]))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=COMPRESS_LEVEL)
    return file.getvalue()
