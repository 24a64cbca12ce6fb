"""MMSegmentation's folders: `img_dir/PART`, `ann_dir/PART`, masks of class indices with 255 ignored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.console import counted, say
from flood_seg.data.convert.samples import SetWriter, copy_image, read_samples, to_place
from flood_seg.data.copy import Place, find_with_parts
from flood_seg.data.split import random_split
from flood_seg.imaging.write import write_image, write_json

if TYPE_CHECKING:
    from flood_seg.data.convert.samples import Sample
    from flood_seg.schema.workshop import DataToolsConfig

IMAGES, MASKS = "img_dir", "ann_dir"


def to_mmseg(config: DataToolsConfig, out: Path) -> None:
    """Writes `img_dir/{train,val,test}`, `ann_dir/{train,val,test}` and `classes.json`.

    Where nothing says which part a sample is of, `datamodule.val_split` of them are drawn for validation.

    Raises:
        FindingsError, OutputError, UsageError: as `read_samples`.
    """
    classes = config.datamodule.classes(config.task)
    placed, _ = find_with_parts(config.datamodule)
    drawn = None
    if not any(part for _, part in placed):
        drawn = set(random_split([pair.stem for pair, _ in placed], config.datamodule.val_split, config.seed).val)

    def part_of(sample: Sample) -> str | None:
        return sample.part if drawn is None else "val" if sample.pair.stem in drawn else "train"

    count = 0
    try:
        for sample in read_samples(config, out):
            part = part_of(sample)
            if part is None:  # a split file leaves it out
                continue
            name = to_place(out, sample).name
            copy_image(sample.pair.image, Place(out, None, name), f"{IMAGES}/{part}")
            write_image(out / MASKS / part / f"{name}.png", sample.mask)
            count += 1
    finally:
        if count:
            palette = [[int(color[place : place + 2], 16) for place in (1, 3, 5)] for color in classes.colors]
            write_json(out / "classes.json", {"classes": list(classes.names), "palette": palette, "ignore_index": 255})
            say(f"{out}: {counted(count, 'sample')} in {IMAGES} and {MASKS}")


def from_mmseg(config: DataToolsConfig, out: Path) -> None:
    """Writes images/ and masks/ of MMSegmentation's folders, or of any layout that training takes.

    Raises:
        FindingsError, OutputError, UsageError: as `read_samples`.
    """
    classes = config.datamodule.classes(config.task)
    writer: SetWriter | None = None
    try:
        for sample in read_samples(config, out):
            if writer is None:
                writer = SetWriter(out, classes.names[1:], ignored=bool(classes.ignored))
            writer.add(sample.pair.image, sample.mask, sample.part, f"{to_place(out, sample).name}.png")
    finally:
        if writer:
            writer.finish()
