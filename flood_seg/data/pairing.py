"""Finds images and their masks by file stem, and names every file that has no partner."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

from flood_seg.errors import DataError
from flood_seg.imaging.source import is_image_file

if TYPE_CHECKING:
    from flood_seg.imaging.raster import Window

# Labels as shapes: GeoJSON, GeoPackage, shapefile, FlatGeobuf.
VECTORS = frozenset({".geojson", ".gpkg", ".shp", ".fgb"})
ADVICE = "datamodule.data_dir (or --data) is the folder that holds it; or try datamodule=sample"


@dataclass(frozen=True)
class Pair:
    """An image and its mask."""

    stem: str
    image: Path
    mask: Path
    part: str | None = None  # train, val or test, where the layout says it
    window: Window | None = None  # of image and mask; None: all


@dataclass(frozen=True)
class Fault:
    """Why a file or a pair cannot be used."""

    stem: str
    path: Path
    reason: str


def find_pairs(images_dir: Path, masks_dir: Path, mask_suffix: str = "") -> tuple[list[Pair], list[Fault]]:
    """Pairs the images of one folder with the masks of another by their stems.

    Stems are compared after Unicode normalisation (NFC), since file systems differ in it; hidden files and files of
    other types are passed over. A mask's stem is its image's, and `mask_suffix` where there is one.

    Returns:
        the pairs, ordered by stem, and a fault for each file without a partner or with a rival of the same stem.

    Raises:
        DataError: a folder is missing or holds no image.
    """
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


def _by_stem(folder: Path, also: frozenset[str] = frozenset()) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {ADVICE}")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if is_image_file(path, also):
            found[normalize("NFC", path.stem)].append(path)
    if not found:
        raise DataError(f"{folder}: no image in it; {ADVICE}")
    return found


def _unpaired(stem: str, images: list[Path], masks: list[Path]) -> Fault:
    if not masks:
        return Fault(stem, images[0], "image without a mask")
    if not images:
        return Fault(stem, masks[0], "mask without an image")
    rivals = images if len(images) > 1 else masks
    return Fault(stem, rivals[1], f"same stem as {rivals[0].name}")
