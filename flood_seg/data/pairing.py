"""Finds images and their masks by file stem, and reports every file without a partner."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from flood_seg.errors import DataError
from flood_seg.imaging.bands import match_name
from flood_seg.imaging.raster import Window
from flood_seg.imaging.source import is_image_file

# Labels as shapes: GeoJSON, GeoPackage, shapefile, FlatGeobuf.
VECTORS = frozenset({".geojson", ".gpkg", ".shp", ".fgb"})
ADVICE = "datamodule.data_dir (or --data) is the folder that holds it; or try datamodule=sample"


@dataclass(frozen=True)
class SampleWindow(Window):
    """A part of a raster that is a sample.

    Attributes:
        size: side in pixels of the square that a smaller window is padded to.
        block: first row, first column, last row and last column plus one that it may be moved within.
    """

    size: int
    block: tuple[int, int, int, int]


@dataclass(frozen=True)
class Pair:
    """An image and its mask."""

    stem: str
    image: Path
    mask: Path
    part: str | None = None  # train, val or test, if the layout defines it
    window: SampleWindow | None = None  # of image and mask; None: all


@dataclass(frozen=True)
class Fault:
    """Why a file or a pair cannot be used."""

    stem: str
    path: Path
    reason: str


def find_pairs(
    images_dir: Path, masks_dir: Path, mask_suffix: str = "", pattern: str | None = None
) -> tuple[list[Pair], list[Fault]]:
    """Pairs the images of one folder with the masks of another by their stems, or by a pattern of their names.

    Stems are compared after Unicode normalisation (NFC), since file systems differ in it; hidden files and files of
    other types are skipped. A mask's stem is its image's, and `mask_suffix` where there is one. By a pattern, a
    pair's stem is its image's, and files that do not match are skipped.

    Returns:
        the pairs, ordered by stem, and a fault for each file without a partner or with a rival of the same stem.

    Raises:
        DataError: a folder is missing, holds no image, or none that matches the pattern.
    """
    image_pattern, _, mask_pattern = (pattern or "").partition(":")
    images = _by_key(images_dir, image_pattern, frozenset())
    masks = _by_key(masks_dir, mask_pattern, VECTORS)
    if mask_suffix:
        masks = {stem.removesuffix(mask_suffix): files for stem, files in masks.items() if stem.endswith(mask_suffix)}
    pairs, faults = [], []
    for key in sorted(images.keys() | masks.keys()):
        found_images, found_masks = images.get(key, []), masks.get(key, [])
        stem = normalize("NFC", (found_images or found_masks)[0].stem) if pattern else key
        if len(found_images) == len(found_masks) == 1:
            pairs.append(Pair(stem, found_images[0], found_masks[0]))
        else:
            shared = f"identifier {key}" if pattern else "stem"
            faults.append(_unpaired(stem, found_images, found_masks, shared))
    return sorted(pairs, key=lambda pair: pair.stem), faults


def _by_key(folder: Path, pattern: str, also: frozenset[str]) -> dict[str, list[Path]]:
    """Returns the image files, and those of the suffixes `also`, by their identifiers in a pattern, else by stem."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {ADVICE}")
    files = [path for path in sorted(folder.iterdir()) if is_image_file(path, also)]
    if not files:
        raise DataError(f"{folder}: no image in it; {ADVICE}")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        key = match_name(pattern, path) if pattern else normalize("NFC", path.stem)
        if key is not None:
            found[key].append(path)
    if not found:
        names = ", ".join(path.name for path in files[:3]) + (", ..." if len(files) > 3 else "")
        raise DataError(f"{folder}: no file matches {pattern}; it holds {names}; see datamodule.pair_pattern")
    return found


def _unpaired(stem: str, images: list[Path], masks: list[Path], shared: str) -> Fault:
    if not masks:
        return Fault(stem, images[0], "image without a mask")
    if not images:
        return Fault(stem, masks[0], "mask without an image")
    rivals = images if len(images) > 1 else masks
    return Fault(stem, rivals[1], f"same {shared} as {rivals[0].name}")
