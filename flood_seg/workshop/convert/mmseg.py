"""MMSegmentation's folders: `img_dir/PART`, `ann_dir/PART`, masks of class indices with 255 ignored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from flood_seg.classes import IGNORE, IGNORED, to_rgb
from flood_seg.config.schema import DataConfig
from flood_seg.console import counted, say
from flood_seg.data.split import random_split
from flood_seg.errors import DataError, UsageError
from flood_seg.files import write_json
from flood_seg.imaging.write import write_image
from flood_seg.workshop.convert.samples import DataSetWriter, ExportSamples, Notes, export_image
from flood_seg.workshop.output_layout import OutputLocation, all_or_nothing

IMAGES, MASKS, CLASSES = "img_dir", "ann_dir", "classes.json"


def to_mmseg(data: DataConfig, task: str, seed: int, out: Path) -> None:
    """Writes `img_dir/{train,val,test}`, `ann_dir/{train,val,test}` and `classes.json`.

    Without parts in the layout or a split file, a share of `datamodule.val_split` is drawn for validation.

    Raises:
        FindingsError: some samples could not be used; the rest is done.
        OutputError: `out` holds files.
        UsageError: as `ExportSamples`.
    """
    classes, notes, count = data.classes(task), Notes(), 0
    with all_or_nothing(out):
        samples = ExportSamples(data, task, out)
        parts = {pair.stem: part for pair, part in samples.placed}
        if not any(parts.values()):
            drawn = random_split(parts, data.val_split, seed)
            parts.update(dict.fromkeys(drawn.train, "train") | dict.fromkeys(drawn.val, "val"))
        for sample in samples:
            part, name = parts[sample.pair.stem], sample.place.name
            if part is None:
                notes.add("{} samples left out, which datamodule.split_file does not name", sample.pair.stem)
                continue
            export_image(sample.pair.image, OutputLocation(out, None, name), f"{IMAGES}/{part}")
            write_image(out / MASKS / part / f"{name}.png", sample.mask)
            count += 1
        palette = [list(to_rgb(color)) for color in classes.colors]
        write_json(out / CLASSES, {"classes": list(classes.names), "palette": palette, "ignore_index": IGNORED})
    notes.show()
    say(f"{out}: {counted(count, 'sample')} in {IMAGES} and {MASKS}")
    samples.raise_failed()


def from_mmseg(data: DataConfig, task: str, out: Path) -> None:
    """Writes images/ and masks/ of MMSegmentation's folders, or of any layout that training reads.

    Raises:
        UsageError: the classes of the masks' values are unknown.
        FindingsError: some samples could not be used; the rest is done.
        OutputError: `out` holds files.
        UsageError: as `ExportSamples`.
    """
    data, task = _with_classes(data, task)
    names = data.classes(task).names
    writer = DataSetWriter(out, names[1:], background=names[0])
    with all_or_nothing(out):
        samples = ExportSamples(data, task, out)
        for sample in samples:
            writer.add(sample.pair.image, sample.mask, sample.place.part, f"{sample.place.name}.png")
        writer.finish()
        samples.raise_failed()


def _with_classes(data: DataConfig, task: str) -> tuple[DataConfig, str]:
    """Returns data set and task with the classes of `classes.json`, where the configuration names none."""
    named = data.labels or data.max_label is not None or data.ignore_index is not None
    if named or not (data.folders[0] / data.images_dir).is_dir():  # reading raises the error
        return data, task
    path = data.folders[0] / CLASSES
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file, so nothing says which classes the masks' indices are; give "
            "datamodule.max_label=1 datamodule.ignore_index=255, or datamodule.labels={0:background,1:water,255:ignore}"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names, ignored = [str(name) for name in record["classes"]], int(record.get("ignore_index", IGNORED))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: holds no list of classes ({error}); give datamodule.labels") from error
    labels = dict(enumerate(names)) | {ignored: IGNORE}
    return replace(data, labels=labels), task if len(names) == 2 else "multiclass"
