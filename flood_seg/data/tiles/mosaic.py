"""Puts the predictions of tiles back together, each as large as the image that it was cut from.

Where tiles overlap, each keeps the half that is nearer to its middle: predictions are worst at a tile's edges.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.console import say, track
from flood_seg.data.tiles.grid import own_spans
from flood_seg.data.tiles.tile import GDAL_CACHE, INDEX
from flood_seg.errors import DataError, OutputError
from flood_seg.imaging.raster import create_raster, import_rasterio, open_raster
from flood_seg.imaging.read import is_image_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasterio.io import DatasetWriter

BLOCK = 512  # pixels a side of the blocks that are written; memory holds a row of them


def mosaic(tiles: Path, predictions: Path, out: Path) -> list[Path]:
    """Writes a GeoTIFF an image that was cut.

    Args:
        tiles: the folder of `index.json`.
        predictions: a file a tile, named as the tile, with or without `_mask`.
        out: of one image a .tif, of several a folder.

    Returns:
        the files.

    Raises:
        DataError: there is no index, no prediction, or one is of another size than its tile.
        OutputError: `out` does not fit the number of images.
    """
    index = _read_index(tiles)
    files = _find(predictions)
    sources = index["sources"]
    single = out.suffix.lower() in (".tif", ".tiff")
    if single and len(sources) > 1:
        raise OutputError(f"{out}: {len(sources)} images were cut; give --out FOLDER")
    written = []
    with import_rasterio().Env(GDAL_CACHEMAX=GDAL_CACHE):
        for source in sources:
            lines = [line for line in index["tiles"] if line["source"] == source["source"]]
            target = out if single else out / f"{str(source['source']).replace('/', '_')}.tif"
            _assemble(source, lines, files, predictions, target)
            written.append(target)
    say("\n".join(str(file) for file in written))
    return written


def _read_index(tiles: Path) -> dict[str, Any]:
    path = tiles if tiles.suffix == ".json" else tiles / INDEX
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = index["sources"], index["tiles"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no index of tiles ({error}); give --data the folder that data tile wrote") from error
    return index


def _find(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give --mosaic the folder of predictions")
    found = {}
    for path in sorted(folder.rglob("*")):
        if is_image_file(path):
            found[path.stem.removesuffix("_mask")] = path
    return found


def _assemble(
    source: dict[str, Any], lines: Sequence[dict[str, Any]], files: dict[str, Path], folder: Path, target: Path
) -> None:
    from rasterio.crs import CRS
    from rasterio.transform import Affine

    there = [line for line in lines if line["tile"] in files]
    if not there:
        raise DataError(f"{folder}: holds no prediction of a tile of {source['source']}; its files are named as tiles")
    height, width = source["height"], source["width"]
    with open_raster(files[there[0]["tile"]]) as first:
        count, dtype, nodata = first.count, first.dtypes[0], first.nodata
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": count, "dtype": dtype, "nodata": nodata,
        "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "bigtiff": "if_safer",
        "crs": CRS.from_wkt(source["crs"]) if source["crs"] else None,
        "transform": Affine(*source["transform"]) if source["transform"] else None,
    }  # fmt: skip
    rows = own_spans([(line["row"], line["row"] + line["height"]) for line in lines], height)
    cols = own_spans([(line["col"], line["col"] + line["width"]) for line in lines], width)
    owned = [
        (rows[line["row"], line["row"] + line["height"]], cols[line["col"], line["col"] + line["width"]], line)
        for line in there
    ]
    bands = range(0, height, BLOCK)
    with create_raster(target, profile) as out:
        for top in track(bands, f"Assembling {source['source']}", len(bands)):
            _write_band(out, top, [one for one in owned if one[0][0] < top + BLOCK and one[0][1] > top], files)


def _write_band(out: DatasetWriter, top: int, owned: Sequence[Any], files: dict[str, Path]) -> None:
    """Writes a row of blocks."""
    bottom = min(top + BLOCK, out.height)
    values = np.full((out.count, bottom - top, out.width), out.nodata or 0, out.dtypes[0])
    for (first, last), (left, right), line in owned:
        with open_raster(files[line["tile"]]) as source:
            if (source.height, source.width) != (line["height"], line["width"]):
                raise DataError(
                    f"{files[line['tile']]}: is {source.width}×{source.height}, its tile is "
                    f"{line['width']}×{line['height']}; predict the tiles as they are"
                )
            begin, end = max(first, top), min(last, bottom)
            inside = (begin - line["row"], end - line["row"]), (left - line["col"], right - line["col"])
            values[:, begin - top : end - top, left:right] = source.read(window=inside)
    out.write(values, window=((top, bottom), (0, out.width)))
