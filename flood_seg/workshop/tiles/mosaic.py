"""Puts the predictions of tiles back together, each as large as the image that it was cut from.

Where tiles overlap, each contributes the half nearer to its centre: predictions are worst at a tile's edges.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.console import say, track, warn
from flood_seg.errors import DataError, FindingsError, OutputError
from flood_seg.imaging.gdal import create_raster, import_rasterio, open_raster
from flood_seg.imaging.source import is_image_file
from flood_seg.workshop.tiles.grid import own_spans
from flood_seg.workshop.tiles.tile import INDEX

if TYPE_CHECKING:
    from rasterio.io import DatasetWriter

Key = tuple[str, str]  # part and name of a tile

# The types of the entries in the index, of images and of tiles.
SOURCE_FIELDS: dict[str, Any] = {
    "source": str, "file": str, "height": int, "width": int, "crs": str | None, "transform": list | None,
}  # fmt: skip
TILE_FIELDS = dict.fromkeys(("tile", "source", "part"), str) | dict.fromkeys(("row", "col", "height", "width"), int)
BLOCK_PIXELS = 512  # side of the blocks that are written; a row of them is held in memory


def mosaic(tiles: Path, predictions: Path, out: Path, compress: str = "deflate") -> list[Path]:
    """Writes a GeoTIFF for each image that was cut.

    Args:
        tiles: the folder of `index.json`.
        predictions: a file for each tile, named as the tile, with or without `_mask`; where tiles of several parts have
            one name, in folders that are named as the parts.
        out: of one image a .tif, of several a folder.
        compress: none, lzw, deflate or zstd.

    Returns:
        the files.

    Raises:
        DataError: there is no index, no prediction of an image, two of a tile, or one that does not fit its tile.
        OutputError: `out` does not fit the number of images, or would replace an image that was cut.
        FindingsError: tiles have no prediction; the mosaics are written.
    """
    index = _read_index(tiles)
    sources = index["sources"]
    targets = _targets(sources, out)
    files = _assign(index["tiles"], predictions)
    written, missing = [], 0
    with import_rasterio().Env():
        for source, target in zip(sources, targets, strict=True):
            lines = [line for line in index["tiles"] if line["source"] == source["source"]]
            missing += _assemble(source, lines, files, predictions, target, compress)
            written.append(target)
    say(*map(str, written))
    if missing:
        raise FindingsError(f"{missing} of {len(index['tiles'])} tiles have no prediction, see above; predict them too")
    return written


def _read_index(tiles: Path) -> dict[str, Any]:
    path = tiles if tiles.suffix == ".json" else tiles / INDEX
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name, kinds in (("sources", SOURCE_FIELDS), ("tiles", TILE_FIELDS)):
            for record in index[name]:
                wrong = [key for key, kind in kinds.items() if not isinstance(record[key], kind)]
                if wrong:
                    raise ValueError(f"{wrong[0]} is {record[wrong[0]]!r} in {name}")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: no index of tiles ({error}); give --data the folder that data tile wrote") from error
    return index


def _targets(sources: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    """Returns the file of each image's mosaic."""
    single = out.suffix.lower() in (".tif", ".tiff")
    if single and len(sources) > 1:
        raise OutputError(f"{out}: {len(sources)} images were cut; give --out FOLDER")
    targets = [out if single else out / f"{source['source'].replace('/', '_')}.tif" for source in sources]
    cut = {Path(source["file"]).resolve() for source in sources}
    if wrong := [target for target in targets if target.resolve() in cut]:
        raise OutputError(f"{wrong[0]}: is the image that was cut and would be replaced; give another --out")
    if twice := [target for target, count in Counter(targets).items() if count > 1]:
        raise OutputError(f"{twice[0]}: would be the mosaic of two images; rename one of them and cut again")
    return targets


def _assign(lines: Sequence[dict[str, Any]], folder: Path) -> dict[Key, Path]:
    """Returns the prediction of each tile that has one."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give --mosaic the folder of predictions")
    found = defaultdict[str, list[Path]](list)
    for path in sorted(folder.rglob("*")):
        if is_image_file(path):
            found[path.stem.removesuffix("_mask")].append(path)
    counts, chosen = Counter(line["tile"] for line in lines), {}
    for line in lines:
        name, part, paths = line["tile"], line["part"], found.get(line["tile"], [])
        if counts[name] > 1 or (len(paths) > 1 and part):
            paths = [path for path in paths if part in path.relative_to(folder).parts]
            if found.get(name) and not paths:
                raise DataError(
                    f"{folder}: several parts have a tile {name}; put the predictions of part {part!r} below "
                    f"{folder / part}"
                )
        if len(paths) > 1:
            raise DataError(f"{paths[1]}: is a prediction of the same tile as {paths[0]}; keep one of them")
        if paths:
            chosen[part, name] = paths[0]
    return chosen


def _assemble(
    source: dict[str, Any], lines: Sequence[dict[str, Any]], files: dict[Key, Path], folder: Path, target: Path,
    compress: str,
) -> int:  # fmt: skip
    """Writes a mosaic; returns how many tiles have no prediction."""
    there = [line for line in lines if _key(line) in files]
    if not there:
        raise DataError(f"{folder}: holds no prediction of a tile of {source['source']}; its files are named as tiles")
    height, width = source["height"], source["width"]
    profile = _profile(source, files[_key(there[0])], compress)
    rows = own_spans([(line["row"], line["row"] + line["height"]) for line in lines], height)
    cols = own_spans([(line["col"], line["col"] + line["width"]) for line in lines], width)
    owned = [
        (rows[line["row"], line["row"] + line["height"]], cols[line["col"], line["col"] + line["width"]], line)
        for line in there
    ]
    bands = range(0, height, BLOCK_PIXELS)
    with create_raster(target, profile) as out:
        for top in track(bands, f"Assembling {source['source']}", len(bands)):
            _write_band(out, top, [one for one in owned if one[0][0] < top + BLOCK_PIXELS and one[0][1] > top], files)
    covered = sum((bottom - top) * (right - left) for (top, bottom), (left, right), _ in owned)
    if covered < height * width:
        warn(
            f"{target}: {1 - covered / (height * width):.2%} of {source['source']} has no prediction and is "
            f"{profile['nodata'] or 0:g} there ({len(lines) - len(there)} of {len(lines)} tiles have none)"
        )
    return len(lines) - len(there)


def _key(line: dict[str, Any]) -> Key:
    return line["part"], line["tile"]


def _profile(source: dict[str, Any], first: Path, compress: str) -> dict[str, Any]:
    """Returns rasterio's profile of a mosaic, with the bands and type of its first prediction."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError
    from rasterio.transform import Affine

    with open_raster(first) as opened:
        count, dtype, nodata = opened.count, opened.dtypes[0], opened.nodata
    try:
        crs = CRS.from_wkt(source["crs"]) if source["crs"] else None
        transform = Affine(*source["transform"]) if source["transform"] else None
    except (CRSError, TypeError) as error:
        raise DataError(f"{INDEX}: {source['source']} has no usable georeference ({error})") from error
    return {
        "driver": "GTiff", "height": source["height"], "width": source["width"], "count": count, "dtype": dtype,
        "nodata": nodata, "tiled": True, "blockxsize": BLOCK_PIXELS, "blockysize": BLOCK_PIXELS, "compress": compress,
        "bigtiff": "if_safer", "crs": crs, "transform": transform,
    }  # fmt: skip


def _write_band(out: DatasetWriter, top: int, owned: Sequence[Any], files: dict[Key, Path]) -> None:
    """Writes a row of blocks."""
    bottom = min(top + BLOCK_PIXELS, out.height)
    values = np.full((out.count, bottom - top, out.width), out.nodata or 0, out.dtypes[0])
    for (first, last), (left, right), line in owned:
        file = files[_key(line)]
        with open_raster(file) as source:
            if (source.height, source.width) != (line["height"], line["width"]):
                raise DataError(
                    f"{file}: is {source.width}×{source.height}, its tile is {line['width']}×{line['height']}; predict "
                    "the tiles as they are"
                )
            if (source.count, source.dtypes[0]) != (out.count, out.dtypes[0]):
                raise DataError(
                    f"{file}: has {source.count} band(s) of {source.dtypes[0]}, others {out.count} of {out.dtypes[0]}; "
                    "predict all tiles by one model"
                )
            begin, end = max(first, top), min(last, bottom)
            inside = (begin - line["row"], end - line["row"]), (left - line["col"], right - line["col"])
            values[:, begin - top : end - top, left:right] = source.read(window=inside)
    out.write(values, window=((top, bottom), (0, out.width)))
