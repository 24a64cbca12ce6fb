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
from importlib.util import find_spec
from typing import TYPE_CHECKING, Concatenate, NamedTuple, ParamSpec, TypeVar

import cv2
import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.errors import DataError, ImageError
from flood_seg.files import regular
from flood_seg.imaging.png import SIGNATURE, plain_png
from flood_seg.imaging.size import check_header, max_megapixels, too_large
from flood_seg.resources import enough_memory, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from PIL import Image

    from flood_seg.imaging.raster import ValueRange, Window

P = ParamSpec("P")
T = TypeVar("T")

# The brightest value of a photo of 16 bits, after its reduction to 8; the darkest of 250 flood photos has 203.
DIM = 51

# What Pillow's decoders raise on damaged bytes, found by feeding them some thousands of damaged files.
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, TypeError, LookupError, ArithmeticError, struct.error,
    zlib.error,
)  # fmt: skip

_GDAL_NODATA = 42113  # the TIFF tag
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


def read_image(path: Path) -> np.ndarray:
    """Reads a photo as uint8 [H, W, 3] RGB, as `read_photo` does; alpha is dropped."""
    return read_photo(path)[0]


@_decoder
def read_photo(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads a photo, turned upright as its EXIF orientation says, and its alpha channel.

    The content decides on the format, not the suffix. 16-bit files are scaled to 8 bits, not clipped.

    Returns:
        uint8 [H, W, 3] RGB, and alpha, uint8 or uint16 [H, W], 0 where nothing is seen; None where the file has none.

    Raises:
        ImageError: the file is missing, empty, no image, truncated or too large.
        OutOfMemoryError: there is not enough memory.
    """
    data = read_bytes(path)
    if is_whole(data):
        image, alpha = _decode_rgba(data) if _has_transparency(data) else (_decode(data, cv2.IMREAD_COLOR_RGB), None)
        if image is not None:
            return (check_range_used(image, path) if _is_deep(data) else image), alpha
    from PIL import ImageOps

    with _open_with_pillow(path, data) as opened:
        upright = ImageOps.exif_transpose(opened)
        image = np.array(_to_8_bits(upright).convert("RGB"))
        alpha = np.array(upright.convert("RGBA").getchannel("A")) if upright.has_transparency_data else None
        deep = upright.mode.startswith("I")
    return (check_range_used(image, path) if deep else image), alpha


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


def _decode_rgba(data: bytes) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Decodes a PNG with an alpha channel by OpenCV, which does not turn what it reads unchanged; else None."""
    decoded = _decode(data, cv2.IMREAD_UNCHANGED) if data[25] in (4, 6) and b"eXIf" not in data else None
    if decoded is None or decoded.ndim != 3 or decoded.shape[2] != 4:
        return None, None
    color = cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGB)
    return color if color.dtype == np.uint8 else (color >> 8).astype(np.uint8), decoded[:, :, 3]


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


class Labels(NamedTuple):
    """The values of a mask's pixels.

    Attributes:
        values: any number type [H, W], or uint8 [H, W, 3] RGB.
        declared: bool [H, W], True where the pixel has the value that the file declares as nodata; None: nowhere.
        masked: bool [H, W], True where the file hides the pixel by a mask, or it is NaN; None: nowhere.
    """

    values: np.ndarray
    declared: np.ndarray | None = None
    masked: np.ndarray | None = None


def read_mask(path: Path, window: Window | None = None) -> np.ndarray:
    """Reads a two-class mask, or a window of it, as uint8 [H, W]: 0 background, 1 foreground, `IGNORED` without data.

    Understood are 0/1 and 0/255 in 8 or 16 bits, 0/65535, grey anti-aliased edges (split at half), RGB and RGBA (the
    brightest channel counts), palettes with indices 0/1, and palettes of colours. EXIF orientation is honoured.

    Raises:
        ImageError: as `read_image`; or over 10 % of the pixels are neither dark nor bright, or none is bright, so
            that it is no mask of two classes. Of a window only the latter is looked at.
        DataError: the mask has a third value that needs a name: one below 0, 1 beside 0 and 255, or 0 as nodata.
    """
    labels = read_mask_values(path, window)
    return decide_mask(labels, str(path)) if window is None else decide_window(labels, path)


def decide_window(labels: Labels, path: Path) -> np.ndarray:
    """Does as `decide_mask` to a window, by the values of the whole raster.

    A window alone does not tell: one of a lossy mask may hold nothing but 0 and 3.

    Raises:
        ImageError: the file cannot be read, or its brightest value is neither 1 nor bright.
        DataError: as `decide_mask`.
    """
    found = _mask_range(path, path.stat().st_mtime_ns)
    level = _level(found, str(path))
    return _split(labels, level, str(path))


@lru_cache(maxsize=1024)
def _mask_range(path: Path, _changed: int) -> ValueRange:
    from flood_seg.imaging.raster import value_range

    return value_range(path)


def _level(found: ValueRange, where: str) -> int:
    """Returns the value that foreground lies above; `found` is of the pixels that have data."""
    top = found.high
    full = 255 if top <= 255 else 65535
    if found.low < 0 or {1, full} <= set(found.few or ()) <= {0, 1, full}:
        raise DataError(_third_value(found, where))
    if top <= 1:
        return 0
    if top <= full // 2:
        raise ImageError(
            f"{where}: the mask's brightest value is {top:g}; give a mask of 0 and 1, or of 0 and {full}, or name its "
            "values in datamodule.labels"
        )
    return full // 2


def _third_value(found: ValueRange, where: str) -> str:
    """Says what to write where a mask holds a value that may mean that nothing is known."""
    odd = found.low if found.low < 0 else found.high
    listed = ", ".join(f"{value:g}" for value in found.few) if found.few else f"{found.low:g} to {found.high:g}"
    return (
        f"{where}: a mask of two classes cannot have the values {listed}; if {odd:g} is no data, set "
        f"'datamodule.labels={{{odd:g}: ignore, 0: background, 1: water}}' or datamodule.ignore_index={odd:g}"
    )


def read_mask_values(path: Path, window: Window | None = None) -> Labels:
    """Reads the values that `read_mask` decides on: those of a palette of two, else the brightest channel's.

    Returns:
        values [H, W].

    Raises:
        ImageError: as `read_image`; of a window as `read_labels`.
    """
    if window is not None:
        return read_labels(path, window, by_color=False)
    if not is_raster(path):
        return Labels(_mask_values(path))
    return _raster_mask_values(path)


@_decoder
def _raster_mask_values(path: Path) -> Labels:
    """Of a TIFF: by Pillow, which knows of palettes and orientations, unless it holds what only GDAL tells of."""
    from flood_seg.imaging.raster import has_label_nodata, read_label_raster

    if not has_rasterio():
        with _open_with_pillow(path, read_bytes(path), load=False) as opened:
            if _GDAL_NODATA in getattr(opened, "tag_v2", {}):
                raise ImageError(f"{path}: declares a nodata value, which GDAL reads; pip install 'flood-seg[geo]'")
        return Labels(_mask_values(path))
    if not has_label_nodata(path):
        return Labels(_mask_values(path))
    raster = read_label_raster(path)
    values = raster.values[:, :, 0] if raster.values.shape[2] < 3 else raster.values[:, :, :3].max(axis=2)
    return Labels(values, raster.declared, raster.masked)


def decide_mask(labels: Labels, where: str) -> np.ndarray:
    """Turns the values of a two-class mask into uint8 [H, W]: 0 background, 1 foreground, `IGNORED` without data.

    Raises:
        ImageError: over 10 % of the pixels are neither dark nor bright, or none is bright.
        DataError: the mask has a third value that needs a name: one below 0, 1 beside 0 and 255, or 0 as nodata.
    """
    from flood_seg.imaging.raster import FEW, ValueRange, unique

    values = labels.values
    unknown = _without_data(labels)
    kinds, counts = unique(values.ravel() if unknown is None else values[~unknown])
    found = ValueRange()
    if len(kinds):
        found = ValueRange(float(kinds[0]), float(kinds[-1]), tuple(map(float, kinds)) if len(kinds) <= FEW else None)
    level = _level(found, where)
    if level:
        full = 2 * level + 1
        between = counts[(kinds > full // 5) & (kinds < full - full // 5)].sum() / values.size
        if between > 0.1:
            raise ImageError(f"{where}: {between:.0%} of the mask's pixels are mid-grey; give a mask of two values")
    return _split(labels, level, where)


def _without_data(labels: Labels) -> np.ndarray | None:
    unknown = [where for where in (labels.declared, labels.masked) if where is not None]
    return np.logical_or.reduce(unknown) if unknown else None


def _split(labels: Labels, level: int, where: str) -> np.ndarray:
    mask = (labels.values > level).astype(np.uint8)
    if labels.declared is not None and not labels.values[labels.declared][0]:
        raise DataError(zero_is_nodata(where))
    if (unknown := _without_data(labels)) is not None:
        mask[unknown] = IGNORED
    return mask


def zero_is_nodata(where: str) -> str:
    """Says what to write where a file declares as nodata what is the background unless it is named."""
    return (
        f"{where}: declares 0 as its nodata value, which is the background unless datamodule.labels names it; set "
        "'datamodule.labels={0: background, 1: water}' if 0 is dry land, or name the land's own value"
    )


def read_labels(path: Path, window: Window | None = None, *, by_color: bool) -> Labels:
    """Reads a mask's values as they stand in the file; EXIF orientation is honoured, alpha is dropped.

    Args:
        path: of the file.
        window: the part that is read; None: all.
        by_color: whether colours are wanted, or numbers; of a palette: its colours, or its indices.

    Returns:
        values uint8 [H, W, 3] RGB with `by_color`, else any type [H, W].

    Raises:
        ImageError: as `read_image`; or numbers are wanted of a file of several colours.
    """
    labels = _label_values(path, window, by_color=by_color)
    values = labels.values
    if by_color:
        return labels if values.ndim == 3 else labels._replace(values=np.repeat(values[:, :, None], 3, axis=2))
    if values.ndim == 3:
        if np.any(values != values[:, :, :1]):
            raise ImageError(f"{path}: is in colour; name colours in datamodule.labels, as in '#ff0000': water")
        values = np.ascontiguousarray(values[:, :, 0])
    return labels._replace(values=values)


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


@cache
def has_rasterio() -> bool:
    """Whether the `geo` extra is installed."""
    return find_spec("rasterio") is not None


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


@cache
def _silence_opencv() -> None:
    """Its log repeats on stderr what Pillow then says of a file that OpenCV cannot decode."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _decode(data: bytes, flags: int) -> np.ndarray | None:
    """Decodes with OpenCV; None where it cannot, then Pillow says why.

    Raises:
        MemoryError: there is not enough memory.
    """
    plain = plain_png(data) if data.startswith(SIGNATURE) else data
    if plain is None:
        return None
    _silence_opencv()
    try:
        image = cv2.imdecode(np.frombuffer(plain, np.uint8), flags)
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
def _label_values(path: Path, window: Window | None, *, by_color: bool) -> Labels:
    """[H, W] or [H, W, 3], 8 bits at least in the first form."""
    if window or is_raster(path):
        from flood_seg.imaging.raster import read_label_raster

        raster = read_label_raster(path, window, palette=by_color)
        values = raster.values[:, :, :3] if raster.values.shape[2] >= 3 else raster.values[:, :, 0]
        return Labels(values, raster.declared, raster.masked)
    return Labels(_photo_values(read_bytes(path), path, by_color=by_color))


def _photo_values(data: bytes, path: Path, *, by_color: bool) -> np.ndarray:
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


def _has_transparency(data: bytes) -> bool:
    """Whether a PNG has an alpha channel (colour types 4 and 6), or a colour that is transparent."""
    return data.startswith(b"\x89PNG") and (data[25] in (4, 6) or b"tRNS" in data[: data.find(b"IDAT")])


def _has_palette(data: bytes) -> bool:
    """Whether a PNG's header says that its pixels are palette indices (colour type 3)."""
    return data.startswith(b"\x89PNG") and data[25:26] == b"\x03"
