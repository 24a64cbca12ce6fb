"""Photos to try models on: decoded once at the models' size, with their masks where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig
from flood_seg.console import say
from flood_seg.data.dvc import ensure_here
from flood_seg.data.layout import choose_pairs, has_masks
from flood_seg.data.pairing import Pair
from flood_seg.data.parallel import read_pairs
from flood_seg.data.reading import SampleReader
from flood_seg.data.windows import cut_windows
from flood_seg.errors import DataError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.preprocess import resize_image
from flood_seg.imaging.source import is_image_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from flood_seg.spec import ModelSpec

T = TypeVar("T")

SCENES = 8  # drawn where there is no data at all


@dataclass(frozen=True)
class Photo:
    """A photo and its mask at one size.

    Attributes:
        name: the file's stem, or the window's.
        image: any dtype [height, width, bands].
        mask: class indices, uint8 [height, width], `IGNORED` where a pixel counts nowhere; None where there is no mask.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None


def load_photos(data: DataConfig, spec: ModelSpec, count: int) -> tuple[list[Photo], str]:
    """Loads photos of a data set, of a folder of photos, or draws scenes where there is no data/raw.

    Args:
        data: `data_dir` holds images/ and masks/ in any layout, images/ alone, or photos; rasters are read in windows
            where `windows` says so.
        spec: of the model that they are for: its bands, its network size.
        count: at most so many, evenly from the list.

    Returns:
        the photos, and where they come from, for people.

    Raises:
        DataError: the folder that was asked for is missing, or no photo can be read.
    """
    ensure_here(data.folders, data.dvc_pull)
    if data.data_dir == defaults(DataConfig).data_dir and not data.folders[0].exists():
        return _draw(spec, min(count, SCENES)), "synthetic scenes"
    for folder in data.folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; give --data a folder of photos, or of images/ and masks/")
    masks = has_masks(data)
    chosen = _evenly(choose_pairs(data) if masks else _find_images(data), count)
    photos = read_photos(chosen, SampleReader.for_model(data, spec), spec.height, spec.width, masks=masks)
    return photos, f"{'windows' if data.windows else 'photos'} of {data.place}"


def _find_images(data: DataConfig) -> list[Pair]:
    """Returns the images of folders without masks, or their windows; each is its own mask, which nobody reads."""
    found = []
    for folder in data.folders:
        place = folder / data.images_dir if (folder / data.images_dir).is_dir() else folder
        images = sorted(path for path in place.iterdir() if is_image_file(path))
        # A part of their own: windows are not divided into training and validation.
        found += [Pair(image.stem, image, image, part="val") for image in images]
    return found if data.windows is None else cut_windows(found, data, data.windows)


def _evenly(items: Sequence[T], count: int) -> list[T]:
    step = max(1.0, len(items) / count)
    return [items[int(position * step)] for position in range(min(count, len(items)))]


def read_photos(
    pairs: Iterable[Pair], reader: SampleReader, height: int, width: int, *, masks: bool = True
) -> list[Photo]:
    """Reads pairs, or their windows, and resizes them; those that cannot be read are named and left out.

    Args:
        pairs: in the order of the photos.
        reader: of the data set.
        height: that they are resized to, in pixels.
        width: likewise.
        masks: whether the masks are read too.

    Raises:
        DataError: none could be read.
    """
    found = read_pairs(list(pairs), lambda pair: _read(pair, reader, height, width, masks), "Reading")
    photos = [photo for _, photo in found]
    if not photos:
        raise DataError("no photo could be read; give --data a folder of photos, or of images/ and masks/")
    return photos


def _read(pair: Pair, reader: SampleReader, height: int, width: int, masks: bool) -> Photo:
    if masks:
        return Photo(pair.stem, *reader.load_at(pair, height, width))
    return Photo(pair.stem, resize_image(reader.load_image(pair), height, width), None)


def _draw(spec: ModelSpec, count: int) -> list[Photo]:
    from flood_seg.synthetic.scene import draw_scene

    if spec.task != "binary" or not BandSelection.of(spec).is_photo:
        raise DataError("no data there, and synthetic scenes suit binary models of photos only; give --data FOLDER")
    say(f"No data there: {count} synthetic scenes are drawn; --data names a folder of your own.")
    scenes = (draw_scene(seed, spec.height, spec.width) for seed in range(count))
    truth = spec.class_names[1].lower() == "water"  # of other models the scenes' masks say nothing
    return [Photo(f"scene {seed}", *_classes(*scene, truth)) for seed, scene in enumerate(scenes)]


def _classes(image: np.ndarray, mask: np.ndarray, truth: bool) -> tuple[np.ndarray, np.ndarray | None]:
    return image, (mask > 0).astype("uint8") if truth else None
