"""The data preview verb: a grid of augmented training samples with their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flood_seg.classes import to_rgb
from flood_seg.config.schema.checks import check_range
from flood_seg.console import say
from flood_seg.data.augmentation import build_augmentation
from flood_seg.data.datamodule import load_store
from flood_seg.files import check_suffix, check_writable
from flood_seg.imaging.bands import BandSelection
from flood_seg.imaging.display import to_picture

if TYPE_CHECKING:
    from pathlib import Path

    from flood_seg.config.schema import TrainConfig


MOST = 400  # samples that a picture has room for


def preview(config: TrainConfig, out: Path, count: int = 16) -> None:
    """Draws `count` augmented samples of the data set, a new one each until all had their turn."""
    from flood_seg.plots.samples import plot_grid

    check_range("--count", count, 1, MOST)
    check_suffix(out, (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".pdf", ".svg"), "a picture")
    check_writable(out, folder=False)
    store = load_store(config.datamodule, config.task)
    augmentation = build_augmentation(config.augmentation, BandSelection.of(config.datamodule))
    images, masks = [], []
    for place in range(count):
        image, mask = store[place % len(store.pairs)]
        if augmentation is not None:
            augmentation.set_random_seed(config.seed + place)
            augmented = augmentation(image=image, mask=mask)
            image, mask = augmented["image"], augmented["mask"]
        images.append(to_picture(image, config.datamodule.bands))
        masks.append(mask)
    colors = [to_rgb(color) for color in config.datamodule.classes(config.task).colors]
    plot_grid(images, masks, out, colors)
    say(f"{out}: {count} augmented samples with their masks outlined")
