"""The data tile verb: cuts large images, with their masks, into tiles that training and `infer` take."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path

from flood_seg.config.schema import DataConfig
from flood_seg.config.schema.workshop import TileConfig
from flood_seg.console import counted, say
from flood_seg.data.layout import has_masks, set_names, warn_of
from flood_seg.data.pairing import Pair
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader
from flood_seg.errors import DataError, FindingsError, ImageError, OutputError, UsageError
from flood_seg.files import check_name, write_csv, write_json
from flood_seg.imaging.encoded import limit_megapixels
from flood_seg.imaging.gdal import import_rasterio
from flood_seg.imaging.source import is_image_file
from flood_seg.skipped import CHECK, LeftOut
from flood_seg.workshop.label_encoding import LabelEncoding, image_overrides
from flood_seg.workshop.output_layout import all_or_nothing, find_with_parts, output_locations
from flood_seg.workshop.tiles.cut import InputImage, TiledImage, cut_image

INDEX = "index.json"


def tile(
    data: DataConfig, task: str, options: TileConfig, out: Path, image: str | None = None, labels: str | None = None
) -> list[TiledImage]:
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
    done, overrides = list[TiledImage](), list[str]()
    with all_or_nothing(out):
        images, failed = _find_images(data, out, image, labels)
        for one in images:
            check_name(out / f"{one.place.name}_r000000_c000000.png")
        reader = SampleReader.of(data, task)
        encoding = LabelEncoding.of(reader.classes, task)
        with import_rasterio().Env(), LeftOut(CHECK) as left_out:
            for one in images:
                try:
                    done.append(cut_image(one, reader, encoding, options))
                except ImageError as error:
                    failed += 1
                    one.discard_tiles()
                    left_out.add(one.pair.stem, str(error))
        tiles = [entry for one in done for entry in one.tiles]
        if any(one.labelled for one in images):  # training reads the tiles as it reads what was cut
            ignored = any(entry["ignored_share"] for entry in tiles)
            overrides = [*encoding.overrides(out, ignored=ignored), *image_overrides(data)]
        record = {"size": options.size, "overlap": options.overlap, "overrides": overrides}
        write_json(out / INDEX, record | {"sources": [one.record for one in done], "tiles": tiles})
        if tiles:
            write_csv(out / "index.csv", list(tiles[0]), [entry.values() for entry in tiles])
    skipped = sum(one.skipped for one in done)
    say(f"{out}: {counted(len(tiles), 'tile')} of {counted(len(done), 'image')}, {skipped} left out as empty; "
        f"{out / INDEX}")  # fmt: skip
    if overrides:
        say(f"train with {shlex.join(overrides)}")
    if failed:
        raise FindingsError(f"{failed} of {len(done) + failed} images could not be cut, see above; the rest is done")
    return done


def _check_finished(out: Path) -> None:
    """Raises OutputError where `out` holds tiles, but no index of them."""
    if out.is_dir() and not (out / INDEX).is_file() and next(out.rglob("*_r[0-9]*_c[0-9]*.*"), None):
        raise OutputError(
            f"{out}: holds tiles without {INDEX}, of a run that was killed; delete the folder, or choose another --out"
        )


def _find_images(data: DataConfig, out: Path, image: str | None, labels: str | None) -> tuple[list[InputImage], int]:
    """Returns the images that are cut, and how many of the data set have no partner."""
    data = replace(data, windows=None)  # rasters are cut as a whole
    if labels and not image:
        raise UsageError("--labels: are of one image; give --image FILE too")
    if not image:
        prepare_data(data)
    placed: list[tuple[Pair, str | None]]
    faulty, labelled = 0, bool(labels)
    if image:
        placed = [(pair, None) for pair in _list_images(Path(image), "", labels)]
    elif has_masks(data):
        placed, faults = find_with_parts(data)
        warn_of(faults)
        faulty, labelled = len(faults), True
    else:
        prefixes = [f"{name}/" for name in set_names(data.folders)] if len(data.folders) > 1 else [""]
        places = [inner if (inner := folder / data.images_dir).is_dir() else folder for folder in data.folders]
        folders = zip(places, prefixes, strict=True)
        placed = [(pair, None) for folder, prefix in folders for pair in _list_images(folder, prefix)]
    locations = output_locations(out, placed)
    return [InputImage(pair, place, labelled) for (pair, _), place in zip(placed, locations, strict=True)], faulty


def _list_images(place: Path, prefix: str, labels: str | None = None) -> list[Pair]:
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
