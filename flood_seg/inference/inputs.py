"""Images as the Python API takes them: a path, encoded bytes, a PIL image or a NumPy array."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.optional import fill_missing
from flood_seg.imaging.raster import Raster, clean
from flood_seg.imaging.read import read_bands
from flood_seg.imaging.source import ImageSource, is_raster

if TYPE_CHECKING:
    from PIL.Image import Image

ARRAY_TYPES = ("uint8", "uint16", "int16", "float32", "float64")


class NamedRaster(NamedTuple):
    """An image that was read.

    Attributes:
        name: of the image in messages.
        raster: its bands.
        source: its file or bytes, which may say where it lies; None: it was given as pixels.
    """

    name: str
    raster: Raster
    source: ImageSource | None = None


def is_single(given: Any) -> bool:
    """Whether it is one image, not an iterable of several."""
    known = isinstance(given, str | os.PathLike | bytes | bytearray | memoryview | np.ndarray) or _is_pil(given)
    return known or not hasattr(given, "__iter__")


def read_input(given: Any, bands: BandSelection) -> NamedRaster:
    """Reads one image.

    Args:
        given: a path, encoded bytes, maybe with a name as an `ImageSource`, a PIL image, or an array [H, W, bands] of
            raw values with the bands in the order of `bands`.
        bands: of the model.

    Raises:
        ImageError: it cannot be read, or does not have the bands.
    """
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.is_dir():
            raise ImageError(f"{path}: is a folder; give its images, as in sorted(Path({str(path)!r}).glob('*.jpg'))")
        return NamedRaster(str(path), read_bands(path, bands), ImageSource(path))
    if isinstance(given, np.ndarray):
        return NamedRaster("array", _read_array(given, bands))
    if isinstance(given, bytes | bytearray | memoryview):
        return _read_source(ImageSource(bytes(given), "bytes"), bands)
    if isinstance(given, ImageSource):
        return _read_source(given, bands)
    if _is_pil(given):
        name = str(getattr(given, "filename", "") or "PIL image")
        return _read_source(ImageSource(_as_png(given, name), name), bands)._replace(source=None)
    raise ImageError(f"{type(given).__name__}: is no image; give a path, bytes, a PIL image or a NumPy array")


def _is_pil(given: Any) -> bool:
    """Whether it is a PIL image, without importing PIL for what is none."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(given).__mro__)


def _read_array(array: np.ndarray, bands: BandSelection) -> Raster:
    names = ", ".join(bands.names)
    if array.dtype.name not in ARRAY_TYPES:
        raise ImageError(f"array of {array.dtype}: the values must be one of {', '.join(ARRAY_TYPES)}")
    if array.ndim != 3 or array.shape[2] != len(bands.names) or not array.size:
        raise ImageError(f"array of shape {array.shape}: the model requires [height, width, bands] with {names}")
    values = array.astype(array.dtype.newbyteorder("="), order="C")  # a copy, in which pixels without data become 0
    if bands.optional is None:
        return clean(values, bands.names, nodata=bands.nodata)
    raster = clean(values, bands.names, nodata=bands.nodata, each_band=True)
    if raster.valid is None:
        return raster
    return fill_missing(raster.values, raster.valid, bands.names, bands.optional)


def _as_png(image: Image, name: str) -> bytes:
    """Encodes a PIL image, turned upright and without compression, so that it is decoded as files are."""
    from PIL import ImageOps

    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
            upright = upright.convert("RGB")
        buffer = io.BytesIO()
        upright.save(buffer, "PNG", compress_level=0)
    except (OSError, ValueError, SyntaxError) as error:  # it is decoded only now
        raise ImageError(f"{name}: cannot be decoded ({' '.join(str(error).split())})") from error
    return buffer.getvalue()


def _read_source(source: ImageSource, bands: BandSelection) -> NamedRaster:
    raster = read_bands(source, bands)
    return NamedRaster(source.name, raster, source if is_raster(source) else None)
