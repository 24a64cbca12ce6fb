"""Cuts one image, with its mask, into tiles.

Rows of tiles are read at once, in runs of at most 32 MB, so that a raster of any size and
block layout is read once in sequence, and memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.config.schema.workshop import TileConfig
from flood_seg.console import track
from flood_seg.data.pairing import Pair, SampleWindow
from flood_seg.data.reading import SampleReader, check_aspect, resize_mask
from flood_seg.data.split import hash_name
from flood_seg.errors import ImageError
from flood_seg.imaging.bands import sibling_files
from flood_seg.imaging.gdal import create_raster
from flood_seg.imaging.write import write_image
from flood_seg.resources import cores
from flood_seg.workshop.label_encoding import LabelEncoding
from flood_seg.workshop.output_layout import IMAGES, MASKS, OutputLocation
from flood_seg.workshop.tiles.grid import Tile, tile_rows
from flood_seg.workshop.tiles.source import PhotoSource, Source, open_source

MAX_READ_BYTES = 32 << 20  # bytes that a thread reads at once


@dataclass(frozen=True)
class InputImage:
    """An image that is cut, and its mask where it is labelled; its tiles have names that begin with that of `place`."""

    pair: Pair
    place: OutputLocation
    labelled: bool

    def discard_tiles(self) -> None:
        """Removes the tiles that were written."""
        folder = self.place.root / (self.place.part or "")
        for file in folder.glob(f"*/{escape(self.place.name)}_r[0-9]*_c[0-9]*.*"):
            file.unlink()


@dataclass(frozen=True)
class TiledImage:
    """An image that was cut: its entry and its tiles' entries of the index, and how many tiles were left out."""

    record: dict[str, Any]
    tiles: list[dict[str, Any]]
    skipped: int


def cut_image(image: InputImage, reader: SampleReader, encoding: LabelEncoding, options: TileConfig) -> TiledImage:
    """Writes the tiles of an image.

    Raises:
        ImageError: it cannot be read; some tiles may have been written.
        DataError: its mask has a value that the labels do not list.
    """
    with ExitStack() as stack:
        writer = _TileWriter(image, reader, encoding, options, stack)
        source = writer.source
        runs = list(_runs(tile_rows(source.shape, options.size, options.overlap, options.edge), source))
        with ThreadPoolExecutor(options.workers or cores()) as pool:
            written = track(pool.map(writer.write_run, runs), f"Cutting {image.pair.stem}", len(runs))
            tiles = [entry for entries in written for entry in entries]
    crs, matrix = source.profile.get("crs"), source.profile.get("transform")
    record = {
        "source": image.pair.stem, "file": str(image.pair.image), "height": source.shape[0], "width": source.shape[1],
        "crs": crs.to_wkt() if crs else None, "transform": list(matrix)[:6] if matrix is not None else None,
    }  # fmt: skip
    return TiledImage(record, tiles, sum(map(len, runs)) - len(tiles))


def _runs(rows: Sequence[Sequence[Tile]], source: Source) -> Iterator[list[Tile]]:
    """Yields neighbouring tiles of a row that are read at once."""
    bands, dtype = source.profile.get("count", 4), np.dtype(source.profile.get("dtype", "uint8"))
    for row in rows:
        bytes_per_column = row[0].height * bands * dtype.itemsize
        run: list[Tile] = []
        for tile in row:
            if run and (tile.col + tile.width - run[0].col) * bytes_per_column > MAX_READ_BYTES:
                yield run
                run = []
            run.append(tile)
        yield run


class _TileWriter:
    """Reads parts of an image, of its mask and of its bands in sibling folders, and writes them as tiles."""

    def __init__(
        self, image: InputImage, reader: SampleReader, encoding: LabelEncoding, options: TileConfig, stack: ExitStack
    ) -> None:
        self._image, self._reader, self._encoding, self._options = image, reader, encoding, options
        self.source = open_source(image.pair.image, stack, reader.bands.nodata)
        self._siblings = self._open_siblings(stack) if image.labelled else {}
        self._mask: np.ndarray | None = None  # that of a raster is read in parts
        if image.labelled and isinstance(self.source, PhotoSource):
            mask = reader.read_mask(image.pair)
            check_aspect(self.source.shape, mask.shape)
            self._mask = resize_mask(mask, *self.source.shape)

    def _open_siblings(self, stack: ExitStack) -> dict[str, Source]:
        """Opens the files of other bands; raises ImageError where one is missing, or of another size."""
        bands, path = self._reader.bands, self._image.pair.image
        opened = {folder: open_source(file, stack, bands.nodata) for folder, file in sibling_files(path, bands).items()}
        for folder, other in opened.items():
            if other.shape != self.source.shape:
                (height, width), (down, across) = self.source.shape, other.shape
                raise ImageError(
                    f"{path}: is {width}×{height}, its bands in {folder} are {across}×{down}; bring them to "
                    "one resolution first, by gdalwarp for example"
                )
        return opened

    def write_run(self, run: Sequence[Tile]) -> list[dict[str, Any]]:
        """Reads what neighbouring tiles of a row cover; returns the index's entries of those that are written."""
        first, last = run[0], run[-1]
        height, width = self.source.shape
        right = min(last.col + last.width, width)
        part = Tile(first.row, first.col, min(first.height, height - first.row), right - first.col)
        values, valid = self.source.read(part)
        labels = self._read_labels(part)
        entries = dict[Tile, dict[str, Any]]()
        for tile in run:
            cols = slice(tile.col - part.col, tile.col - part.col + tile.width)
            its_labels = None if labels is None else labels[:, cols]
            if entry := self._write_tile(tile, values[:, :, cols], valid[:, cols], its_labels):
                entries[tile] = entry
        for folder, sibling in self._siblings.items():
            bands, _ = sibling.read(part)
            for tile, entry in entries.items():
                left = tile.col - part.col
                self._write(
                    self._file(entry["tile"], folder, sibling), bands[:, :, left : left + tile.width], tile, sibling
                )
        return list(entries.values())

    def _read_labels(self, part: Tile) -> np.ndarray | None:
        if not self._image.labelled:
            return None
        if self._mask is not None:
            return self._mask[part.row : part.row + part.height, part.col : part.col + part.width]
        shape = self.source.shape
        size = max(part.height, part.width)
        window = SampleWindow(part.row, part.col, part.height, part.width, shape, size, (0, 0, *shape))
        return self._reader.read_mask(replace(self._image.pair, window=window))

    def _write_tile(
        self, tile: Tile, values: np.ndarray, valid: np.ndarray, labels: np.ndarray | None
    ) -> dict[str, Any] | None:
        """Writes a tile and its mask; returns its entry of the index, or None where it is left out."""
        data = float(valid.mean())  # of the pixels inside the image
        name = f"{self._image.place.name}_r{tile.row:06d}_c{tile.col:06d}"
        file, foreground, ignored = self._file(name, IMAGES, self.source), None, None
        if labels is not None:
            if not self.source.keeps_validity(file.suffix):
                labels = np.where(valid, labels, np.uint8(IGNORED))
            foreground = float(((labels > 0) & (labels != IGNORED)).mean())
        if data < self._options.min_data or (foreground == 0 and not _is_kept(name, self._options.empty)):
            return None
        self._write(file, values, tile, self.source)
        if labels is not None:
            labels = _padded(labels[None], tile, IGNORED)  # padding is not background
            ignored = float((labels == IGNORED).mean())  # not rounded: a single pixel counts
            nodata = self._encoding.ignored if ignored else None  # declared in the GeoTIFF
            profile = self.source.profile | {"nodata": nodata}
            mask_file = self._file(name, MASKS, self.source)
            _write_values(mask_file, self._encoding.encode(labels), tile, profile, self._options.compress)
        return {
            "tile": name, "source": self._image.pair.stem, "part": self._image.place.part or "",
            "row": tile.row, "col": tile.col, "height": tile.height, "width": tile.width, "data_share": round(data, 6),
            "foreground_share": None if foreground is None else round(foreground, 6), "ignored_share": ignored,
        }  # fmt: skip

    def _file(self, name: str, folder: str, source: Source) -> Path:
        form = self._options.format
        suffix = source.suffix if form == "auto" else f".{form}"
        return replace(self._image.place, name=name).file(folder, suffix)

    def _write(self, path: Path, values: np.ndarray, tile: Tile, source: Source) -> None:
        """Writes a part of a source, which ends where the image does, as a tile."""
        compress = self._options.compress
        predictor = {"predictor": 2} if compress != "none" and values.dtype.kind in "iu" else {}
        values = _padded(values, tile, source.profile.get("nodata") or 0)
        _write_values(path, values, tile, source.profile | predictor, compress, source)


def _is_kept(name: str, share: float) -> bool:
    """Whether a tile that is all background is kept, deterministically by its name."""
    return int.from_bytes(hash_name(name)[:4], "big") < share * 2**32


def _padded(values: np.ndarray, tile: Tile, fill: float) -> np.ndarray:
    below, beside = tile.height - values.shape[1], tile.width - values.shape[2]
    return np.pad(values, ((0, 0), (0, below), (0, beside)), constant_values=fill) if below or beside else values


def _write_values(
    path: Path, values: np.ndarray, tile: Tile, profile: dict[str, Any], compress: str, source: Source | None = None
) -> None:
    """Writes bands, any dtype [bands, H, W], as GeoTIFF, with the source's names of bands, or as PNG."""
    if path.suffix != ".tif":
        planes = np.ascontiguousarray(np.moveaxis(values, 0, 2))
        if planes.dtype not in (np.uint8, np.uint16) or planes.shape[2] not in (1, 3):
            raise ImageError(
                f"{path.name}: a PNG holds 1 or 3 bands of 8 or 16 bits, not {planes.shape[2]} of {planes.dtype}; "
                "use tile.format=tif"
            )
        write_image(path, planes[:, :, 0] if planes.shape[2] == 1 else planes)
        return
    from rasterio.windows import Window as RasterWindow
    from rasterio.windows import transform

    profile = {"driver": "GTiff"} | profile | {
        "count": len(values), "dtype": values.dtype, "height": tile.height, "width": tile.width, "compress": compress,
    }  # fmt: skip
    if "transform" in profile:
        window = RasterWindow(tile.col, tile.row, tile.width, tile.height)
        profile["transform"] = transform(window, profile["transform"])
    with create_raster(path, profile) as out:
        if source is not None and source.band_names:
            out.colorinterp = source.band_colors
            out.descriptions = source.band_names
        out.write(values)
