"""What an image says of itself before its pixels are read: format, channels, depth, size, orientation, georeference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flood_seg.imaging.decode import enough_to_decode, exif_orientation, open_with_pillow, read_encoded
from flood_seg.imaging.encoded import has_16_bits
from flood_seg.imaging.gdal import open_raster
from flood_seg.imaging.source import SUFFIXES, ImageInput, ImageSource, detect_format, is_raster

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Header:
    """The header of an image.

    Attributes:
        format: as Pillow calls it; `TIFF`, `JPEG2000` or GDAL's driver of a raster.
        channels: `RGB`, `RGBA`, `L` (grey), `P` (palette), ... of a photo; `4 bands` of a raster.
        depth: of a value, `8 bit`, `uint16`, ...
        size: height and width in pixels as they are stored.
        orientation: EXIF's, 1 to 8; 1 is upright.
        crs: coordinate reference system of a raster, an authority's code or WKT; empty where it has none.
        transform: from pixels to coordinates, a, b, c, d, e, f of the affine transform; None where the image is not
            georeferenced.
    """

    format: str
    channels: str
    depth: str
    size: tuple[int, int]
    orientation: int = 1
    crs: str = ""
    transform: tuple[float, ...] | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width in pixels as the image is decoded."""
        return self.size[::-1] if self.orientation in (5, 6, 7, 8) else self.size

    def suffix_fits(self, path: Path) -> bool:
        """Whether the suffix of a name is one of the format's."""
        return path.suffix.lower() in SUFFIXES.get(self.format, (path.suffix.lower(),))


def read_header(given: ImageInput) -> Header:
    """Reads the header of an image: of a raster with GDAL, else with Pillow.

    Raises:
        ImageError: the file is missing, empty, no image, or too large.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    return _of_raster(source) if is_raster(source) else _of_photo(source)


def _of_photo(source: ImageSource) -> Header:
    with enough_to_decode(source):
        data = read_encoded(source)
        with open_with_pillow(source, data) as opened:
            orientation, size, form = exif_orientation(opened), (opened.height, opened.width), str(opened.format)
            mode = "L" if opened.mode.startswith("I") else opened.mode
            # Pillow says RGB of a PNG of 16 bits a channel.
            deep = mode != opened.mode or (detect_format(data) == "PNG" and has_16_bits(data))
    return Header(form, mode, "16 bit" if deep else "8 bit", size, orientation)


def _of_raster(source: ImageSource) -> Header:
    with open_raster(source) as dataset:
        driver = dataset.driver
        return Header(
            "JPEG2000" if driver.startswith("JP2") else "TIFF" if driver == "GTiff" else driver,
            f"{dataset.count} bands" if dataset.count > 1 else "1 band",
            dataset.dtypes[0],
            (dataset.height, dataset.width),
            crs=dataset.crs.to_string() if dataset.crs else "",
            transform=None if dataset.transform.is_identity else tuple(dataset.transform)[:6],
        )
