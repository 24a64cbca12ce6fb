"""Reads windows of the files of a catalogue, over the network, on whatever grid is asked for."""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.imaging.raster import equals
from flood_seg.imaging.source import gdal_name
from flood_seg.scenes.stac_assets import named_asset
from flood_seg.workshop.catalog.area import WGS84, Area

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pystac import Item
    from rasterio.crs import CRS
    from rasterio.io import DatasetReader
    from rasterio.transform import Affine
    from rasterio.windows import Window

    from flood_seg.config.schema.catalog import CollectionConfig, SceneConfig


@dataclass(frozen=True)
class PixelGrid:
    """The pixels of a file: a coordinate reference system in metres, north up."""

    crs: CRS
    transform: Affine
    height: int
    width: int

    @classmethod
    def over(cls, area: Area, dataset: DatasetReader, resolution: float) -> PixelGrid:
        """Lays a grid over an area: in the UTM zone of a file, and in line with its pixels.

        A file in degrees or feet has no such zone: the grid is then in the zone of the area's centre.
        """
        from rasterio.crs import CRS
        from rasterio.transform import from_origin
        from rasterio.warp import transform_bounds

        crs, left, top = dataset.crs, dataset.transform.c, dataset.transform.f
        if crs.is_geographic or crs.linear_units_factor[1] != 1:
            zone = int(((area.west + area.east) / 2 + 180) // 6) % 60 + 1
            crs, left, top = CRS.from_epsg((32700 if area.south + area.north < 0 else 32600) + zone), 0, 0
        west, south, east, north = transform_bounds(WGS84, crs, *area, densify_pts=21)
        tolerance = 1e-6  # of a pixel, so that an area in line with the pixels gets no further ones
        first_col, last_col = (west - left) / resolution + tolerance, (east - left) / resolution - tolerance
        first_row, last_row = (top - north) / resolution + tolerance, (top - south) / resolution - tolerance
        col, row = int(np.floor(first_col)), int(np.floor(first_row))
        transform = from_origin(left + col * resolution, top - row * resolution, resolution, resolution)
        return cls(crs, transform, int(np.ceil(last_row)) - row, int(np.ceil(last_col)) - col)

    def holds(self, dataset: DatasetReader) -> bool:
        """Whether the pixels of a file are pixels of the grid, which do not have to be interpolated."""
        size = self.transform.a
        shift = (dataset.transform.c - self.transform.c) / size, (dataset.transform.f - self.transform.f) / size
        return (
            dataset.crs == self.crs and dataset.res == (size, size) and np.allclose(shift, np.round(shift), atol=1e-3)
        )


@dataclass(frozen=True)
class BandFile:
    """The file of a band of one item.

    Attributes:
        item: its name.
        band: its name.
        href: the address.
        number: of the band in the file, from 1.
        name: what GDAL opens: the address with its token.
        gain: the value is the stored one times this ...
        offset: ... plus this.
        categorical: whether its values are classes.
        nodata: the value that stands for no data where the file does not say so; None: all values are data.
        options: of GDAL.
    """

    item: str
    band: str
    href: str
    number: int
    name: str
    gain: float
    offset: float
    categorical: bool
    nodata: float | None
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.item}, {self.band} ({self.href})"

    @contextmanager
    def open(self, resolution: float = 0) -> Iterator[DatasetReader]:
        """Yields the opened file, or its smallest overview that is not coarser than a resolution in metres.

        Raises:
            ImageError: what rasterio raises, in the body too; it names the file without its token.
        """
        rasterio = import_rasterio()
        try:
            with rasterio.Env(**self.options), ExitStack() as stack:
                dataset = stack.enter_context(rasterio.open(self.name))
                if not 1 <= self.number <= dataset.count:
                    raise ImageError(f"{self}: has {dataset.count} bands, not number {self.number}")
                if dataset.crs is None:
                    raise ImageError(f"{self}: does not say its coordinate reference system")
                finer = [factor for factor in dataset.overviews(self.number) if factor * dataset.res[0] <= resolution]
                if finer and dataset.crs.is_projected:
                    dataset = stack.enter_context(rasterio.open(self.name, overview_level=len(finer) - 1))
                yield dataset
        except rasterio.errors.RasterioError as error:
            reason = re.sub(r"\?[^\s'\"]*", "", " ".join(str(error.__cause__ or error).split()))
            raise ImageError(f"{self}: cannot be read ({reason}); try again, or leave that date out") from error

    def read(self, grid: PixelGrid, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Reads a window of a grid.

        Pixels in line with the grid's are read as they are, others are interpolated bilinearly, or are the nearest ones
        of a categorical band.

        Returns:
            the stored values [height, width], 0 outside of a file without nodata value, and where they are neither 0
            there nor the nodata value, bool [height, width].

        Raises:
            ImageError: the file is missing, damaged, or cannot be fetched.
        """
        from rasterio.enums import Resampling
        from rasterio.vrt import WarpedVRT

        with self.open(grid.transform.a) as dataset:
            nodata = self.nodata if dataset.nodata is None else dataset.nodata
            with WarpedVRT(
                dataset, crs=grid.crs, transform=grid.transform, height=grid.height, width=grid.width,
                src_nodata=nodata, nodata=nodata,
                resampling=Resampling.nearest if self.categorical or grid.holds(dataset) else Resampling.bilinear,
            ) as warped:  # fmt: skip
                values = warped.read(self.number, window=window)
        valid = ~equals(values, nodata or 0)
        return values, valid & np.isfinite(values) if values.dtype.kind == "f" else valid


def band_files(item: Item, config: SceneConfig, token: str) -> list[BandFile]:
    """Returns the file of each band of an item.

    Raises:
        DataError: the item lacks an asset.
    """
    collection, offset = config.collection, _offset(item, config.collection)
    files = []
    for band in config.bands:
        advice = (
            f"it has {', '.join(item.assets)}; leave the band out of --bands, or set "
            f"catalog.collections.{config.scene.collection}.assets.{band}"
        )
        key, number, _ = named_asset(item, collection.assets[band], band, advice)
        href = item.assets[key].get_absolute_href() or item.assets[key].href
        name = str(gdal_name(f"{href}?{token}" if token else href))
        categorical = band in collection.categorical
        gain, added = (1.0, 0.0) if categorical else (collection.gain, offset)
        files.append(
            BandFile(
                item.id, band, href, 1 if number is None else number, name, gain, added, categorical, collection.nodata,
                _options(config),
            )
        )  # fmt: skip
    return files


def _offset(item: Item, collection: CollectionConfig) -> float:
    """Returns what is added to an item's values.

    The digital numbers of Sentinel-2 are 1000 higher since processing baseline 04.00 of January 2022.
    """
    if collection.offset_applied and item.properties.get(collection.offset_applied):
        return 0.0
    old = any(str(item.properties.get(name, "")) < first for name, first in collection.offset_from.items())
    return 0.0 if old else collection.offset


def _options(config: SceneConfig) -> dict[str, Any]:
    """Returns GDAL's options: only what is asked for is read, and a server that stops answering ends the reading."""
    seconds, retries = str(max(1, round(config.scene.timeout))), str(config.scene.retries)
    return {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
        "GDAL_HTTP_CONNECTTIMEOUT": seconds,
        "GDAL_HTTP_LOW_SPEED_TIME": seconds,
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",  # byte per second
        "GDAL_HTTP_MAX_RETRY": retries,
        "GDAL_HTTP_RETRY_DELAY": "1",
        **config.catalog.gdal,
    }
