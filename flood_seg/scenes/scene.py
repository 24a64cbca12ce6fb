"""A scene to be segmented: a raster that is read by windows, or a photo that is decoded once."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from flood_seg.errors import ImageError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.gdal import (
    ground_sample_distance,
    import_rasterio,
    is_located_by_gcps,
    open_file,
    open_raster,
    raster_errors,
    read_georeference,
    rectify,
)
from flood_seg.imaging.preprocess import resize_image, resize_valid, shrunk
from flood_seg.imaging.raster import Raster, Window
from flood_seg.imaging.read import find_data, read_bands
from flood_seg.imaging.source import IMAGE_SUFFIXES, ImageSource, address, is_gdal_name, is_raster
from flood_seg.resources import enough_memory
from flood_seg.scenes.grid import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rasterio.io import DatasetReader

    from flood_seg.imaging.source import ImageInput


_IN_PIXELS = "results are in its pixels"
SOURCE_TAG = "STAC_ITEM"  # of a raster: where the item that it stands for is


class KeptOpen:
    """Opens raster files as `open_raster`, once for each thread, and keeps them open until `close`.

    A georeferenced file that lies elsewhere than the scene, in another CRS for example, or that is located by ground
    control points is warped to the scene's grid as it is read.
    """

    def __init__(self, grid: Mapping[str, Any] | None = None, tolerance: float = 0.5) -> None:
        """Takes the scene's crs, transform, width and height; None: nothing is warped.

        A file whose edges lie within `tolerance` pixels of the scene's is not warped either.
        """
        self._local, self._opened, self._grid, self._tolerance = threading.local(), list[Any](), grid, tolerance

    @contextmanager
    def __call__(self, given: ImageInput) -> Iterator[DatasetReader]:
        """Yields the file opened in this thread; raises as `open_raster`."""
        source = ImageSource.of(given)
        assert isinstance(source.content, Path)
        known: dict[str, DatasetReader] = self._local.__dict__
        with raster_errors(source), import_rasterio().Env():  # by which GDAL's warnings are not printed
            if source.name not in known:
                dataset = open_file(source.content)
                self._opened.append(dataset)
                known[source.name] = self._warped(dataset)
            yield known[source.name]

    def _warped(self, dataset: DatasetReader) -> DatasetReader:
        from rasterio.enums import Resampling
        from rasterio.transform import array_bounds
        from rasterio.vrt import WarpedVRT

        if self._grid is None:
            return dataset
        if is_located_by_gcps(dataset):
            dataset = cast("DatasetReader", rectify(dataset))
            self._opened.append(dataset)
        if dataset.crs is None:
            return dataset
        bounds = array_bounds(self._grid["height"], self._grid["width"], self._grid["transform"])
        pixel = math.sqrt(abs(self._grid["transform"].determinant))
        if dataset.crs == self._grid["crs"] and np.allclose(
            dataset.bounds, bounds, rtol=0, atol=pixel * self._tolerance
        ):
            return dataset
        warped: DatasetReader = WarpedVRT(dataset, resampling=Resampling.bilinear, **self._grid)
        self._opened.append(warped)
        return warped

    def close(self) -> None:
        """Closes the files of all threads."""
        for dataset in reversed(self._opened):
            dataset.close()


@dataclass
class Scene:
    """An opened scene; a context manager that closes its files.

    Attributes:
        path: of the file.
        source: where it comes from: the address of a remote file or of a STAC item, or the path.
        height: in pixels.
        width: in pixels.
        bands: what is read of it.
        georeference: entries of rasterio's profile; see `read_georeference`.
        ground_sample_distance: size of a pixel in metres, at the scene's centre; None: it is not georeferenced.
        time: when it was taken, in UTC, as its tags say; None: unknown.
        warnings: on its place.
        rectified: by what it is warped as it is read, for users; empty: it is not.
    """

    path: Path
    source: str
    height: int
    width: int
    bands: BandSelection
    georeference: dict[str, Any]
    ground_sample_distance: float | None
    time: datetime | None = None
    warnings: list[str] = field(default_factory=list)
    rectified: str = ""
    _photo: Raster | None = None
    _opener: KeptOpen = field(default_factory=KeptOpen)

    @classmethod
    def open(cls, path: Path, bands: BandSelection, *, rectified: bool = True) -> Scene:
        """Opens a scene.

        Args:
            path: of the file.
            bands: what is read of it.
            rectified: whether a raster that is located by ground control points is warped to their CRS.

        Raises:
            ImageError: the file is missing or damaged, has not the bands, or is a photo of too many pixels.
            OutOfMemoryError: there is not enough memory for a photo.
        """
        if path.suffix.lower() in IMAGE_SUFFIXES and not is_raster(path):
            with enough_memory(str(path), "convert it to GeoTIFF, which is read by windows, with gdal_translate"):
                photo = read_bands(path, bands)
            height, width = photo.values.shape[:2]
            georeference = read_georeference(path, height, width)
            return cls(path, str(path), height, width, bands, georeference, None, None, _photo=photo)
        import_rasterio()  # sets its filter of warnings
        with open_raster(path) as dataset:
            tags = dataset.tags()
            source, time = tags.get(SOURCE_TAG, address(path)), _time(tags)
            height, width = dataset.shape
            georeference = read_georeference(path, height, width)
            scene = cls(path, source, height, width, bands, georeference, None, time)
            scene._locate(dataset, rectified=rectified)
        return scene

    def _locate(self, dataset: DatasetReader, *, rectified: bool) -> None:
        place = self.georeference
        if rectified and is_located_by_gcps(dataset):
            try:
                with rectify(dataset) as warped:
                    self.height, self.width = warped.shape
                    self.georeference = place = {"crs": warped.crs, "transform": warped.transform}
                    self.ground_sample_distance = ground_sample_distance(warped)
                self.rectified = f"by {len(dataset.gcps[0])} ground control points, to {warped.crs.to_string()}"
            except ImageError as error:
                self.warnings.append(f"{error}; {_IN_PIXELS}")
        else:
            self.ground_sample_distance = ground_sample_distance(dataset)
            if rectified and "transform" not in place and "gcps" in place:
                self.warnings.append(
                    f"its ground control points have no CRS; {_IN_PIXELS}; gdal_translate -a_srs sets it"
                )
            elif rectified and "transform" not in place and "rpcs" in place:
                self.warnings.append(
                    f"it is located by RPCs, which need the heights of the ground; {_IN_PIXELS}; rectify it before by "
                    f"gdalwarp -rpc -to RPC_DEM=heights.tif {self.path.name} ortho.tif"
                )
        grid = place | {"height": self.height, "width": self.width}
        self._opener = KeptOpen(grid if place.get("transform") and place["crs"] and not place.get("rpcs") else None)

    def aligned(self, other: Scene) -> Scene:
        """Returns this scene as it is read on the pixels of another; both are georeferenced by a CRS and a transform.

        Beyond its own edges it has no data, or is 0 where its file has no nodata value. To be closed by itself.
        """
        grid = other.georeference | {"height": other.height, "width": other.width}
        return replace(
            self, height=other.height, width=other.width, georeference=other.georeference,
            ground_sample_distance=other.ground_sample_distance, _photo=None, _opener=KeptOpen(grid, tolerance=0.01),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """See `scene_name`."""
        return scene_name(self.path)

    @property
    def is_photo(self) -> bool:
        """Whether it is decoded as a whole, not read by windows."""
        return self._photo is not None

    @property
    def box(self) -> Box:
        """All of its pixels."""
        return Box(0, 0, self.height, self.width)

    def read(self, box: Box) -> Raster:
        """Reads a rectangle; any thread may call it.

        Raises:
            ImageError: the file is damaged there, or has not the bands.
            OutOfMemoryError: there is not enough memory.
        """
        return self.read_window(Window(box.row, box.col, box.height, box.width, (self.height, self.width)))

    def read_window(self, window: Window) -> Raster:
        """Reads a rectangle of the scene, which may be reduced or enlarged to `window.of` (not a photo); see `read`."""
        if self._photo is not None:
            index = Box(window.row, window.col, window.height, window.width).within(self.box)
            valid = None if self._photo.valid is None else self._photo.valid[index]
            return Raster(self._photo.values[index], self._photo.names, valid)
        return read_bands(self.path, self.bands, window, self._opener)

    def find_data(self, box: Box) -> np.ndarray | None:
        """Returns where a rectangle may have data, bool [h, w], much faster than `read` where it has none.

        None: everywhere, or it is not known. In a part that is False as a whole `read` finds no data. Any thread may
        call it.
        """
        if self._photo is not None:
            return None if self._photo.valid is None else self._photo.valid[box.within(self.box)]
        if self.rectified:  # by GDAL's approximation, in which the edge of the data depends on what is read at once
            return None
        middle = Box(box.row + box.height // 2, box.col + box.width // 2, 1, 1)
        try:
            for part in (middle, box):  # where there is data, as almost everywhere, one tile of the file is enough
                window = Window(part.row, part.col, part.height, part.width, (self.height, self.width))
                found = find_data(self.path, self.bands, window, self._opener)
                if found is None or (part is middle and found.all()):
                    return None
        except ImageError:  # of this place; `read` says which window it concerns
            return None
        return found

    def preview(self, longest: int) -> Raster:
        """Reads the whole scene, its longer side reduced to `longest` pixels at most; raises as `read`."""
        height, width = shrunk((self.height, self.width), longest)
        if self._photo is not None:
            valid = None if self._photo.valid is None else resize_valid(self._photo.valid, height, width)
            return Raster(resize_image(self._photo.values, height, width), self._photo.names, valid)
        window = Window(0, 0, height, width, (height, width))
        return read_bands(self.path, self.bands, window, self._opener)

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its files."""
        self._opener.close()


def scene_name(path: Path) -> str:
    """Returns the name of a scene's file without its suffix, of whatever GDAL opens."""
    text = address(path).partition("?")[0] if is_gdal_name(path) else str(path)
    return Path(Path(text).name.rpartition(":")[2].strip('"')).stem or "scene"


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths, or two names of GDAL's, are those of the same file or folder."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def _time(tags: Mapping[str, str]) -> datetime | None:
    """Parses the time in TIFF's tag, or in the one that GDAL's drivers of satellite products have."""
    for name, form in (("ACQUISITIONDATETIME", "%Y-%m-%d %H:%M:%S"), ("TIFFTAG_DATETIME", "%Y:%m:%d %H:%M:%S")):
        with suppress(ValueError):
            return datetime.strptime(tags.get(name, "").strip(), form).replace(tzinfo=UTC)
    return None
