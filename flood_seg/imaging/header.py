"""What a file says of itself before its pixels are read: format, channels, depth, orientation, place on the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flood_seg.imaging.raster import open_raster
from flood_seg.imaging.read import is_raster, read_header

if TYPE_CHECKING:
    from pathlib import Path

# Suffixes of each format, the usual one first.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
}
LOSSY = frozenset({"JPEG", "MPO"})


@dataclass(frozen=True)
class Header:
    """Of an image file.

    Attributes:
        format: as Pillow calls it, `TIFF` or `JPEG2000` of a raster.
        channels: `RGB`, `RGBA`, `L` (grey), `P` (palette), ... of a photo; `4 bands` of a raster.
        depth: of a value, `8 bit`, `uint16`, ...
        orientation: EXIF's, 1 to 8; 1 is upright.
        crs: of a raster, as text; empty where there is none.
        transform: of a raster's pixels to the map, six numbers; None where it has no place there.
        size: height and width in pixels, as they lie in the file.
    """

    format: str
    channels: str
    depth: str
    size: tuple[int, int]
    orientation: int = 1
    crs: str = ""
    transform: tuple[float, ...] | None = None

    def suffix_fits(self, path: Path) -> bool:
        """Whether the file's name ends as its content asks for."""
        return path.suffix.lower() in SUFFIXES.get(self.format, (path.suffix.lower(),))


def describe_file(path: Path) -> Header:
    """Reads an image's header.

    Raises:
        ImageError: the file is missing, empty or no image.
    """
    return _of_raster(path) if is_raster(path) else _of_photo(path)


def _of_photo(path: Path) -> Header:
    found = read_header(path)
    sixteen = found.mode.startswith("I")
    return Header(found.format, "L" if sixteen else found.mode, "16 bit" if sixteen or found.deep else "8 bit",
                  found.size, found.orientation)  # fmt: skip


def _of_raster(path: Path) -> Header:
    with open_raster(path) as source:
        placed = not source.transform.is_identity
        return Header(
            "JPEG2000" if source.driver.startswith("JP2") else "TIFF" if source.driver == "GTiff" else source.driver,
            f"{source.count} bands" if source.count > 1 else "1 band",
            source.dtypes[0],
            (source.height, source.width),
            crs=source.crs.to_string() if source.crs else "",
            transform=tuple(source.transform)[:6] if placed else None,
        )
