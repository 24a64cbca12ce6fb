"""An image to be read: a file, or encoded bytes in memory; and what its first bytes or its suffix say of its format."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from flood_seg.errors import ImageError
from flood_seg.files import regular

if TYPE_CHECKING:
    from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEAD_BYTES = 12  # by which every format below is recognized

# The formats that are read, by Pillow's names, common ones first; the usual suffix of each comes first. Pillow knows
# more, and some of its decoders run other programs: Ghostscript for EPS.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
    "AVIF": (".avif", ".avifs"),
}
PILLOW_FORMATS = tuple(name for name in SUFFIXES if name != "MPO")  # which Pillow opens as a JPEG
IMAGE_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
_STORES = ("s3", "gs", "az")  # of objects, which GDAL reads
LOSSY = frozenset({"JPEG", "MPO"})
_SIGNATURES = {
    b"\xff\xd8": "JPEG", PNG_SIGNATURE: "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF", b"<VRTDataset": "VRT",
}  # fmt: skip


class ImageSource:
    """A file, or the encoded bytes of an image.

    Attributes:
        content: the path, or the bytes.
        name: what messages call it.
    """

    def __init__(self, content: Path | bytes, name: str = "<bytes>") -> None:
        """Takes a path, which is its own name, or bytes and what to call them."""
        self.content = content
        self.name = address(content) if isinstance(content, Path) else name

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, given: ImageInput) -> ImageSource:
        """Returns the source of whatever names an image."""
        return given if isinstance(given, ImageSource) else cls(given)

    def head(self) -> bytes:
        """Returns the first bytes; raises ImageError where the file is missing, a pipe, a folder or unreadable."""
        if isinstance(self.content, bytes):
            return self.content[:HEAD_BYTES]
        with self.os_errors(), regular(self.content).open("rb") as file:
            return file.read(HEAD_BYTES)

    def read(self) -> bytes:
        """Returns all bytes; raises as `head`, and where there are none."""
        with self.os_errors():
            data = self.content if isinstance(self.content, bytes) else regular(self.content).read_bytes()
        if not data:
            raise ImageError(f"{self}: the file is empty")
        return data

    @contextmanager
    def os_errors(self) -> Iterator[None]:
        """Turns what the system says of the file in the body into an ImageError."""
        try:
            yield
        except OSError as error:
            raise ImageError(f"{self}: {error.strerror or error}") from error


ImageInput = Path | bytes | ImageSource


def detect_format(data: bytes) -> str:
    """Returns Pillow's name of the format that the first bytes are of, `VRT` of GDAL's; empty: of another format."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"jP  ":
        return "JPEG2000"
    return next((name for signature, name in _SIGNATURES.items() if data.startswith(signature)), "")


def is_raster(given: ImageInput) -> bool:
    """Whether GDAL reads the content: a TIFF, a JPEG 2000 or a VRT, of any bands, maybe georeferenced.

    Raises:
        ImageError: as `ImageSource.head`.
    """
    source = ImageSource.of(given)
    if isinstance(source.content, Path) and is_gdal_name(source.content):
        return True
    return detect_format(source.head()) in ("TIFF", "JPEG2000", "VRT")


def is_gdal_name(path: Path) -> bool:
    """Whether GDAL, not the file system, knows the path: `/vsis3/bucket/scene.tif`, `NETCDF:file.nc:water`."""
    return str(path).startswith("/vsi") or re.match(r"[A-Z][A-Z0-9_]+:", str(path)) is not None


def gdal_name(text: str) -> Path:
    """Returns GDAL's name of an address, https://, s3://, gs:// or az://, or of what it names itself.

    The address of a web server is encoded, since a path has no double slashes.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if scheme in ("http", "https"):
        return Path(f"/vsicurl?url={quote(text, safe='')}")
    if scheme not in _STORES:
        raise ImageError(f"{text}: unknown scheme {scheme}; give https, {', '.join(_STORES)} or a file")
    return Path(f"/vsi{scheme}/{rest}")


def address(path: Path) -> str:
    """Returns the address of a remote file by its name of `gdal_name`; of any other file its path."""
    text = str(path)
    if text.startswith("/vsicurl?url="):
        return unquote(text.partition("=")[2])
    found = re.match(rf"/vsi({'|'.join(_STORES)})/(.*)", text)
    return f"{found[1]}://{found[2]}" if found else text


def is_whole(data: bytes) -> bool:
    """Whether `data` is a JPEG or a PNG that ends as it should; OpenCV fills up a truncated one with grey."""
    form = detect_format(data)
    if form == "JPEG":
        return data[-64:].rstrip(b"\0\r\n ").endswith(b"\xff\xd9")
    return form == "PNG" and b"IEND" in data[-16:]


def is_image_file(path: Path, also: frozenset[str] = frozenset()) -> bool:
    """Whether a path is a file with the suffix of an image, or one of `also`, and not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES | also and not path.name.startswith(".") and path.is_file()
