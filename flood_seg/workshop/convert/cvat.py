"""CVAT for images 1.1: an XML file of polygons, and of masks for shapes with holes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

import numpy as np

from flood_seg.classes import IGNORE, IGNORED
from flood_seg.config.schema import DataConfig
from flood_seg.config.schema.extra_val import ALIASES
from flood_seg.config.schema.workshop import CocoConfig
from flood_seg.console import counted, one_line, say, track
from flood_seg.errors import DataError
from flood_seg.files import atomic_path, encodable
from flood_seg.workshop.convert.samples import (
    DataSetWriter,
    ExportSample,
    ExportSamples,
    Notes,
    check_file,
    export_image,
    find_file,
    index_classes,
)  # fmt: skip
from flood_seg.workshop.convert.shapes import (
    Area,
    Shape,
    check_numbers,
    count_lost,
    draw_box,
    draw_ellipse,
    draw_polygons,
    to_shapes,
    use_polygon,
)  # fmt: skip
from flood_seg.workshop.output_layout import all_or_nothing

ANNOTATIONS_FILE = "annotations.xml"
AREA_TAGS = ("polygon", "mask", "box", "ellipse")


def to_cvat(data: DataConfig, task: str, options: CocoConfig, out: Path) -> Path:
    """Writes `images/` (or `train/images/`, ...) and `annotations.xml`.

    Raises:
        FindingsError: some samples could not be used; the rest is done.
        OutputError: `out` holds files.
        UsageError: as `ExportSamples`.
    """
    classes = data.classes(task)
    root = _head([*zip(classes.names, classes.colors, strict=True)][1:])
    named = dict(enumerate(classes.names)) | {IGNORED: IGNORE}
    notes = Notes()
    with all_or_nothing(out):
        samples = ExportSamples(data, task, out)
        for sample in samples:
            _add_image(root, sample, named, options, notes)
        if count := len(root.findall("image")):
            ElementTree.indent(root)
            with atomic_path(out / ANNOTATIONS_FILE) as temporary:
                ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)
            say(f"{out / ANNOTATIONS_FILE}: {counted(count, 'image')}")
    notes.show()
    samples.raise_failed()
    return out / ANNOTATIONS_FILE


def _add_image(
    root: ElementTree.Element, sample: ExportSample, named: dict[int, str], options: CocoConfig, notes: Notes
) -> None:
    """Copies a sample's image and adds it with its shapes to the document."""
    _check_xml(sample.pair.image)
    file = export_image(sample.pair.image, sample.place)
    height, width = sample.mask.shape
    size = {"width": str(width), "height": str(height)}
    number = str(len(root.findall("image")))
    image = ElementTree.SubElement(root, "image", {"id": number, "name": file.name, **size})
    if sample.place.part:
        image.set("subset", sample.place.part)
    shapes = to_shapes(sample.mask, options)
    count_lost(notes, sample.mask, shapes, options, file.name)
    for shape in shapes:
        _add(image, shape, named[shape.index], options)


def _check_xml(path: Path) -> None:
    """Raises DataError where XML 1.0 cannot represent a file's name."""
    if encodable(one_line(path.name)) != path.name:
        raise DataError(f"{path}: XML cannot hold this name, not all of it is UTF-8 text; rename the file")


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
    """Writes `images/` and `masks/` of polygons, masks, boxes and ellipses, in the order of z_order and of the file.

    Args:
        annotations: the XML file.
        images: the folder that images' names are relative to; those of a subset may lie in `SUBSET/images/`.
        out: a new folder.

    Raises:
        DataError: the file is not of CVAT for images.
        OutputError: `out` holds files.
        FindingsError: some entries could not be used; the rest is done.
    """
    root = _read(annotations)
    found = root.findall("image")
    if root.tag != "annotations" or not found:
        raise DataError(f"{annotations}: holds no <image>; export the task as 'CVAT for images 1.1'")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; give --images the folder of the images")
    classes, index = index_classes(_labels(root, found))
    writer = DataSetWriter(out, classes)
    with all_or_nothing(out):
        _count_others(found, writer)
        files = _by_file(found, images, writer)
        for file, entries in track(files.items(), "Converting", len(files)):
            _write(file, entries, index, len(files), writer)
        writer.finish()


def _read(path: Path) -> ElementTree.Element:
    check_file(path, "--annotations the XML file of CVAT for images 1.1")
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:  # the latter of encodings
        raise DataError(f"{path}: no XML ({error})") from error


def _labels(root: ElementTree.Element, images: list[ElementTree.Element]) -> list[str]:
    """Returns the listed labels except those of a skeleton's points, then labels of shapes that are not listed."""
    listed = [label.findtext("name") for label in root.findall(".//labels/label") if label.find("parent") is None]
    used = sorted({shape.get("label") or "" for image in images for shape in image if shape.tag in AREA_TAGS})
    return [name for name in dict.fromkeys([*listed, *used]) if name]


def _count_others(images: list[ElementTree.Element], writer: DataSetWriter) -> None:
    """Counts shapes that are not areas, and images without a part where others have one."""
    for image in images:
        for shape in image:
            if shape.tag not in AREA_TAGS:
                writer.notes.add(f"{{}} <{shape.tag}> shapes are not areas and are not drawn", str(image.get("name")))
    outside = [image for image in images if _part(image) is None]
    if len(outside) < len(images):
        for image in outside:
            writer.notes.add(
                "{} images are of a subset that is none of train, val and test; training does not read them",
                str(image.get("name")),
            )


def _part(image: ElementTree.Element) -> str | None:
    name = (image.get("subset") or "").lower()
    return next((part for part, names in ALIASES.items() if name in names), None)


def _by_file(
    entries: list[ElementTree.Element], images: Path, writer: DataSetWriter
) -> dict[Path, list[ElementTree.Element]]:
    """Returns the entries of each file."""
    files = defaultdict[Path, list[ElementTree.Element]](list)
    for image in entries:
        name, subset = image.get("name"), image.get("subset")
        if not name:
            writer.fail("an <image> has no name")
            continue
        more = [images / subset / "images" / name, images / subset / name] if subset else []
        file = find_file(images / name, *more)
        if file is None:
            lost = counted(sum(shape.tag in AREA_TAGS for shape in image), "area")
            writer.fail(f"{images / name}: no such file; its {lost} cannot be drawn")
            continue
        files[file].append(image)
        if len(files[file]) > 1:
            writer.notes.add("{} images are listed again; their shapes are put together", name)
    return files


def _write(
    file: Path, entries: list[ElementTree.Element], index: dict[str, int], count: int, writer: DataSetWriter
) -> None:
    """Draws the shapes of an image and writes both."""
    name = str(entries[0].get("name"))
    try:
        sizes = [(int(str(image.get("height"))), int(str(image.get("width")))) for image in entries]
    except ValueError:
        writer.fail(f"{name}: its height and width in the file are no numbers")
        return
    size = writer.size(file, sizes)
    if size is None:
        return
    shapes = [shape for image in entries for shape in image if shape.tag in AREA_TAGS]
    if not shapes:
        writer.notes.add(f"{{}} of {count} images have no area and are background alone", name)
    writer.add(file, _draw(shapes, name, size, index, writer), _part(entries[0]), name)


def _draw(
    shapes: list[ElementTree.Element], name: str, size: tuple[int, int], index: dict[str, int], writer: DataSetWriter
) -> np.ndarray:
    """Returns class indices, uint8 [H, W]."""
    mask, drawn = np.zeros(size, np.uint8), []
    for shape in shapes:
        try:
            label = shape.get("label")
            if not label:
                raise ValueError("it has no label")
            drawn.append((int(shape.get("z_order") or 0), index[label], Area.of(_area(shape, *size))))
        except (ValueError, TypeError) as error:
            writer.fail(f"{name}: a {shape.tag} cannot be drawn ({error})")
            continue
        if not drawn[-1][2].pixels:
            writer.notes.add("{} areas cover no pixel of their image and are not drawn", name)
        if drawn[-1][1] == IGNORED:
            writer.notes.add(f"{{}} areas are labelled {IGNORE}, and count nowhere", name)
    for _, place, area in sorted(drawn, key=lambda one: one[0]):
        area.draw(mask, place)
    return mask


def _area(shape: ElementTree.Element, height: int, width: int) -> np.ndarray:
    """Draws an area as bool [height, width]; raises ValueError where its attributes are invalid."""
    if shape.tag == "polygon":
        points = [float(side) for point in str(shape.get("points")).split(";") for side in point.split(",")]
        return draw_polygons([points], height, width)
    if shape.tag == "box":
        return draw_box(_floats(shape, "xtl", "ytl", "xbr", "ybr"), float(shape.get("rotation") or 0), height, width)
    if shape.tag == "ellipse":
        return draw_ellipse(_floats(shape, "cx", "cy", "rx", "ry"), float(shape.get("rotation") or 0), height, width)
    from cvat_sdk.masks import decode_mask

    left, top, across, down = (int(value) for value in _floats(shape, "left", "top", "width", "height"))
    runs = [int(run) for run in str(shape.get("rle")).split(",")]
    if min(runs) < 0 or sum(runs) != across * down:
        raise ValueError(f"its run lengths sum up to {sum(runs)}, not to {across}×{down}")
    encoded = [*runs, left, top, left + across - 1, top + down - 1]
    return np.asarray(decode_mask(encoded, image_width=width, image_height=height), bool)


def _floats(shape: ElementTree.Element, *names: str) -> list[float]:
    values = [shape.get(name) for name in names]
    if missing := [name for name, value in zip(names, values, strict=True) if value is None]:
        raise ValueError(f"it has no {missing[0]}")
    numbers = [float(str(value)) for value in values]
    check_numbers(numbers)
    return numbers
