"""CVAT for images 1.1: an XML file of polygons, and of masks for shapes with holes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import IGNORE, IGNORED
from flood_seg.console import counted, say, track, warn
from flood_seg.data.convert.samples import SetWriter, check_file, copy_image, read_samples, to_place
from flood_seg.data.convert.shapes import Shape, draw_polygons, to_shapes, use_polygon
from flood_seg.errors import DataError
from flood_seg.imaging.write import atomic_path

if TYPE_CHECKING:
    from flood_seg.schema.workshop import CocoConfig, DataToolsConfig

FILE = "annotations.xml"
DRAWN = ("polygon", "mask", "box")


def to_cvat(config: DataToolsConfig, out: Path) -> Path:
    """Writes `images/` (or `train/images/`, ...) and `annotations.xml`.

    Raises:
        FindingsError, OutputError, UsageError: as `read_samples`.
    """
    classes = config.datamodule.classes(config.task)
    root = _head([*zip(classes.names, classes.colors, strict=True)][1:])
    named = dict(enumerate(classes.names)) | {IGNORED: IGNORE}
    count = 0
    try:
        for sample in read_samples(config, out):
            file = copy_image(sample.pair.image, to_place(out, sample))
            height, width = sample.mask.shape
            size = {"width": str(width), "height": str(height)}
            image = ElementTree.SubElement(root, "image", {"id": str(count), "name": file.name, **size})
            if sample.part:
                image.set("subset", sample.part)
            for shape in to_shapes(sample.mask, config.coco):
                _add(image, shape, named[shape.index], config.coco)
            count += 1
    finally:
        if count:
            ElementTree.indent(root)
            with atomic_path(out / FILE) as temporary:
                ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
            say(f"{out / FILE}: {counted(count, 'image')}")
    return out / FILE


def _head(labels: list[tuple[str, str]]) -> ElementTree.Element:
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    listed = ElementTree.SubElement(task, "labels")
    for name, color in [*labels, (IGNORE, "#808080")]:
        label = ElementTree.SubElement(listed, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "color").text = color
        ElementTree.SubElement(label, "attributes")
    return root


def _add(image: ElementTree.Element, shape: Shape, label: str, options: CocoConfig) -> None:
    common = {"label": label, "source": "manual", "occluded": "0", "z_order": "0"}
    if use_polygon(shape, options):
        for ring in shape.outlines:
            points = ";".join(f"{x:g},{y:g}" for x, y in ring)
            ElementTree.SubElement(image, "polygon", {**common, "points": points})
        return
    from cvat_sdk.masks import encode_mask

    *runs, left, top, right, bottom = (int(value) for value in encode_mask(shape.area))
    place = {"left": left, "top": top, "width": right - left + 1, "height": bottom - top + 1}
    given = {name: str(value) for name, value in place.items()}
    ElementTree.SubElement(image, "mask", {**common, "rle": ", ".join(map(str, runs)), **given})


def from_cvat(annotations: Path, images: Path, out: Path) -> None:
    """Writes `images/` and `masks/` of polygons, masks and boxes, in the order of z_order and of the file.

    Args:
        annotations: the XML file.
        images: the folder that images' names are relative to; those of a subset may lie in `SUBSET/images/`.
        out: a new folder.

    Raises:
        DataError: the file is not of CVAT for images.
        OutputError: `out` holds files.
        FindingsError: some entries could not be used; the rest is done.
    """
    check_file(annotations, "--annotations the XML file of CVAT for images 1.1")
    try:
        root = ElementTree.parse(annotations).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{annotations}: no XML ({error})") from error
    found = root.findall("image")
    if root.tag != "annotations" or not found:
        raise DataError(f"{annotations}: holds no <image>; export the task as 'CVAT for images 1.1'")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; give --images the folder of the images")
    names = _labels(root, found)
    classes = [name for name in names if name != IGNORE]
    ignored = any(shape.get("label") == IGNORE for image in found for shape in image)
    writer = SetWriter(out, classes, ignored=ignored)
    index = {name: place for place, name in enumerate(classes, 1)} | {IGNORE: IGNORED}
    passed_over = {shape.tag for image in found for shape in image if shape.tag not in (*DRAWN, "tag")}
    if passed_over:
        warn(f"{annotations}: {', '.join(sorted(passed_over))} are no areas and are passed over")
    for image in track(found, "Converting", len(found)):
        file = _image_file(images, image)
        if file is None:
            writer.fail(f"{images / str(image.get('name'))}: no such file")
            continue
        writer.add(file, _draw(image, index, writer), _part(image), str(image.get("name")))
    writer.finish()


def _labels(root: ElementTree.Element, images: list[ElementTree.Element]) -> list[str]:
    """Returns the labels as the file lists them, then those that it only uses."""
    listed = [str(name.text) for name in root.findall(".//labels/label/name")]
    used = sorted({str(shape.get("label")) for image in images for shape in image if shape.tag in DRAWN})
    return list(dict.fromkeys([*listed, *used]))


def _part(image: ElementTree.Element) -> str | None:
    part = (image.get("subset") or "").lower()
    return part if part in ("train", "val", "test") else None


def _image_file(images: Path, image: ElementTree.Element) -> Path | None:
    name, subset = str(image.get("name")), image.get("subset")
    places = [images / name, *([images / subset / "images" / name, images / subset / name] if subset else [])]
    return next((place for place in places if place.is_file()), None)


def _draw(image: ElementTree.Element, index: dict[str, int], writer: SetWriter) -> np.ndarray:
    """Returns class indices, uint8 [H, W]."""
    height, width = int(image.get("height", 0)), int(image.get("width", 0))
    mask = np.zeros((height, width), np.uint8)
    shapes = [shape for shape in image if shape.tag in DRAWN]
    for shape in sorted(shapes, key=lambda shape: int(shape.get("z_order") or 0)):
        try:
            area = _area(shape, height, width)
        except (ValueError, TypeError) as error:
            writer.fail(f"{image.get('name')}: a {shape.tag} cannot be drawn ({error})")
            continue
        mask[area] = index[str(shape.get("label"))]
    return mask


def _area(shape: ElementTree.Element, height: int, width: int) -> np.ndarray:
    if shape.tag == "polygon":
        points = [float(side) for point in str(shape.get("points")).split(";") for side in point.split(",")]
        return draw_polygons([points], height, width)
    if shape.tag == "box":
        left, top, right, bottom = (float(str(shape.get(side))) for side in ("xtl", "ytl", "xbr", "ybr"))
        return draw_polygons([[left, top, right, top, right, bottom, left, bottom]], height, width)
    from cvat_sdk.masks import decode_mask

    left, top = (int(str(shape.get(side))) for side in ("left", "top"))
    across, down = (int(str(shape.get(side))) for side in ("width", "height"))
    runs = [int(run) for run in str(shape.get("rle")).split(",")]
    encoded = [*runs, left, top, left + across - 1, top + down - 1]
    return np.asarray(decode_mask(encoded, image_width=width, image_height=height), bool)
