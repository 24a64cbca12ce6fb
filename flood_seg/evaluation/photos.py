"""Photos to try models on: decoded once at the models' size, with their masks where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flood_seg.console import say, track, warn
from flood_seg.data.pairing import Pair, find_pairs
from flood_seg.data.split import read_split
from flood_seg.data.store import load_sample
from flood_seg.errors import DataError, ImageError
from flood_seg.imaging.preprocess import resize_image
from flood_seg.imaging.read import image_suffixes, read_image
from flood_seg.schema import DataConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np


T = TypeVar("T")

SCENES = 8  # drawn where there is no data at all


@dataclass(frozen=True)
class Photo:
    """A photo and its mask at one size.

    Attributes:
        name: the file's stem.
        image: any dtype [height, width, bands].
        mask: class indices, uint8 [height, width]; None where there is no mask.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None


def choose_pairs(data: DataConfig) -> list[Pair]:
    """Returns a data set's pairs; with `split_file` those of its validation part.

    Raises:
        DataError: a folder or the split file is missing or wrong.
    """
    folder = Path(data.data_dir)
    pairs, _ = find_pairs(folder / data.images_dir, folder / data.masks_dir)
    if data.split_file:
        chosen = set(read_split(Path(data.split_file), [pair.stem for pair in pairs]).val)
        pairs = [pair for pair in pairs if pair.stem in chosen]
    return pairs


def load_photos(data: DataConfig, height: int, width: int, count: int) -> tuple[list[Photo], str]:
    """Loads photos of a data set, of a folder of photos, or draws scenes where there is no data/raw.

    Args:
        data: `data_dir` holds images/ and masks/, images/ alone, or photos.
        height: to which they are resized, in pixels.
        width: likewise.
        count: at most so many, evenly from the list.

    Returns:
        the photos, and where they come from, for people.

    Raises:
        DataError: the folder that was asked for is missing, or no photo can be read.
    """
    folder = Path(data.data_dir)
    if not folder.exists() and data.data_dir != DataConfig.data_dir:
        raise DataError(f"{folder}: no such folder; give --data a folder of photos, or of images/ and masks/")
    if not folder.exists():
        return _draw(height, width, min(count, SCENES)), "synthetic scenes"
    if (folder / data.masks_dir).is_dir():
        pairs = _evenly(choose_pairs(data), count)
        photos = read_photos([(pair.image, pair.mask) for pair in pairs], height, width)
    else:
        place = folder / data.images_dir if (folder / data.images_dir).is_dir() else folder
        images = sorted(path for path in place.iterdir() if path.suffix.lower() in image_suffixes())
        photos = read_photos([(image, None) for image in _evenly(images, count)], height, width)
    return photos, f"photos of {folder}"


def _evenly(items: Sequence[T], count: int) -> list[T]:
    step = max(1.0, len(items) / count)
    return [items[int(position * step)] for position in range(min(count, len(items)))]


def read_photos(files: Iterable[tuple[Path, Path | None]], height: int, width: int) -> list[Photo]:
    """Reads images and masks and resizes them; those that cannot be read are named and left out.

    Raises:
        DataError: none could be read.
    """
    files, photos = list(files), []
    for image, mask in track(files, "Reading", len(files)):
        try:
            photos.append(_read(image, mask, height, width))
        except ImageError as error:
            warn(f"{image.stem} left out: {error}")
    if not photos:
        raise DataError("no photo could be read; give --data a folder of photos, or of images/ and masks/")
    return photos


def _read(image: Path, mask: Path | None, height: int, width: int) -> Photo:
    if mask is None:
        return Photo(image.stem, resize_image(read_image(image), height, width), None)
    return Photo(image.stem, *load_sample(Pair(image.stem, image, mask), height, width))


def _draw(height: int, width: int, count: int) -> list[Photo]:
    from flood_seg.data.scene import draw_scene

    say(f"No data there: {count} synthetic scenes are drawn; --data names a folder of your own.")
    return [Photo(f"scene {seed}", *_classes(*draw_scene(seed, height, width))) for seed in range(count)]


def _classes(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image, (mask > 0).astype("uint8")
