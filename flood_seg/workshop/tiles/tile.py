"""The data tile verb: cuts large images, with their masks, into tiles that training and `infer` take.

Rows of tiles are read at once, in pieces of at most 32 MB, so that a raster of any size is read once from its
beginning to its end whatever its blocks are, and memory does not grow with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.console import counted, say, track
from flood_seg.data.layout import has_masks, set_names, warn_of
from flood_seg.data.pairing import Pair, SampleWindow
from flood_seg.data.reading import SampleReader, check_aspect, resize_mask
from flood_seg.data.split import hash_name
from flood_seg.errors import DataError, FindingsError, ImageError, OutputError, UsageError
from flood_seg.files import check_name, write_csv, write_json
from flood_seg.imaging.bands import sibling_files
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.imaging.gdal import create_raster, import_rasterio
from flood_seg.imaging.source import is_image_file
from flood_seg.imaging.write import write_image
from flood_seg.resources import cores
from flood_seg.skipped import CHECK, LeftOut
from flood_seg.workshop.label_coding import Coding, image_overrides, on_command_line
from flood_seg.workshop.output_layout import (
    IMAGES,
    MASKS,
    OutputLocation,
    all_or_nothing,
    find_with_parts,
    output_locations,
)
from flood_seg.workshop.tiles.grid import Tile, tile_rows
from flood_seg.workshop.tiles.source import PhotoSource, RasterSource, open_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flood_seg.config.schema import DataConfig
    from flood_seg.config.schema.workshop import TileConfig

INDEX = "index.json"
MAX_READ_BYTES = 32 << 20  # bytes that a thread reads at once
GDAL_CACHE_BYTES = 64 << 20  # bytes; by default GDAL takes 5 % of the machine's memory


@dataclass(frozen=True)
class Scene:
    """An image that is cut, and its mask where there is one."""

    pair: Pair
    place: OutputLocation  # of its tiles, which have names of their own
    labelled: bool

    def tile(self, name: str) -> OutputLocation:
        """Returns the place of a tile."""
        return replace(self.place, name=name)

    def discard(self) -> None:
        """Removes the tiles that were written."""
        folder = self.place.root / (self.place.part or "")
        for file in folder.glob(f"*/{escape(self.place.name)}_r[0-9]*_c[0-9]*.*"):
            file.unlink()


@dataclass
class Cut:
    """The result of a scene: a record for the index, and one line per tile."""

    record: dict[str, Any]
    tiles: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0


def tile(
    data: DataConfig, task: str, options: TileConfig, out: Path, image: str | None = None, labels: str | None = None
) -> list[Cut]:
    """Cuts images into tiles and writes `images/`, `masks/`, `index.json` and `index.csv`.

    Args:
        data: the data set.
        task: `binary` or `multiclass`.
        options: size, overlap and format of the tiles.
        out: a new folder.
        image: one image, or a folder of images, instead of the data set.
        labels: the mask or the shapes of the one image.

    Raises:
        OutputError: `out` holds files, or an image's name is too long to be a tile's.
        DataError: there is no image.
        FindingsError: an image could not be read; the others are cut.
    """
    _check_finished(out)
    limit_megapixels(data.max_megapixels)
    with all_or_nothing(out):
        scenes, failed = _scenes(data, out, image, labels)
        for scene in scenes:
            check_name(out / f"{scene.place.name}_r000000_c000000.png")
        cutter, cuts = _Cutter(data, task, options), list[Cut]()
        with import_rasterio().Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), LeftOut(CHECK) as left_out:
            for scene in scenes:
                try:
                    cuts.append(cutter.cut(scene))
                except ImageError as error:
                    failed += 1
                    scene.discard()
                    left_out.add(scene.pair.stem, str(error))
        overrides = _overrides(data, out, cutter, cuts) if any(scene.labelled for scene in scenes) else []
        _write_index(out, cuts, options, overrides)
    tiles, skipped = sum(len(cut.tiles) for cut in cuts), sum(cut.skipped for cut in cuts)
    say(f"{out}: {counted(tiles, 'tile')} of {counted(len(cuts), 'image')}, {skipped} left out as empty; {out / INDEX}")
    if overrides:
        say(f"train with {on_command_line(overrides)}")
    if failed:
        raise FindingsError(f"{failed} of {len(cuts) + failed} images could not be cut, see above; the rest is done")
    return cuts


def _check_finished(out: Path) -> None:
    """Raises OutputError where `out` holds tiles, but no index of them."""
    if out.is_dir() and not (out / INDEX).is_file() and next(out.rglob("*_r[0-9]*_c[0-9]*.*"), None):
        raise OutputError(
            f"{out}: holds tiles without {INDEX}, of a run that was killed; delete the folder, or choose another --out"
        )


def _overrides(data: DataConfig, out: Path, cutter: _Cutter, cuts: Sequence[Cut]) -> list[str]:
    """Returns the overrides by which training reads the tiles as it reads what was cut."""
    ignored = any(line["ignored_share"] for cut in cuts for line in cut.tiles)
    return [*cutter.coding.overrides(out, ignored=ignored), *image_overrides(data)]


def _scenes(data: DataConfig, out: Path, image: str | None, labels: str | None) -> tuple[list[Scene], int]:
    """Returns the images that are cut, and how many of the data set have no partner."""
    data = replace(data, windows=None)  # rasters are cut as a whole
    if labels and not image:
        raise UsageError("--labels: are of one image; give --image FILE too")
    if image is None and has_masks(data):
        placed, faults = find_with_parts(data)
        warn_of(faults)
        places = output_locations(out, placed)
        return [Scene(pair, place, True) for (pair, _), place in zip(placed, places, strict=True)], len(faults)
    pairs = [pair for folder, name in _folders(data, image) for pair in _images(folder, name, labels)]
    places = output_locations(out, [(pair, None) for pair in pairs])
    return [Scene(pair, place, labels is not None) for pair, place in zip(pairs, places, strict=True)], 0


def _folders(data: DataConfig, image: str | None) -> list[tuple[Path, str]]:
    """Returns what is cut, an image or folders, and what the stems of each begin with."""
    if image:
        return [(Path(image), "")]
    names = [f"{name}/" for name in set_names(data.folders)] if len(data.folders) > 1 else [""]
    return [(_images_folder(folder, data.images_dir), name) for folder, name in zip(data.folders, names, strict=True)]


def _images(place: Path, prefix: str, labels: str | None) -> list[Pair]:
    """Returns the images of a file or a folder, in the order of their names; where stems clash by their whole names."""
    if labels and not Path(labels).is_file():
        raise DataError(f"{labels}: no such file; give --labels a mask or shapes")
    if place.is_file():
        return [Pair(place.stem, place, Path(labels or place))]
    if labels or not place.is_dir():
        raise DataError(f"{place}: {'is a folder; --labels are of one image' if labels else 'no such file or folder'}")
    found = sorted(path for path in place.iterdir() if is_image_file(path))
    if not found:
        raise DataError(f"{place}: no image in it; give --image FILE or FOLDER, or --data")
    stems = Counter(path.stem.casefold() for path in found)
    return [Pair(prefix + (path.stem if stems[path.stem.casefold()] == 1 else path.name), path, path) for path in found]


def _images_folder(folder: Path, images_dir: str) -> Path:
    return folder / images_dir if (folder / images_dir).is_dir() else folder


class _Cutter:
    """Cuts scenes, a row of tiles a thread."""

    def __init__(self, data: DataConfig, task: str, options: TileConfig) -> None:
        self._options = options
        self._reader = SampleReader.of(data, task)
        self.coding = Coding.of(self._reader.classes, task)
        self._workers = options.workers or cores()

    def cut(self, scene: Scene) -> Cut:
        """Cuts one scene; raises ImageError where it cannot be read."""
        with ExitStack() as stack:
            source = open_source(scene.pair.image, stack, self._reader.bands.nodata)
            beside = _open_beside(scene, source, self._reader, stack)
            mask = self._whole_mask(scene, source)
            options = self._options
            rows = tile_rows(source.shape, options.size, options.overlap, options.edge)
            pieces = list(_pieces(rows, source))
            done = Cut(_describe(scene, source))
            with ThreadPoolExecutor(self._workers) as pool:
                results = pool.map(lambda piece: self._cut_piece(scene, source, beside, mask, piece), pieces)
                for tiles, skipped in track(results, f"Cutting {scene.pair.stem}", len(pieces)):
                    done.tiles += tiles
                    done.skipped += skipped
        return done

    def _whole_mask(self, scene: Scene, source: PhotoSource | RasterSource) -> np.ndarray | None:
        """Returns the mask of a decoded image, class indices uint8 [H, W]; that of a raster is read in parts."""
        if not scene.labelled or isinstance(source, RasterSource):
            return None
        mask = self._reader.read_mask(scene.pair)
        check_aspect(source.shape, mask.shape)
        return resize_mask(mask, *source.shape)

    def _cut_piece(
        self,
        scene: Scene,
        source: PhotoSource | RasterSource,
        beside: Mapping[str, PhotoSource | RasterSource],
        mask: np.ndarray | None,
        piece: Sequence[Tile],
    ) -> tuple[list[dict[str, Any]], int]:
        """Reads what some tiles of a row cover, and writes them."""
        first, last = piece[0], piece[-1]
        height = min(first.height, source.shape[0] - first.row)
        whole = Tile(first.row, first.col, height, min(last.col + last.width, source.shape[1]) - first.col)
        values, valid = source.read(whole)
        labels = self._labels(scene, source, mask, whole)
        written, skipped = [], 0
        for one in piece:
            cols = slice(one.col - first.col, one.col - first.col + one.width)
            row = self._write(
                scene, source, one, values[:, :, cols], None if valid is None else valid[:, cols],
                None if labels is None else labels[:, cols],
            )  # fmt: skip
            written += [row] if row else []
            skipped += row is None
        kept = {row["col"]: row["tile"] for row in written}
        for folder, sibling in beside.items():
            bands, _ = sibling.read(whole)
            for one in piece:
                if one.col in kept:
                    place = scene.tile(kept[one.col])
                    left = one.col - first.col
                    cut = _padded(bands[:, :, left : left + one.width], one, sibling.profile.get("nodata") or 0)
                    _write_values(place.file(folder, self._suffix(sibling)), cut, one, sibling, self._options)
        return written, skipped

    def _labels(
        self, scene: Scene, source: PhotoSource | RasterSource, mask: np.ndarray | None, part: Tile
    ) -> np.ndarray | None:
        if not scene.labelled:
            return None
        if mask is not None:
            return mask[part.row : part.row + part.height, part.col : part.col + part.width]
        window = SampleWindow(
            part.row, part.col, part.height, part.width, source.shape, max(part.height, part.width),
            (0, 0, *source.shape),
        )  # fmt: skip
        return self._reader.read_mask(Pair(scene.pair.stem, scene.pair.image, scene.pair.mask, window=window))

    def _write(
        self, scene: Scene, source: PhotoSource | RasterSource, one: Tile, values: np.ndarray,
        valid: np.ndarray | None, labels: np.ndarray | None,
    ) -> dict[str, Any] | None:  # fmt: skip
        """Writes a tile and its mask; returns its line of the index, or None where it is left out."""
        options = self._options
        data = 1.0 if valid is None else float(valid.mean())  # of what lies inside the image
        name = f"{scene.place.name}_r{one.row:06d}_c{one.col:06d}"
        suffix, foreground, ignored = self._suffix(source), None, None
        if labels is not None:
            if valid is not None and not source.keeps_validity(suffix):
                labels = np.where(valid, labels, np.uint8(IGNORED))
            foreground = float(((labels > 0) & (labels != IGNORED)).mean())
        if data < options.min_data or (foreground == 0 and not _kept(name, options.empty)):
            return None
        place = scene.tile(name)
        filled = _padded(values, one, source.profile.get("nodata") or 0)
        _write_values(place.file(IMAGES, suffix), filled, one, source, options)
        if labels is not None:
            labels = _padded(labels[None], one, IGNORED)[0]  # what reaches over the image is no background
            ignored = float((labels == IGNORED).mean())  # not rounded: a single pixel counts
            drawn = self.coding.encode(labels)[None]
            nodata = self.coding.ignored if ignored else None  # declared in the GeoTIFF
            _write_values(place.file(MASKS, suffix), drawn, one, source, options, mask=True, nodata=nodata)
        return {
            "tile": name, "source": scene.pair.stem, "part": scene.place.part or "", "row": one.row, "col": one.col,
            "height": one.height, "width": one.width, "data_share": round(data, 6),
            "foreground_share": None if foreground is None else round(foreground, 6), "ignored_share": ignored,
        }  # fmt: skip

    def _suffix(self, source: PhotoSource | RasterSource) -> str:
        if self._options.format == "auto":
            return ".tif" if isinstance(source, RasterSource) else ".png"
        return f".{self._options.format}"


def _open_beside(
    scene: Scene, source: PhotoSource | RasterSource, reader: SampleReader, stack: ExitStack
) -> dict[str, PhotoSource | RasterSource]:
    """Opens the files of other bands in sibling folders.

    Raises:
        ImageError: one is missing, or of another size.
    """
    if not scene.labelled:
        return {}
    opened = {
        folder: open_source(file, stack, reader.bands.nodata)
        for folder, file in sibling_files(scene.pair.image, reader.bands).items()
    }
    for folder, other in opened.items():
        if other.shape != source.shape:
            (height, width), (down, across) = source.shape, other.shape
            raise ImageError(
                f"{scene.pair.image}: is {width}×{height}, its bands in {folder} are {across}×{down}; bring them to "
                "one resolution first, by gdalwarp for example"
            )
    return opened


def _kept(name: str, share: float) -> bool:
    """Whether a tile of background alone is kept: the same ones each time."""
    return int.from_bytes(hash_name(name)[:4], "big") < share * 2**32


def _pieces(rows: Sequence[Sequence[Tile]], source: PhotoSource | RasterSource) -> Iterator[list[Tile]]:
    """Yields runs of tiles of a row that are read at once."""
    bands, dtype = source.profile.get("count", 4), np.dtype(source.profile.get("dtype", "uint8"))
    for row in rows:
        bytes_a_column = row[0].height * bands * dtype.itemsize
        run: list[Tile] = []
        for one in row:
            if run and (one.col + one.width - run[0].col) * bytes_a_column > MAX_READ_BYTES:
                yield run
                run = []
            run.append(one)
        yield run


def _padded(values: np.ndarray, one: Tile, fill: float) -> np.ndarray:
    below, beside = one.height - values.shape[1], one.width - values.shape[2]
    if not (below or beside):
        return values
    return np.pad(values, ((0, 0), (0, below), (0, beside)), constant_values=fill)


def _write_values(
    path: Path, values: np.ndarray, one: Tile, source: PhotoSource | RasterSource, options: TileConfig, *,
    mask: bool = False, nodata: float | None = None,
) -> None:  # fmt: skip
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

    profile = {"driver": "GTiff", **source.profile} | {
        "count": len(values), "dtype": values.dtype, "height": one.height, "width": one.width,
        "compress": options.compress,
    }  # fmt: skip
    if options.compress != "none" and values.dtype.kind in "iu" and not mask:
        profile["predictor"] = 2
    if mask or nodata is not None:
        profile["nodata"] = nodata
    if "transform" in profile:
        profile["transform"] = transform(RasterWindow(one.col, one.row, one.width, one.height), profile["transform"])
    with create_raster(path, profile) as out:
        if isinstance(source, RasterSource) and not mask:
            out.colorinterp = source.bands.colors
            out.descriptions = source.bands.names
        out.write(values)


def _describe(scene: Scene, source: PhotoSource | RasterSource) -> dict[str, Any]:
    crs, matrix = source.profile.get("crs"), source.profile.get("transform")
    return {
        "source": scene.pair.stem,
        "file": str(scene.pair.image),
        "height": source.shape[0],
        "width": source.shape[1],
        "crs": crs.to_wkt() if crs else None,
        "transform": list(matrix)[:6] if matrix is not None else None,
    }


def _write_index(out: Path, cuts: Sequence[Cut], options: TileConfig, overrides: Sequence[str]) -> None:
    tiles = [line for cut in cuts for line in cut.tiles]
    record = {
        "size": options.size, "overlap": options.overlap, "overrides": list(overrides),
        "sources": [cut.record for cut in cuts], "tiles": tiles,
    }  # fmt: skip
    write_json(out / INDEX, record)
    if tiles:
        write_csv(out / "index.csv", list(tiles[0]), [line.values() for line in tiles])
