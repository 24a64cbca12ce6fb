"""Opens and writes rasters with GDAL, by rasterio (the `geo` extra); its errors become those of flood-seg."""

from __future__ import annotations

import math
import os
import re
import warnings
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import FormatError, ImageError, OutputError
from flood_seg.files import atomic_path, regular
from flood_seg.imaging.decode import exif_orientation, open_with_pillow
from flood_seg.imaging.encoded import check_size
from flood_seg.imaging.source import SUFFIXES, ImageInput, ImageSource, detect_format, is_gdal_name, is_raster
from flood_seg.object_store import s3_endpoint
from flood_seg.resources import enough_memory
from flood_seg.untrusted import OPTIONS, RASTER_DRIVERS, is_untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from rasterio.crs import CRS
    from rasterio.io import DatasetReader, DatasetWriter
    from rasterio.vrt import WarpedVRT

    from flood_seg.classes import Color

# For the whole process, unless the user says otherwise; GDAL's own cache of decoded blocks is a twentieth of the
# machine's memory, more than all else that a scene takes.
_OPTIONS = {
    "GDAL_CACHEMAX": "96",  # MB; by default a twentieth of the memory
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",  # byte per second: a server that stops sending ends the reading ...
    "GDAL_HTTP_LOW_SPEED_TIME": "30",  # ... after so many seconds
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_RETRY_DELAY": "1",
}
# While a remote file is opened: files beside it, such as the world file of a local one, are not searched for, and what
# is read of it is forgotten when it is closed, since it may be another one when it is opened again.
_REMOTE_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "VSI_CACHE": "TRUE",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl:/vsis3:/vsigs:/vsiaz",
}
GEOTIFF = SUFFIXES["TIFF"]
METRES_PER_DEGREE = 111_320.0  # of latitude, on average over WGS 84

# That may read bytes: none of them follows a name in its content to another file, as a VRT does.
_DRIVERS = {"TIFF": ["GTiff"], "JPEG2000": ["JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID"]}


@cache
def has_rasterio() -> bool:
    """Whether the `geo` extra is installed."""
    return find_spec("rasterio") is not None


@cache
def import_rasterio() -> Any:
    """Imports rasterio, which shall not warn of images that are not georeferenced.

    For the whole process: Python's filters of warnings are not for single threads. So are GDAL's options, which it
    reads from the environment; the address of an S3 server is that of AWS_ENDPOINT_URL.
    """
    options = dict(_OPTIONS)
    if endpoint := s3_endpoint():
        scheme, _, host = endpoint.partition("://")
        options |= {"AWS_S3_ENDPOINT": host, "AWS_HTTPS": "YES" if scheme == "https" else "NO"}
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"  # servers of one's own have no name per bucket
    for name, value in options.items():
        os.environ.setdefault(name, value)
    import rasterio

    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio


@contextmanager
def open_raster(given: ImageInput) -> Iterator[DatasetReader]:
    """Yields a file, or the bytes of a TIFF or a JPEG 2000, opened by rasterio.

    What rasterio raises, in the body too, becomes an ImageError.

    Raises:
        ImageError: the file is missing or damaged, or the bytes are of another format.
        OutOfMemoryError: there is not enough memory.
    """
    source = ImageSource.of(given)
    content = source.content
    with raster_errors(source), ExitStack() as stack:
        if isinstance(content, Path):
            dataset = stack.enter_context(open_file(content))
        else:
            drivers = _DRIVERS.get(detect_format(content))
            if drivers is None:
                raise FormatError(f"{source}: neither a TIFF nor a JPEG 2000; give another raster as a file")
            memory = stack.enter_context(import_rasterio().MemoryFile(content, filename="image"))
            dataset = stack.enter_context(memory.open(driver=drivers))
            _check_blocks(source, dataset)
        yield dataset


def open_file(path: Path, *, untrusted: bool | None = None) -> DatasetReader:
    """Opens a file, which the caller closes, in whatever thread; raises as `open_raster`.

    Args:
        path: of the file.
        untrusted: whether it came from outside, see `flood_seg.untrusted`; None: by the process.
    """
    source = ImageSource(path)
    outside = is_untrusted() if untrusted is None else untrusted
    with raster_errors(source):
        if not is_gdal_name(path):
            with source.os_errors():
                regular(path)
        elif outside:
            raise ImageError(f"{source}: only files are read from outside; fetch it first")
        dataset = _open_restricted(path) if outside else _open(path)
        _check_blocks(source, dataset)
        return dataset


def _open(path: Path) -> DatasetReader:
    with _remote_options(path):
        dataset: DatasetReader = import_rasterio().open(path)
        return dataset


def _open_restricted(path: Path) -> DatasetReader:
    """Opens a file from outside with the drivers that read no other one; `rasterio.open` takes a single driver."""
    with import_rasterio().Env(**OPTIONS):
        from rasterio.io import DatasetReader

        return DatasetReader(str(path), driver=list(RASTER_DRIVERS))


def _remote_options(path: Path) -> AbstractContextManager[Any]:
    if not str(path).startswith("/vsi"):
        return nullcontext()
    options = {name: value for name, value in _REMOTE_OPTIONS.items() if name not in os.environ}
    environment: AbstractContextManager[Any] = import_rasterio().Env(**options)
    return environment


@contextmanager
def raster_errors(where: object) -> Iterator[None]:
    """Turns what rasterio raises of a file into an ImageError; raises as `open_raster`."""
    advice = "read it by windows with datamodule=rasters, or close other programs"
    try:
        with enough_memory(str(where), advice):
            yield
    except (import_rasterio().errors.RasterioError, ValueError) as error:
        reason = re.sub(r"/vsimem/[\w-]+/", "", " ".join(str(error.__cause__ or error).split()))
        what = "cannot be read as a raster" if "://" in str(where) else "damaged or no raster"
        raise ImageError(f"{where}: {what} ({reason})") from error


def _check_blocks(where: object, dataset: DatasetReader) -> None:
    """Refuses what is decoded as one and is larger than the image: 261 kB of a TIFF can say tiles of 65536×65536."""
    for height, width in set(dataset.block_shapes):
        if height * width > 4 * dataset.height * dataset.width:
            check_size(f"{where}: its blocks", width, height, "write it anew by gdal_translate -co TILED=YES")


@contextmanager
def create_raster(path: Path, profile: dict[str, Any]) -> Iterator[DatasetWriter]:
    """Yields a raster to be written by rasterio's profile (driver, height, ...), which is there whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as temporary, import_rasterio().open(temporary, "w", **profile) as out:
        yield out


def read_georeference(given: ImageInput, height: int, width: int) -> dict[str, Any]:
    """Returns where an image lies, as entries of rasterio's profile: crs, and transform or gcps, and rpcs.

    Empty where the image is not georeferenced, or is not stored as it is read: turned upright by its EXIF orientation.

    Args:
        given: a file, or the bytes of a TIFF or a JPEG 2000.
        height: of the image as it was read.
        width: of the image as it was read.

    Raises:
        ImageError: a raster cannot be opened any more.
    """
    source = ImageSource.of(given)
    raster = is_raster(source)
    if not raster:
        if isinstance(source.content, bytes):
            return {}
        with open_with_pillow(source, source.read()) as opened:
            if exif_orientation(opened) != 1:
                return {}
    try:
        with open_raster(source) as dataset:
            return _georeference(dataset) if dataset.shape == (height, width) else {}
    except ImageError:
        if raster:
            raise
        return {}  # a format that GDAL does not read, which has no world file


def _georeference(dataset: DatasetReader) -> dict[str, Any]:
    gcps, gcps_crs = dataset.gcps
    entries: dict[str, Any] = {"rpcs": dataset.rpcs} if dataset.rpcs else {}
    if not dataset.transform.is_identity:
        return entries | {"crs": dataset.crs, "transform": dataset.transform}
    unknown = import_rasterio().CRS()  # as rasterio writes points without one
    return entries | ({"crs": gcps_crs or unknown, "gcps": gcps} if gcps else {})


def is_on_earth(crs: CRS | None) -> bool:
    """Whether a coordinate reference system is geographic or projected, not local such as that of a building site."""
    return crs is not None and (crs.is_geographic or crs.is_projected)


def is_located_by_gcps(dataset: DatasetReader) -> bool:
    """Whether a raster has ground control points in a CRS, and no transform."""
    points, crs = dataset.gcps
    return bool(points and crs) and dataset.transform.is_identity


def rectify(dataset: DatasetReader) -> WarpedVRT:
    """Returns a raster warped by the polynomial of its ground control points, as it is read; the caller closes both.

    In the CRS of the points, on the grid that gdalwarp chooses: with one of its own, rasterio does not use the points.

    What it does not cover has no data: by its nodata value, else by an alpha channel after its bands where the values
    are unsigned, NaN where they are real numbers, and their smallest value elsewhere.

    Args:
        dataset: see `is_located_by_gcps`.

    Raises:
        ImageError: the points determine no polynomial.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.enums import ColorInterp, Resampling
    from rasterio.vrt import WarpedVRT

    kind, fill = np.dtype(dataset.dtypes[0]), dict[str, Any]()
    if dataset.nodata is None and ColorInterp.alpha not in dataset.colorinterp:
        smallest = {"f": math.nan, "i": np.iinfo(kind).min if kind.kind == "i" else None}
        fill = {"add_alpha": True} if kind.kind == "u" else {"nodata": smallest[kind.kind]}
    try:
        return WarpedVRT(dataset, resampling=Resampling.bilinear, **fill)
    except (import_rasterio().errors.RasterioError, CPLE_BaseError) as error:
        raise ImageError(f"its ground control points cannot be used ({error})") from error


def ground_sample_distance(dataset: DatasetReader) -> float | None:
    """Returns the root of the area of a raster's pixel at its centre, in metres; None: it is not georeferenced."""
    crs, transform = dataset.crs, dataset.transform
    if not is_on_earth(crs) or transform.is_identity:
        return None
    size = math.sqrt(abs(transform.determinant))
    if not crs.is_geographic:
        return float(size * crs.linear_units_factor[1])
    _, latitude = dataset.xy(dataset.height / 2, dataset.width / 2)
    return float(size * METRES_PER_DEGREE * math.sqrt(max(0.0, math.cos(math.radians(latitude)))))


def stored_blocks(dataset: DatasetReader) -> np.ndarray:
    """Returns which blocks a raster has, bool [rows, columns]; the others of a sparse GeoTIFF are nodata."""
    height, width = dataset.block_shapes[0]
    shape = -(-dataset.height // height), -(-dataset.width // width)
    if dataset.driver != "GTiff":
        return np.ones(shape, bool)
    bands = range(1, dataset.count + 1)
    names = (f"BLOCK_OFFSET_{col}_{row}" for row, col in np.ndindex(shape))
    found = [any(dataset.get_tag_item(name, "TIFF", bidx=band) is not None for band in bands) for name in names]
    return np.array(found, bool).reshape(shape)


def check_lossless(path: Path, what: str = "mask") -> None:
    """Raises OutputError where a file of that name is neither a PNG nor a GeoTIFF."""
    if path.suffix.lower() not in (".png", *GEOTIFF):
        raise OutputError(f"{path}: '{path.suffix}' does not store the {what} exactly; give a .png or .tif")


def utm_32n(west: float, north: float, distance: float) -> dict[str, Any]:
    """Returns a place in UTM zone 32N, as `read_georeference`, by the upper left corner and the size of a pixel."""
    from rasterio.crs import CRS
    from rasterio.transform import from_origin

    return {"crs": CRS.from_epsg(32632), "transform": from_origin(west, north, distance, distance)}


def write_geotiff(
    path: Path,
    bands: np.ndarray,
    georeference: Mapping[str, Any],
    nodata: float | None,
    names: Sequence[str],
    colors: Mapping[int, Color] | None = None,
    time: datetime | None = None,
) -> None:
    """Writes a tiled, compressed GeoTIFF.

    Args:
        path: of the file.
        bands: of a number type of GDAL's [H, W, bands].
        georeference: of `read_georeference`.
        nodata: the value of pixels without data; None: there is none.
        names: of the bands; empty: they have none.
        colors: RGB by value, for one band of uint8; None: no colour table.
        time: when it was taken, in UTC; None: unknown.

    Raises:
        OutputError: the file cannot be written.
    """
    height, width, count = bands.shape
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": count, "dtype": bands.dtype, "nodata": nodata,
        "tiled": True, "compress": "deflate", "predictor": 3 if bands.dtype.kind == "f" else 1, "bigtiff": "if_safer",
    }  # fmt: skip
    with create_raster(path, profile | dict(georeference)) as out:
        if colors:
            out.write_colormap(1, {value: (*color, 255) for value, color in colors.items()})
        if time:
            out.update_tags(TIFFTAG_DATETIME=time.strftime("%Y:%m:%d %H:%M:%S"))
        for number, name in enumerate(names, 1):  # first, so that the file ends in pixels: see `is_readable`
            out.set_band_description(number, name)
        out.write(np.moveaxis(bands, 2, 0))


def is_readable(path: Path) -> bool:
    """Whether each block of a raster can be decoded; False too where the file is missing."""
    try:
        with open_raster(path) as dataset:
            for _, window in dataset.block_windows(1):
                dataset.read(window=window)
    except ImageError:
        return False
    return True
