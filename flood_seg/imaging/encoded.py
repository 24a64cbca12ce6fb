"""Encoded images before they are decoded: whether they are small enough, and what PNG files hold.

A file of 2.6 MB can say that it is 30000×30000 and take gigabytes to decode, so that its header is asked first, in
every format the same.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from functools import partial

from flood_seg.errors import ImageError
from flood_seg.imaging.source import PNG_SIGNATURE, detect_format

MAX_MEGAPIXELS = 400.0  # more than any camera's; a larger header is a mistake or an attack
# Of the process and of those that it starts, of which some get no configuration: workers that load data.
_VARIABLE = "FLOOD_SEG_MAX_MEGAPIXELS"
_NO_SIZE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # those that begin a frame: C0 to CF but for tables
# Of a PNG, beside the critical chunks, whose names begin with a capital: transparency and orientation.
KEPT_CHUNKS = (b"tRNS", b"eXIf")


def limit_megapixels(megapixels: float) -> None:
    """Sets how large an image may be that is decoded as a whole, in this process and in those that it starts."""
    os.environ[_VARIABLE] = repr(float(megapixels))


def max_megapixels() -> float:
    """Returns the limit."""
    return float(os.environ.get(_VARIABLE, MAX_MEGAPIXELS))


def check_size(where: object, width: int, height: int, advice: str = "cut it into tiles") -> None:
    """Raises ImageError where an image has more pixels than the limit."""
    if width * height > max_megapixels() * 1e6:
        raise too_large(where, width * height, f"{width}×{height} = ", advice)


def too_large(where: object, pixels: int, size: str = "", advice: str = "cut it into tiles") -> ImageError:
    """Returns the error of an image of too many pixels, whose width and height may not be known."""
    return ImageError(
        f"{where}: {size}{pixels / 1e6:.4g} megapixels, more than max_megapixels={max_megapixels():g}; {advice}, or "
        "raise the limit where there is memory for it"
    )


def check_header(where: object, data: bytes) -> None:
    """Raises ImageError where the header of a JPEG, PNG, WebP, GIF or BMP says more pixels than the limit."""
    size = peek_size(data)
    if size:
        check_size(where, *size)


def peek_size(data: bytes) -> tuple[int, int] | None:
    """Returns (width, height) as the header of a JPEG, PNG, WebP, GIF or BMP has them; None: of others, or damaged."""
    parse = _PARSERS.get(detect_format(data))
    try:
        return parse(data) if parse else None
    except (struct.error, IndexError):
        return None


def _pair(form: str, data: bytes, offset: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, offset)
    return first, second


def _of_jpeg(data: bytes) -> tuple[int, int]:
    """Goes from marker to marker until a frame begins; what lies in between, thumbnails too, is passed over."""
    place = 2
    while True:
        while data[place] != 0xFF:
            place += 1
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        if marker in _FRAMES:
            height, width = _pair(">HH", data, place + 4)
            return width, height
        place += 1 if marker in _NO_SIZE else 1 + struct.unpack_from(">H", data, place + 1)[0]


def _of_webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = _pair("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _of_bmp(data: bytes) -> tuple[int, int]:
    old = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = _pair("<HH" if old else "<ii", data, 18)
    return abs(width), abs(height)  # rows from the top have a negative height


_PARSERS: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "JPEG": _of_jpeg,
    "PNG": partial(_pair, ">II", offset=16),
    "WEBP": _of_webp,
    "GIF": partial(_pair, "<HH", offset=6),
    "BMP": _of_bmp,
}


def has_more_pages(data: bytes, most: int) -> bool:
    """Whether a TIFF has more pages than `most`; False where their chain is damaged or `data` is no TIFF."""
    order, big = ("<" if data.startswith(b"II") else ">"), data[2:4] in (b"+\0", b"\0+")
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return False
    number, entries, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    place = 8 if big else 4
    try:
        for _ in range(most + 1):
            (directory,) = struct.unpack_from(order + number, data, place)
            if not directory:
                return False
            (count,) = struct.unpack_from(order + entries, data, directory)
            place = directory + struct.calcsize(f"<{entries}") + count * entry
    except (struct.error, IndexError, OverflowError):
        return False
    return True


def has_palette(data: bytes) -> bool:
    """Whether the pixels of a PNG are indices of a palette (colour type 3)."""
    return data[25:26] == b"\x03"


def has_alpha_channel(data: bytes) -> bool:
    """Whether a PNG has an alpha channel (colour types 4 and 6)."""
    return data[25:26] in (b"\x04", b"\x06")


def has_transparent_color(data: bytes) -> bool:
    """Whether a colour or an index of a PNG is transparent."""
    return b"tRNS" in data[: data.find(b"IDAT")]


def has_16_bits(data: bytes) -> bool:
    """Whether a PNG has 16 bits a channel."""
    return data[24:25] == b"\x10"


def plain_png(data: bytes) -> bytes | None:
    """Returns a PNG without the chunks that do not change its pixels; None where it is damaged.

    libpng writes to stderr, past everything that could catch it, of each damaged chunk and of each odd colour profile.
    All checksums are verified: 12 megapixels in 27 MB took 30 ms, decoding them 500 ms.
    """
    view, place = memoryview(data), len(PNG_SIGNATURE)
    kept: list[bytes | memoryview] = [PNG_SIGNATURE]
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data) or (len(kept) == 1) != (name == b"IHDR"):
            return None
        if zlib.crc32(view[place + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return None
        if name == b"IHDR" and 0 in struct.unpack_from(">II", data, place + 8):
            return None
        if name[:1].isupper() or name in KEPT_CHUNKS:
            kept.append(view[place:end])
        place = end
        if name == b"IEND":
            return data if sum(map(len, kept)) == place else b"".join(kept)
    return None
