"""The data preview verb: a grid of augmented training samples with their masks."""

from __future__ import annotations

from pathlib import Path

from flood_seg.classes import to_rgb
from flood_seg.config.schema import AugmentationConfig, DataConfig
from flood_seg.config.schema.checks import check_range
from flood_seg.console import say
from flood_seg.data.augmentation.pipeline import build_augmentation
from flood_seg.data.datamodule import load_store
from flood_seg.data.prepare import prepare_data
from flood_seg.files import check_suffix, check_writable
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.display import to_picture
from flood_seg.synthetic.sample_set import write_sample

MAX_SAMPLES = 400  # cells of a legible grid


def preview(
    data: DataConfig, task: str, augmentation: AugmentationConfig, seed: int, out: Path, count: int = 16
) -> None:
    """Draws `count` augmented samples of the data set, one of each image before any is repeated."""
    from flood_seg.plots.samples import plot_grid

    check_range("--count", count, 1, MAX_SAMPLES)
    check_suffix(out, (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg"), "a picture")
    check_writable(out, folder=False)
    if data.sample is not None:
        write_sample(data.folders[0], data.sample)
    prepare_data(data)
    store = load_store(data, task)
    augment = build_augmentation(augmentation, BandSelection.of(data))
    images, masks = [], []
    for place in range(count):
        image, mask = store[place % len(store.pairs)]
        if augment is not None:
            augment.set_random_seed(seed + place)
            augmented = augment(image=image, mask=mask)
            image, mask = augmented["image"], augmented["mask"]
        images.append(to_picture(image, data.bands))
        masks.append(mask)
    colors = [to_rgb(color) for color in data.classes(task).colors]
    plot_grid(images, masks, out, colors)
    say(f"{out}: {count} augmented samples with their masks outlined")
