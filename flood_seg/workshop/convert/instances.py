"""Reads COCO's file of instances, and draws its annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from flood_seg.errors import DataError
from flood_seg.workshop.convert.samples import Notes, check_file
from flood_seg.workshop.convert.shapes import check_numbers, decompress_runs, draw_box, draw_polygons, draw_runs

Entry = dict[str, Any]
ID_TYPES = (int, float, str)
REQUIRED_KEYS: dict[str, dict[str, Any]] = {
    "categories": {"id": ID_TYPES, "name": ID_TYPES},
    "images": {"id": ID_TYPES, "file_name": ID_TYPES, "height": object, "width": object},
    "annotations": {"image_id": ID_TYPES, "category_id": ID_TYPES},
}


def read_instances(path: Path) -> Entry:
    """Returns COCO's record of categories, images and annotations; checks the required keys and their types.

    Raises:
        DataError: the file is no JSON of COCO's instances.
    """
    check_file(path, "--annotations the JSON file of COCO's instances")
    try:
        record: Entry = json.loads(path.read_text(encoding="utf-8-sig"))
        for name, keys in REQUIRED_KEYS.items():
            for place, one in enumerate(record[name]):
                _check(one, keys, f"{name}[{place}]")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"{path}: no instances of COCO ({reason})") from error
    return record


def _check(one: Any, keys: dict[str, Any], where: str) -> None:
    for key, kind in keys.items():
        if not isinstance(one, dict) or key not in one:
            raise ValueError(f"{where} has no {key!r}")
        if (isinstance(one[key], bool) and kind is ID_TYPES) or not isinstance(one[key], kind):
            raise ValueError(f"{where} has {key} {one[key]!r}, which is neither a number nor text")


def is_crowd(one: Entry) -> bool:
    """Whether an annotation is a crowd; raises ValueError where `iscrowd` is neither 0 nor 1."""
    crowd = one.get("iscrowd") or 0
    if crowd not in (0, 1):
        raise ValueError(f"iscrowd is {crowd!r}")
    return bool(crowd)


def draw_annotation(one: Entry, height: int, width: int, notes: Notes, where: str) -> np.ndarray:
    """Draws polygons or run lengths, or the box of an annotation without a segmentation.

    Args:
        one: the annotation.
        height: of the image.
        width: of the image.
        notes: counts annotations that are only a box, and polygons of too few points.
        where: name of the annotation in messages.

    Returns:
        bool [height, width].

    Raises:
        ValueError, TypeError, KeyError: it cannot be drawn.
    """
    segmentation = one.get("segmentation")
    if isinstance(segmentation, dict) and segmentation:
        return _draw_runs(segmentation, height, width)
    if segmentation and not isinstance(segmentation, list):
        raise ValueError("its segmentation is neither polygons nor run lengths")
    rings = [ring for ring in segmentation or [] if not isinstance(ring, list) or ring]
    if not rings:
        area = _draw_box(one, height, width)
        notes.add("{} of %d annotations have only a box; drawn as rectangles", where)
        return area
    if not all(isinstance(ring, list) for ring in rings):
        raise ValueError("its segmentation is no list of polygons")
    usable = [ring for ring in rings if len(ring) >= 6] or rings  # if none is, drawing raises the error
    area = draw_polygons(usable, height, width)
    notes.add("{} polygons of fewer than 3 points left out of annotations of several", where, len(rings) - len(usable))
    return area


def _draw_box(one: Entry, height: int, width: int) -> np.ndarray:
    """Draws the box, rotated by CVAT's attribute `rotation` if it has one."""
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("it has no segmentation, and no bbox of 4 numbers")
    check_numbers(box)
    left, top, across, down = box
    attributes = one.get("attributes")
    rotation = (attributes.get("rotation") if isinstance(attributes, dict) else None) or 0
    return draw_box([left, top, left + across, top + down], rotation, height, width)


def _draw_runs(segmentation: Entry, height: int, width: int) -> np.ndarray:
    """Draws run lengths in either of COCO's forms."""
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"its run lengths are of {segmentation['size']}, the image is {[height, width]}")
    counts = segmentation["counts"]
    if not isinstance(counts, str | list):
        raise ValueError("its run lengths are neither a text nor a list")
    return draw_runs(decompress_runs(counts) if isinstance(counts, str) else counts, height, width)
