"""Decodes photos and masks, from a file or from bytes: OpenCV where the content is whole and plain, else Pillow.

OpenCV decodes a 12-megapixel JPEG in less than half of Pillow's time, but fills up a truncated file with grey
without a word and turns a palette into colours; such files go to Pillow, which is strict. Decoding at reduced size
would be faster still, but changed 7 % of a mask's pixels.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np

from flood_seg.errors import FormatError, ImageError
from flood_seg.imaging.encoded import (
    check_header,
    has_alpha_channel,
    has_palette,
    has_transparent_color,
    max_megapixels,
    plain_png,
    too_large,
)
from flood_seg.imaging.source import PILLOW_FORMATS, PNG_SIGNATURE, ImageInput, ImageSource, detect_format, is_whole
from flood_seg.resources import enough_memory, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from PIL import Image

# The brightest value of a photo of 16 bits, after its reduction to 8; the darkest of 250 flood photos has 203.
DIM = 51

# What Pillow's decoders raise on damaged bytes, found by feeding them some thousands of damaged files.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, TypeError, LookupError, ArithmeticError, struct.error,
    zlib.error,
)  # fmt: skip

_CHANNEL_NAMES = {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
_OWN_DEPTH = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
_EXIF_ORIENTATION = 0x0112
# OpenCV's codes of the flip that makes an image of an EXIF orientation upright, after a transposition from 5 on.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


class Decoded(NamedTuple):
    """An image in the depth of its file, upright.

    Attributes:
        values: [H, W, channels] of grey, RGB or RGBA; uint8 or uint16, of rare formats bool, int32 or float32.
        palette: uint8 [256, 3] RGB, the colours of the values where these are indices; else None.
    """

    values: np.ndarray
    palette: np.ndarray | None = None


def decode(given: ImageInput, *, alpha: Literal["drop", "channel", "any"] = "drop", indices: bool = False) -> Decoded:
    """Decodes an image that is no raster; turns it upright as its EXIF orientation says, except a TIFF.

    The content decides on the format, not the suffix.

    Args:
        given: a file, or encoded bytes.
        alpha: `drop`; `channel`: RGBA where the file has an alpha channel; `any`: where it has a transparent colour
            too, which takes longer and 8 bits.
        indices: whether the values of an image with a palette are its indices; else they are colours.

    Raises:
        ImageError: the file is missing, empty, no image, truncated or too large.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    with enough_to_decode(source):
        data = read_encoded(source)
        values = _by_opencv(source, data, alpha, indices)
        return _by_pillow(source, data, alpha, indices) if values is None else Decoded(np.atleast_3d(values))


def read_photo(given: ImageInput) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads a photo and its alpha channel; 16 bits are scaled to 8, not clipped.

    Returns:
        uint8 [H, W, 3] RGB, and alpha, uint8 or uint16 [H, W], 0 where it is transparent; None where the file has none.

    Raises:
        ImageError: as `decode`; or 16 bits of which only a small part is used.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    values = decode(source, alpha="any").values
    channels = values.shape[2]
    color = _to_8_bits(cv2.cvtColor(values, cv2.COLOR_RGBA2RGB) if channels == 4 else values)
    if values.dtype.kind in "ui" and values.dtype.itemsize > 1:
        check_range_used(color, source)
    rgb = cv2.cvtColor(color, cv2.COLOR_GRAY2RGB) if channels == 1 else color
    return np.asarray(rgb), values[:, :, 3] if channels == 4 else None


def decode_bands(given: ImageInput) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads all channels of a JPEG, a PNG or the like in their own depth, an alpha channel too.

    Returns:
        uint8, uint16, int32 or float32 [H, W, channels], and their names.

    Raises:
        ImageError: as `decode`.
        OutOfMemoryError: there is not enough memory.
    """
    values = decode(given, alpha="channel").values
    return (_to_8_bits(values) if values.dtype == bool else values), _CHANNEL_NAMES[values.shape[2]]


def check_range_used(image: np.ndarray, where: object) -> None:
    """Checks that a photo, uint8 [H, W, bands], which was reduced from 16 bits, makes use of their range.

    Reflectance from 0 to 10000, or 12 bits in 16, would come out nearly black.

    Raises:
        ImageError: its brightest value is below a fifth of the range.
    """
    top = int(image.max(initial=0))
    if top < DIM:
        raise ImageError(
            f"{where}: 16-bit values up to {256 * top + 255} use only {top / 255:.0%} of the range, so this is not a "
            "16-bit photo (reflectance?); convert it to 8 bits, or set value_scale (datamodule.value_scale in "
            "training) to the scale of its values"
        )


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        return np.asarray(np.nan_to_num(values).clip(0, 255), np.uint8)
    return np.asarray(values.clip(0, 65535) >> 8, np.uint8)


def enough_to_decode(source: ImageSource) -> AbstractContextManager[None]:
    """Turns the end of memory in the body into OutOfMemoryError."""
    return enough_memory(str(source), "close other programs, or cut it into tiles")


def read_encoded(source: ImageSource) -> bytes:
    """Returns the bytes of an image that may be decoded; raises ImageError as `decode`, truncation apart."""
    data = source.read()
    check_header(source, data)
    return data


def _by_opencv(source: ImageSource, data: bytes, alpha: str, indices: bool) -> np.ndarray | None:
    """Decodes to [H, W] or [H, W, channels]; None where OpenCV cannot, or loses what is asked for."""
    if not is_whole(data):
        return None
    if detect_format(data) == "PNG":
        if (indices and has_palette(data)) or (alpha == "any" and has_transparent_color(data)):
            return None
        if alpha != "drop" and has_alpha_channel(data):
            return _rgba_by_opencv(source, data)
    return _imdecode(data, _OWN_DEPTH)


def _rgba_by_opencv(source: ImageSource, data: bytes) -> np.ndarray | None:
    """Decodes a PNG with an alpha channel, which OpenCV keeps only where it ignores the orientation."""
    decoded = _imdecode(data, cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.ndim != 3 or decoded.shape[2] != 4:
        return None
    if b"eXIf" in data:
        with open_with_pillow(source, data) as opened:
            orientation = exif_orientation(opened)
        decoded = cv2.transpose(decoded) if orientation >= 5 else decoded
        decoded = cv2.flip(decoded, _FLIPS[orientation]) if orientation in _FLIPS else decoded
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA))


def _imdecode(data: bytes, flags: int) -> np.ndarray | None:
    """Decodes with OpenCV; None where it cannot, then Pillow says why.

    Raises:
        MemoryError: there is not enough memory.
    """
    plain = plain_png(data) if data.startswith(PNG_SIGNATURE) else data
    if plain is None:
        return None
    silence_opencv()
    try:
        image = cv2.imdecode(np.frombuffer(plain, np.uint8), flags)
    except cv2.error as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        return None  # more pixels than OpenCV allows
    return None if image is None else np.asarray(image)


@cache
def silence_opencv() -> None:
    """Keeps OpenCV's log from stderr: it repeats what an error says of a file that cannot be decoded or opened."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _by_pillow(source: ImageSource, data: bytes, alpha: str, indices: bool) -> Decoded:
    from PIL import ImageOps

    with open_with_pillow(source, data) as opened:
        if opened.format == "TIFF":  # which Pillow turns upright when it loads it; GDAL and GIS programs ignore the tag
            orientation = exif_orientation(opened)
            opened.load()
            opened.getexif()[_EXIF_ORIENTATION] = {6: 8, 8: 6}.get(orientation, orientation)
        image = ImageOps.exif_transpose(opened)
        if indices and image.mode == "P":
            return Decoded(np.atleast_3d(np.array(image)), _palette_of(image))
        deep = image.mode.startswith("I")
        keeps = {"drop": False, "channel": image.mode in ("RGBA", "LA"), "any": image.has_transparency_data}[alpha]
        if keeps and not deep:
            image = image.convert("RGBA")
        elif not deep and image.mode not in ("L", "1", "F", "RGB"):
            image = image.convert("RGB")
        return Decoded(np.atleast_3d(np.array(image)))


def _palette_of(image: Image.Image) -> np.ndarray:
    colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)  # grey, as Pillow's, where it is shorter
    palette[: len(colors)] = colors
    return palette


def exif_orientation(image: Image.Image) -> int:
    """Returns EXIF's orientation of an opened image, 1 to 8; 1 is upright."""
    return int(image.getexif().get(_EXIF_ORIENTATION, 1))


@contextmanager
def open_with_pillow(source: ImageSource, data: bytes) -> Iterator[Image.Image]:
    """Yields the image opened by Pillow, not decoded yet; what Pillow raises, in the body too, becomes an ImageError.

    EXIF is read as late as in the body, and a PNG is decoded for it.
    """
    from PIL import Image, ImageFile, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = int(max_megapixels() * 1e6) // 2  # Pillow fails at twice this number
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # other libraries, such as WeasyPrint, set it for the whole process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF and TIFF tags, which do not matter here
            with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as opened:
                yield opened
    except UnidentifiedImageError as error:
        raise FormatError(f"{source}: not an image") from error
    except Image.DecompressionBombError as error:  # of other formats than `check_header` knows
        raise too_large(source, int(next(iter(re.findall(r"\d+", str(error))), 0))) from error
    except _DECODER_ERRORS as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{source}: damaged or truncated ({reason})") from error
