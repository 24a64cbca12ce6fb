"""COCO's instances: polygons, run-length encodings (RLE) for shapes with holes, crowds for ignored pixels."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from flood_seg.classes import BACKGROUND, IGNORED
from flood_seg.config.schema import DataConfig
from flood_seg.config.schema.workshop import CocoConfig
from flood_seg.console import counted, say, track
from flood_seg.errors import DataError
from flood_seg.files import write_json
from flood_seg.workshop.convert.instances import Entry, draw_annotation, is_crowd, read_instances
from flood_seg.workshop.convert.samples import (
    DataSetWriter,
    ExportSample,
    ExportSamples,
    Notes,
    export_image,
    find_file,
    index_classes,
)
from flood_seg.workshop.convert.shapes import Area, Shape, count_lost, to_shapes, use_polygon
from flood_seg.workshop.output_layout import all_or_nothing

DEFAULT_NAME = "annotations"
NO_PIXEL = "{} of %d annotations cover no pixel of their image and are not drawn"


def to_coco(data: DataConfig, task: str, options: CocoConfig, out: Path) -> list[Path]:
    """Writes `images/` and `annotations.json`, or those of each part: `train/images/`, `annotations/train.json`.

    Returns:
        the JSON files.

    Raises:
        FindingsError: some samples could not be used; the rest is done.
        OutputError: `out` holds files.
        UsageError: as `ExportSamples`.
    """
    names = data.classes(task).names
    records, notes = dict[str | None, dict[str, Any]](), Notes()
    with all_or_nothing(out):
        samples = ExportSamples(data, task, out)
        for sample in samples:
            _add(records.setdefault(sample.place.part, _empty(names)), sample, options, notes)
        files = [_write(out, part, record) for part, record in records.items()]
    notes.show()
    samples.raise_failed()
    return files


def _empty(names: tuple[str, ...]) -> dict[str, Any]:
    categories = [{"id": index, "name": name, "supercategory": ""} for index, name in enumerate(names) if index]
    info = {"description": "written by flood-seg", "version": "1.0", BACKGROUND: names[0]}
    return {"info": info, "licenses": [], "categories": categories, "images": [], "annotations": []}


def _add(record: dict[str, Any], sample: ExportSample, options: CocoConfig, notes: Notes) -> None:
    """Copies a sample's image and adds its annotations to the record."""
    file = export_image(sample.pair.image, sample.place)
    number = len(record["images"]) + 1
    height, width = sample.mask.shape
    record["images"].append({"id": number, "file_name": file.name, "height": height, "width": width})
    shapes = to_shapes(sample.mask, options)
    count_lost(notes, sample.mask, shapes, options, file.name)
    for shape in shapes:
        record["annotations"].append(_annotation(shape, number, len(record["annotations"]) + 1, options))


def _write(out: Path, part: str | None, record: dict[str, Any]) -> Path:
    file = out / "annotations" / f"{part}.json" if part else out / f"{DEFAULT_NAME}.json"
    write_json(file, record)
    say(f"{file}: {counted(len(record['images']), 'image')}, {counted(len(record['annotations']), 'annotation')}")
    return file


def _annotation(shape: Shape, image: int, number: int, options: CocoConfig) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(shape.area, np.uint8))
    encoded["counts"] = encoded["counts"].decode()  # as JSON takes it
    polygon, crowd = use_polygon(shape, options), shape.index == IGNORED
    outlines = [[float(side) for point in ring for side in point] for ring in shape.outlines]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1 if crowd else shape.index,  # COCO's crowds are of some category
        "segmentation": outlines if polygon else encoded,
        "area": float(coco_mask.area(encoded)),
        "bbox": [float(side) for side in coco_mask.toBbox(encoded)],
        "iscrowd": int(crowd),
    }


def from_coco(annotations: Path, images: Path, out: Path, part: str | None = None) -> None:
    """Writes `images/` and `masks/` of COCO's instances.

    Larger shapes are drawn first, so that they do not hide smaller ones; the pixels of crowds are ignored. Deviations
    from the annotations are counted and reported.

    Args:
        annotations: the JSON file.
        images: the folder that `file_name` is relative to.
        out: a new folder, or one with other parts that were written by this function.
        part: train, val or test: a folder below `out`; None: none.

    Raises:
        DataError: the file is not JSON of COCO instances.
        OutputError: `out`, or the part's folder, holds files.
        FindingsError: some entries could not be used; the rest is done.
    """
    record = read_instances(annotations)
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; give --images the folder that the file names are relative to")
    categories = sorted(record["categories"], key=lambda one: (isinstance(one["id"], str), one["id"]))
    named = (record.get("info") or {}).get(BACKGROUND) if isinstance(record.get("info"), dict) else None
    background = named if isinstance(named, str) and named else BACKGROUND
    classes, index = index_classes([str(one["name"]) for one in categories], background)
    of_category = {one["id"]: index[str(one["name"])] for one in categories}
    writer = DataSetWriter(out, classes, background=background, part=part)
    with all_or_nothing(writer.folder):
        _write_all(record, images, of_category, writer, part)
        writer.finish()


def _write_all(
    record: dict[str, Any], images: Path, of_category: dict[Any, int], writer: DataSetWriter, part: str | None
) -> None:
    of_image = defaultdict[Any, list[Entry]](list)
    for one in record["annotations"]:
        of_image[one["image_id"]].append(one)
    files, empty = _by_file(record["images"], of_image, writer), True
    for name, entries in track(files.items(), "Converting", len(files)):
        found = [one for number in dict.fromkeys(entry["id"] for entry in entries) for one in of_image.pop(number, [])]
        file = find_file(images / name)
        if file is None:
            also = f"; its {counted(len(found), 'annotation')} cannot be drawn" if found else ""
            writer.fail(f"{images / name}: no such file{also}")
            continue
        size = writer.size(file, [(entry["height"], entry["width"]) for entry in entries])
        if size is None:
            continue
        if not found:
            writer.notes.add(f"{{}} of {len(files)} images have no annotation and are background alone", name)
        mask = _draw(found, name, size, of_category, writer)
        empty = empty and not mask.any()
        writer.add(file, mask, part, name)
    for number, lost in of_image.items():
        writer.fail(f"{counted(len(lost), 'annotation')} of image {number!r}, which is not among the images")
    if empty and writer.notes.count(NO_PIXEL):
        writer.fail("all masks are background alone, though there are annotations; are their coordinates in pixels?")
    writer.notes.total = len(record["annotations"])


def _by_file(entries: list[Entry], of_image: dict[Any, list[Entry]], writer: DataSetWriter) -> dict[str, list[Entry]]:
    """Returns the entries of each file name; entries whose id belongs to several files are left out."""
    names, files = defaultdict[Any, set[str]](set), defaultdict[str, list[Entry]](list)
    for entry in entries:
        names[entry["id"]].add(str(entry["file_name"]))
    for number, found in names.items():
        if len(found) > 1:
            lost = counted(len(of_image.pop(number, [])), "annotation")
            writer.fail(f"image {number!r} is {', '.join(sorted(found))}, so its {lost} could be of each")
    for entry in entries:
        if len(names[entry["id"]]) == 1:
            files[str(entry["file_name"])].append(entry)
    twice = [name for name, found in files.items() if len(found) > 1]
    if twice:
        text = "{} images are listed more than once; their annotations are put together"
        writer.notes.add(text, twice[0], len(twice))
    return files


def _draw(
    found: list[Entry], name: str, size: tuple[int, int], of_category: dict[Any, int], writer: DataSetWriter
) -> np.ndarray:
    """Returns class indices, uint8 [H, W]."""
    mask, areas = np.zeros(size, np.uint8), []
    for one in found:
        where = f"{name}: annotation {one.get('id', '?')}"
        if one["category_id"] not in of_category:
            writer.fail(f"{where} is of category {one['category_id']}, which is not among the categories")
            continue
        try:
            crowd = is_crowd(one)
            area = Area.of(draw_annotation(one, *size, writer.notes, where))
        except (ValueError, TypeError, KeyError) as error:
            writer.fail(f"{where} cannot be drawn ({error})")
            continue
        if not area.pixels:
            writer.notes.add(NO_PIXEL, where)
        if crowd:
            writer.notes.add("{} of %d annotations are crowds, which count nowhere; their pixels are ignored", where)
        areas.append((crowd, -area.pixels, of_category[one["category_id"]], area))
    for crowd, _, place, area in sorted(areas, key=lambda one: one[:2]):
        area.draw(mask, IGNORED if crowd else place)
    return mask
