"""Reads photos and masks from files: OpenCV where the file is whole and plain, Pillow for the rest.

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
from functools import cache, lru_cache, wraps
from typing import TYPE_CHECKING, Concatenate, NamedTuple, ParamSpec, TypeVar

import cv2
import numpy as np

from flood_seg.errors import ImageError
from flood_seg.files import regular
from flood_seg.imaging.size import check_header, max_megapixels, too_large
from flood_seg.memory import enough_memory, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from PIL import Image

    from flood_seg.imaging.raster import Window

P = ParamSpec("P")
T = TypeVar("T")

# The brightest value of a photo of 16 bits, after its reduction to 8; the darkest of 250 flood photos has 203.
DIM = 51

# What Pillow's decoders raise on damaged bytes, found by feeding them some thousands of damaged files.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, TypeError, LookupError, ArithmeticError, struct.error,
    zlib.error,
)  # fmt: skip

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _decoder(decode: Callable[Concatenate[Path, P], T]) -> Callable[Concatenate[Path, P], T]:
    """Wraps what decodes a file: memory that ends is OutOfMemoryError, not a damaged file."""

    @wraps(decode)
    def decode_within(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with enough_memory(str(path), "close other programs, or cut it into tiles"):
            return decode(path, *args, **kwargs)

    return decode_within


@cache
def image_suffixes() -> frozenset[str]:
    """Returns the lower-case suffixes, with the dot, of all formats that Pillow opens."""
    from PIL import Image

    Image.init()
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in Image.OPEN)


def is_image_file(path: Path, also: frozenset[str] = frozenset()) -> bool:
    """Says whether a path is a file that is named as an image, or by a suffix of `also`, and not hidden."""
    return path.suffix.lower() in image_suffixes() | also and not path.name.startswith(".") and path.is_file()


@_decoder
def read_image(path: Path) -> np.ndarray:
    """Reads a photo as uint8 [H, W, 3] RGB, turned upright as its EXIF orientation says; alpha is dropped.

    The content decides on the format, not the suffix. 16-bit files are scaled to 8 bits, not clipped.

    Raises:
        ImageError: the file is missing, empty, no image, truncated or too large.
        OutOfMemoryError: there is not enough memory.
    """
    data = read_bytes(path)
    if is_whole(data):
        image = _decode(data, cv2.IMREAD_COLOR_RGB)
        if image is not None:
            return check_range_used(image, path) if _is_deep(data) else image
    from PIL import ImageOps

    with _open_with_pillow(path, data) as opened:
        upright = ImageOps.exif_transpose(opened)
        image = np.array(_to_8_bits(upright).convert("RGB"))
        deep = upright.mode.startswith("I")
    return check_range_used(image, path) if deep else image


def check_range_used(image: np.ndarray, path: Path) -> np.ndarray:
    """Returns a photo that was reduced from 16 bits to uint8 [H, W, bands], where it makes use of that range.

    Reflectance from 0 to 10000, or 12 bits in 16, would come out nearly black.

    Raises:
        ImageError: its brightest value is below a fifth of the range.
    """
    top = int(image.max(initial=0))
    if top >= DIM:
        return image
    raise ImageError(
        f"{path}: 16-bit values up to {256 * top + 255} use only {top / 255:.0%} of the range, so this is not a 16-bit "
        "photo (reflectance?); convert it to 8 bits, or set value_scale (datamodule.value_scale in training) to the "
        "scale of its values"
    )


@_decoder
def decode_bands(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads all channels of a JPEG, a PNG or the like in their own depth, alpha too.

    Returns:
        uint8 or uint16 [H, W, channels], and their names.

    Raises:
        ImageError: as `read_image`.
    """
    data = read_bytes(path)
    decoded = None
    if is_whole(data) and not _has_palette(data):
        if data.startswith(b"\x89PNG") and data[25] in (4, 6):  # with alpha, which only this flag keeps
            decoded = _decode(data, cv2.IMREAD_UNCHANGED)
            if decoded is not None and decoded.ndim == 3:
                decoded = cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA)
        else:
            decoded = _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    if decoded is None:
        from PIL import ImageOps

        with _open_with_pillow(path, data) as opened:
            image = ImageOps.exif_transpose(opened)
            grey = image.mode in ("L", "RGB", "RGBA") or image.mode.startswith("I")
            decoded = np.array(image if grey else image.convert("RGB"))
    values = decoded if decoded.ndim == 3 else decoded[:, :, None]
    return values, {1: ("grey",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}[values.shape[2]]


def read_mask(path: Path, window: Window | None = None) -> np.ndarray:
    """Reads a two-class mask, or a window of it, as uint8 [H, W] with 0 background and 1 foreground.

    Understood are 0/1 and 0/255 in 8 or 16 bits, 0/65535, grey anti-aliased edges (split at half), RGB and RGBA (the
    brightest channel counts), palettes with indices 0/1, and palettes of colours. EXIF orientation is honoured.

    Raises:
        ImageError: as `read_image`; or over 10 % of the pixels are neither dark nor bright, or none is bright, so
            that it is no mask of two classes. Of a window only the latter is looked at.
    """
    values = read_mask_values(path, window)
    return decide_mask(values, str(path)) if window is None else decide_window(values, path)


def decide_window(values: np.ndarray, path: Path) -> np.ndarray:
    """Does as `decide_mask` to the values of a window, any type [H, W], by the brightest value of the whole raster.

    A window alone does not tell: one of a lossy mask may hold nothing but 0 and 3.

    Raises:
        ImageError: the file cannot be read, or its brightest value is neither 1 nor bright.
    """
    return np.asarray(values > _mask_level(path, path.stat().st_mtime_ns), np.uint8)


@lru_cache(maxsize=1024)
def _mask_level(path: Path, _changed: int) -> int:
    from flood_seg.imaging.raster import largest_value

    return _level(largest_value(path), str(path))


def _level(top: float, where: str) -> int:
    if top <= 1:
        return 0
    full = 255 if top <= 255 else 65535
    if top <= full // 2:
        raise ImageError(
            f"{where}: the mask's brightest value is {top:g}; give a mask of 0 and 1, or of 0 and {full}, or name its "
            "values in datamodule.labels"
        )
    return full // 2


def read_mask_values(path: Path, window: Window | None = None) -> np.ndarray:
    """Reads the values that `read_mask` decides on: those of a palette of two, else the brightest channel's.

    Returns:
        unsigned [H, W]; of a window any type, as `read_labels` returns it.

    Raises:
        ImageError: as `read_image`; of a window as `read_labels`.
    """
    return _mask_values(path) if window is None else read_labels(path, window, by_color=False)


def decide_mask(values: np.ndarray, where: str) -> np.ndarray:
    """Turns the values of a two-class mask, unsigned [H, W], into uint8 [H, W] with 0 background and 1 foreground.

    Raises:
        ImageError: over 10 % of the pixels are neither dark nor bright, or none is bright.
    """
    level = _level(int(values.max(initial=0)), where)
    if level:
        full = 2 * level + 1
        between = np.count_nonzero((values > full // 5) & (values < full - full // 5)) / values.size
        if between > 0.1:
            raise ImageError(f"{where}: {between:.0%} of the mask's pixels are mid-grey; give a mask of two values")
    return (values > level).astype(np.uint8)


def read_labels(path: Path, window: Window | None = None, *, by_color: bool) -> np.ndarray:
    """Reads a mask's values as they stand in the file; EXIF orientation is honoured, alpha is dropped.

    Args:
        path: of the file.
        window: the part that is read; None: all.
        by_color: whether colours are wanted, or numbers; of a palette: its colours, or its indices.

    Returns:
        uint8 [H, W, 3] RGB with `by_color`, else any type [H, W].

    Raises:
        ImageError: as `read_image`; or numbers are wanted of a file of several colours.
    """
    values = _label_values(path, window, by_color=by_color)
    if by_color:
        return values if values.ndim == 3 else np.repeat(values[:, :, None], 3, axis=2)
    if values.ndim == 3:
        if np.any(values != values[:, :, :1]):
            raise ImageError(f"{path}: is in colour; name colours in datamodule.labels, as in '#ff0000': water")
        values = np.ascontiguousarray(values[:, :, 0])
    return values


class PhotoHeader(NamedTuple):
    """What Pillow reads of a file without its pixels.

    Attributes:
        format: as Pillow calls it.
        mode: likewise.
        size: (height, width) as it lies in the file.
        orientation: EXIF's.
        deep: whether it is a PNG of 16 bits a channel, of which Pillow says RGB.
    """

    format: str
    mode: str
    size: tuple[int, int]
    orientation: int
    deep: bool


@_decoder
def read_header(path: Path) -> PhotoHeader:
    """Reads the header of a photo or a mask.

    Raises:
        ImageError: as `read_image`, truncation apart.
    """
    data = read_bytes(path)
    with _open_with_pillow(path, data, load=False) as opened:
        orientation = int(opened.getexif().get(0x0112, 1))
        return PhotoHeader(str(opened.format), opened.mode, (opened.height, opened.width), orientation, _is_deep(data))


def read_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) in pixels, upright, from the file's header alone; raises as `read_header`."""
    header = read_header(path)
    return header.size[::-1] if header.orientation in (5, 6, 7, 8) else header.size


def is_raster(path: Path) -> bool:
    """Whether the content is a TIFF or a JPEG 2000, which hold any bands and a place on the map."""
    try:
        with regular(path).open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    return head[:4] in _TIFF or head[4:8] == b"jP  " or head[:11] == b"<VRTDataset"


def read_bytes(path: Path) -> bytes:
    """Returns the bytes of a photo or a mask that may be decoded.

    Raises:
        ImageError: the file is missing, a folder, a pipe, unreadable or empty, or its header says too many pixels.
    """
    try:
        data = regular(path).read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror or error}") from error
    if not data:
        raise ImageError(f"{path}: the file is empty")
    check_header(path, data)
    return data


def is_whole(data: bytes) -> bool:
    """Whether `data` is a JPEG or PNG that ends as it should, so that OpenCV may decode it."""
    if data.startswith(b"\xff\xd8"):
        return data[-64:].rstrip(b"\0\r\n ").endswith(b"\xff\xd9")
    return data.startswith(b"\x89PNG") and b"IEND" in data[-16:]


def _decode(data: bytes, flags: int) -> np.ndarray | None:
    """Decodes with OpenCV; None where it cannot, then Pillow says why.

    Raises:
        MemoryError: there is not enough memory.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        return None  # more pixels than OpenCV allows
    return None if image is None else np.asarray(image)


@contextmanager
def _open_with_pillow(path: Path, data: bytes, *, load: bool = True) -> Iterator[Image.Image]:
    """Yields the file opened by Pillow; what Pillow raises, in the body too, becomes an ImageError.

    EXIF is read as late as in the body, and a PNG is decoded for it.
    """
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = int(max_megapixels() * 1e6) // 2  # Pillow fails at twice this number
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF and TIFF tags, which do not matter here
            with Image.open(io.BytesIO(data)) as opened:
                if load:
                    opened.load()
                yield opened
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image") from error
    except Image.DecompressionBombError as error:  # of other formats than `check_header` knows
        raise too_large(path, int(next(iter(re.findall(r"\d+", str(error))), 0))) from error
    except _DECODER_ERRORS as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: damaged or truncated ({reason})") from error


def _to_8_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).clip(0, 65535).astype(np.uint32) >> 8).astype(np.uint8))


@_decoder
def _mask_values(path: Path) -> np.ndarray:
    """The mask's values, unsigned [H, W]: indices 0/1 of a palette, else grey or the brightest colour channel."""
    data = read_bytes(path)
    if is_whole(data) and not _has_palette(data):
        decoded = _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
        if decoded is not None:
            return decoded if decoded.ndim == 2 else _brightest(decoded)
    from PIL import ImageOps

    with _open_with_pillow(path, data) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "P":
            indices = np.array(image)
            if indices.max(initial=0) <= 1:
                return indices
            image = image.convert("RGB")
        values = np.array(image.convert("RGB") if image.mode in ("RGBA", "LA", "CMYK", "YCbCr") else image)
        return values if values.ndim == 2 else _brightest(values)


def _brightest(values: np.ndarray) -> np.ndarray:
    """The highest of the channels, [H, W] of [H, W, channels]; NumPy's own takes ten times as long."""
    planes = cv2.split(values)
    highest = planes[0]
    for plane in planes[1:]:
        highest = cv2.max(highest, plane)
    return np.asarray(highest)


@_decoder
def _label_values(path: Path, window: Window | None, *, by_color: bool) -> np.ndarray:
    """[H, W] or [H, W, 3], 8 bits at least in the first form."""
    if window or is_raster(path):
        from flood_seg.imaging.raster import read_raster

        raster = read_raster(path, window, palette=by_color, nearest=True).values
        return raster[:, :, :3] if raster.shape[2] >= 3 else raster[:, :, 0]
    data = read_bytes(path)
    if is_whole(data) and not _has_palette(data):
        decoded = _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
        if decoded is not None:
            return decoded
    from PIL import ImageOps

    with _open_with_pillow(path, data) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode == "P" and not by_color:
            return np.array(image)
        grey = image.mode in ("L", "1", "F") or image.mode.startswith("I")
        return np.array(image if grey else image.convert("RGB"))


def _is_deep(data: bytes) -> bool:
    """Whether a PNG's header says 16 bits a channel."""
    return data.startswith(b"\x89PNG") and data[24:25] == b"\x10"


def _has_palette(data: bytes) -> bool:
    """Whether a PNG's header says that its pixels are palette indices (colour type 3)."""
    return data.startswith(b"\x89PNG") and data[25:26] == b"\x03"
