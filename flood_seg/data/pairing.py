"""Finds images and their masks by file stem, and names every file that has no partner."""

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
    part: str | None = None  # train, val or test, where the layout says it
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
    other types are passed over. A mask's stem is its image's, and `mask_suffix` where there is one.

    Returns:
        the pairs, ordered by stem, and a fault for each file without a partner or with a rival of the same stem.

    Raises:
        DataError: a folder is missing, holds no image, or none that matches the pattern.
    """
    if pattern:
        return _find_by_pattern(images_dir, masks_dir, pattern)
    images, masks = _by_stem(images_dir), _by_stem(masks_dir, VECTORS)
    if mask_suffix:
        masks = {stem.removesuffix(mask_suffix): files for stem, files in masks.items() if stem.endswith(mask_suffix)}
    pairs, faults = [], []
    for stem in sorted(images.keys() | masks.keys()):
        found_images, found_masks = images.get(stem, []), masks.get(stem, [])
        if len(found_images) == len(found_masks) == 1:
            pairs.append(Pair(stem, found_images[0], found_masks[0]))
        else:
            faults.append(_unpaired(stem, found_images, found_masks))
    return pairs, faults


def _find_by_pattern(images_dir: Path, masks_dir: Path, pattern: str) -> tuple[list[Pair], list[Fault]]:
    """Pairs files by their identifiers; a pair's stem is its image's. Files that do not match are passed over."""
    image_pattern, _, mask_pattern = pattern.partition(":")
    images = _by_identifier(images_dir, image_pattern, frozenset())
    masks = _by_identifier(masks_dir, mask_pattern, VECTORS)
    pairs, faults = [], []
    for name in sorted(images.keys() | masks.keys()):
        found_images, found_masks = images.get(name, []), masks.get(name, [])
        if len(found_images) == len(found_masks) == 1:
            pairs.append(Pair(normalize("NFC", found_images[0].stem), found_images[0], found_masks[0]))
        else:
            stem = normalize("NFC", (found_images or found_masks)[0].stem)
            faults.append(_unpaired(stem, found_images, found_masks, shared=f"identifier {name}"))
    return sorted(pairs, key=lambda pair: pair.stem), faults


def _by_identifier(folder: Path, pattern: str, also: frozenset[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    files = _files(folder, also)
    for path in files:
        if (name := match_name(pattern, path)) is not None:
            found[name].append(path)
    if not found:
        names = ", ".join(path.name for path in files[:3]) + (", ..." if len(files) > 3 else "")
        raise DataError(f"{folder}: no file matches {pattern}; it holds {names}; see datamodule.pair_pattern")
    return found


def _by_stem(folder: Path, also: frozenset[str] = frozenset()) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in _files(folder, also):
        found[normalize("NFC", path.stem)].append(path)
    return found


def _files(folder: Path, also: frozenset[str]) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {ADVICE}")
    files = [path for path in sorted(folder.iterdir()) if is_image_file(path, also)]
    if not files:
        raise DataError(f"{folder}: no image in it; {ADVICE}")
    return files


def _unpaired(stem: str, images: list[Path], masks: list[Path], shared: str = "stem") -> Fault:
    if not masks:
        return Fault(stem, images[0], "image without a mask")
    if not images:
        return Fault(stem, masks[0], "mask without an image")
    rivals = images if len(images) > 1 else masks
    return Fault(stem, rivals[1], f"same {shared} as {rivals[0].name}")
