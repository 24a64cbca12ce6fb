"""COCO's instances: polygons, run lengths (RLE) for shapes with holes, crowds for what counts nowhere."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import BACKGROUND, IGNORED
from flood_seg.console import counted, say, track
from flood_seg.data.convert.samples import SetWriter, check_file, copy_image, read_samples, to_place
from flood_seg.data.convert.shapes import Shape, draw_polygons, encode_rle, to_shapes, use_polygon
from flood_seg.errors import DataError
from flood_seg.imaging.write import write_json

if TYPE_CHECKING:
    from flood_seg.schema.workshop import CocoConfig, DataToolsConfig

ALL = "annotations"


def to_coco(config: DataToolsConfig, out: Path) -> list[Path]:
    """Writes `images/` and `annotations.json`, or those of each part: `train/images/`, `annotations/train.json`.

    Returns:
        the JSON files.

    Raises:
        FindingsError, OutputError, UsageError: as `read_samples`.
    """
    names = config.datamodule.classes(config.task).names
    records: dict[str | None, dict[str, Any]] = {}
    try:
        for sample in read_samples(config, out):
            record = records.setdefault(sample.part, _empty(names))
            file = copy_image(sample.pair.image, to_place(out, sample))
            number = len(record["images"]) + 1
            height, width = sample.mask.shape
            entry = {"id": number, "file_name": file.name, "height": height, "width": width}
            record["images"].append(entry)
            for shape in to_shapes(sample.mask, config.coco):
                record["annotations"].append(_annotation(shape, number, len(record["annotations"]) + 1, config.coco))
    finally:  # what could be read is worth having though something else could not
        files = []
        for part, record in records.items():
            file = out / "annotations" / f"{part}.json" if part else out / f"{ALL}.json"
            write_json(file, record)
            files.append(file)
            images, annotations = len(record["images"]), len(record["annotations"])
            say(f"{file}: {counted(images, 'image')}, {counted(annotations, 'annotation')}")
    return files


def _empty(names: tuple[str, ...]) -> dict[str, Any]:
    categories = [{"id": index, "name": name, "supercategory": ""} for index, name in enumerate(names) if index]
    info = {"description": "written by flood-seg", "version": "1.0"}
    return {"info": info, "licenses": [], "categories": categories, "images": [], "annotations": []}


def _annotation(shape: Shape, image: int, number: int, options: CocoConfig) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    encoded = encode_rle(shape.area)
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

    Larger shapes are drawn first, so that a small one on a large one is seen; crowds count nowhere.

    Args:
        annotations: the JSON file.
        images: the folder that `file_name` is relative to.
        out: a new folder.
        part: train, val or test: a folder below `out`; None: none.

    Raises:
        DataError: the file is no JSON of COCO's.
        OutputError: `out` holds files.
        FindingsError: some entries could not be used; the rest is done.
    """
    record = _read(annotations)
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; give --images the folder that the file names are relative to")
    categories = sorted((one for one in record["categories"] if one["name"] != BACKGROUND), key=lambda one: one["id"])
    index = {one["id"]: place for place, one in enumerate(categories, 1)}
    index |= {one["id"]: 0 for one in record["categories"] if one["name"] == BACKGROUND}
    of_image = defaultdict[Any, list[dict[str, Any]]](list)
    for one in record["annotations"]:
        of_image[one["image_id"]].append(one)
    crowds = any(one.get("iscrowd") for one in record["annotations"])
    writer = SetWriter(out, [str(one["name"]) for one in categories], ignored=crowds)
    for entry in track(record["images"], "Converting", len(record["images"])):
        file = images / str(entry["file_name"])
        if not file.is_file():
            writer.fail(f"{file}: no such file")
            continue
        mask = _draw(of_image.pop(entry["id"], []), entry, index, writer)
        writer.add(file, mask, part, str(entry["file_name"]))
    for unknown in of_image:
        writer.fail(f"{annotations}: annotations of image {unknown!r}, which is not among its images")
    writer.finish()


def _read(path: Path) -> dict[str, Any]:
    check_file(path, "--annotations the JSON file of COCO's instances")
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name, keys in (("categories", ("id", "name")), ("images", ("id", "file_name", "height", "width")),
                           ("annotations", ("image_id", "category_id"))):  # fmt: skip
            for one in record[name]:
                _ = [one[key] for key in keys]
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: no instances of COCO ({reason})") from error
    return record


def _draw(found: list[dict[str, Any]], entry: dict[str, Any], index: dict[Any, int], writer: SetWriter) -> np.ndarray:
    """Returns class indices, uint8 [H, W]."""
    height, width = int(entry["height"]), int(entry["width"])
    mask, areas = np.zeros((height, width), np.uint8), []
    for one in found:
        where = f"{entry['file_name']}: annotation {one.get('id', '?')}"
        if one["category_id"] not in index:
            writer.fail(f"{where} is of category {one['category_id']}, which is not among the categories")
            continue
        try:
            area = _area(one.get("segmentation"), height, width)
        except (ValueError, TypeError, KeyError) as error:
            writer.fail(f"{where} cannot be drawn ({error})")
            continue
        areas.append((bool(one.get("iscrowd")), -int(area.sum()), index[one["category_id"]], area))
    for crowd, _, place, area in sorted(areas, key=lambda one: one[:2]):
        mask[area] = IGNORED if crowd else place
    return mask


def _area(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Draws polygons, or run lengths in either of COCO's forms; raises ValueError where it is neither."""
    from pycocotools import mask as coco_mask

    if isinstance(segmentation, list):
        return draw_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict):
        raise ValueError("neither polygons nor run lengths")
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"its run lengths are of {segmentation['size']}, the image is {[height, width]}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if sum(counts) != height * width:
            raise ValueError(f"its run lengths sum up to {sum(counts)}, not to {height * width}")
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    else:
        segmentation = {"size": [height, width], "counts": counts.encode()}
    return np.asarray(coco_mask.decode(segmentation), bool)
