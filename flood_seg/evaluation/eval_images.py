"""Images to evaluate models on: decoded once, at the models' input size, with their masks if there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flood_seg.config.defaults import defaults
from flood_seg.config.schema import DataConfig
from flood_seg.console import say
from flood_seg.data.layout import choose_pairs, has_masks
from flood_seg.data.pairing import Pair
from flood_seg.data.parallel import read_pairs
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader
from flood_seg.data.windows import cut_windows
from flood_seg.errors import DataError
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.preprocess import resize_image
from flood_seg.imaging.source import is_image_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from flood_seg.spec import ModelSpec

MAX_SCENES = 8  # that are generated where there is no data


@dataclass(frozen=True)
class EvalImage:
    """An image and its mask, of the same size.

    Attributes:
        name: stem of the file or of the window.
        image: any dtype [height, width, bands].
        mask: class indices, uint8 [height, width], with `IGNORED` pixels; None: there is no mask.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None


def load_images(data: DataConfig, spec: ModelSpec, count: int) -> tuple[list[EvalImage], str]:
    """Loads images of a data set or of a folder; generates scenes where the default data set is missing.

    Args:
        data: `data_dir` holds images/ and masks/ in any layout, images/ alone, or image files; with `windows`, rasters
            are read in windows.
        spec: of the model, with its bands and input size.
        count: maximum number of images, evenly spaced in the list.

    Returns:
        the images, and a description of their origin.

    Raises:
        DataError: the folder is missing, or no image can be read.
    """
    prepare_data(data)
    if data.data_dir == defaults(DataConfig).data_dir and not data.folders[0].exists():
        return _draw(spec, min(count, MAX_SCENES)), "synthetic scenes"
    for folder in data.folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; give --data a folder of images, or one with images/ and masks/")
    masks = has_masks(data)
    found = choose_pairs(data) if masks else _find_images(data)
    step = max(1.0, len(found) / count)
    chosen = [found[int(position * step)] for position in range(min(count, len(found)))]
    images = read_images(chosen, SampleReader.for_model(data, spec), spec.height, spec.width, masks=masks)
    return images, f"{'windows' if data.windows else 'images'} of {data.place}"


def _find_images(data: DataConfig) -> list[Pair]:
    """Returns the images of folders without masks, or their windows, each as a placeholder for its own mask."""
    found = []
    for folder in data.folders:
        place = folder / data.images_dir if (folder / data.images_dir).is_dir() else folder
        images = sorted(path for path in place.iterdir() if is_image_file(path))
        # With a part assigned, windows are not split into training and validation.
        found += [Pair(image.stem, image, image, part="val") for image in images]
    return found if data.windows is None else cut_windows(found, data, data.windows)


def read_images(
    pairs: Iterable[Pair], reader: SampleReader, height: int, width: int, *, masks: bool = True
) -> list[EvalImage]:
    """Reads and resizes pairs or windows; warns of those that cannot be read and skips them.

    Args:
        pairs: the result has the same order.
        reader: of the data set.
        height: of the results, in pixels.
        width: of the results, in pixels.
        masks: whether masks are read too.

    Raises:
        DataError: no image can be read.
    """

    def read(pair: Pair) -> EvalImage:
        if masks:
            return EvalImage(pair.stem, *reader.load_at(pair, height, width))
        return EvalImage(pair.stem, resize_image(reader.load_image(pair), height, width), None)

    images = [image for _, image in read_pairs(list(pairs), read, "Reading")]
    if not images:
        raise DataError("no image could be read; give --data a folder of images, or one with images/ and masks/")
    return images


def _draw(spec: ModelSpec, count: int) -> list[EvalImage]:
    from flood_seg.synthetic.scene import draw_scene

    if spec.task != "binary" or not BandSelection.of(spec).is_photo:
        raise DataError("no data set found, and synthetic scenes are for binary RGB models only; give --data FOLDER")
    say(f"No data set found: using {count} synthetic scenes; give --data FOLDER for images of your own.")
    is_water = spec.class_names[1].lower() == "water"  # for other classes, the scenes' masks are no ground truth
    scenes = (draw_scene(seed, spec.height, spec.width) for seed in range(count))
    return [
        EvalImage(f"scene {seed}", image, (mask > 0).astype("uint8") if is_water else None)
        for seed, (image, mask) in enumerate(scenes)
    ]
