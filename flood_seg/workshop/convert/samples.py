"""Reads the samples that are exported to other formats, and writes those that are imported."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flood_seg.classes import BACKGROUND, IGNORE, IGNORED
from flood_seg.config.schema import DataConfig
from flood_seg.console import counted, say, warn
from flood_seg.data.layout import warn_of
from flood_seg.data.pairing import Pair
from flood_seg.data.parallel import read_pairs
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader, check_aspect, resize_mask
from flood_seg.errors import DataError, FindingsError, ImageError, UsageError
from flood_seg.files import copy_file, write_json
from flood_seg.imaging.source import IMAGE_SUFFIXES
from flood_seg.imaging.write import write_image
from flood_seg.skipped import LeftOut
from flood_seg.workshop.header import read_header
from flood_seg.workshop.label_encoding import LabelEncoding
from flood_seg.workshop.output_layout import (
    IMAGES,
    MASKS,
    OutputLocation,
    check_empty,
    find_with_parts,
    output_locations,
    write_upright,
)

CONVERSION = "conversion.json"
TURNED = "{} images are turned by EXIF; their annotations are taken to be of the upright images"


@dataclass(frozen=True)
class ExportSample:
    """A pair with its place below the written folder, and its class indices, uint8 [H, W], at the image's size."""

    pair: Pair
    place: OutputLocation
    mask: np.ndarray


class ExportSamples:
    """The samples of a data set that is converted; what cannot be used is an error after all others are written.

    Attributes:
        placed: each pair with its part, train, val or test, where the layout or a split file names it.
    """

    def __init__(self, data: DataConfig, task: str, out: Path) -> None:
        """Finds the samples, and their locations below `out`; raises UsageError where rasters are read by windows."""
        if data.windows is not None:
            raise UsageError("datamodule=rasters: convert tiles; cut the rasters by flood-seg data tile first")
        prepare_data(data)
        self.placed, faults = find_with_parts(data)
        self._places = output_locations(out, self.placed)
        self._reader, self._failed = SampleReader.of(data, task), len(faults)
        warn_of(faults)

    def __iter__(self) -> Iterator[ExportSample]:
        """Reads the samples one after the other; those that cannot be read are warned of."""
        pairs, done = [pair for pair, _ in self.placed], 0
        place_of = dict(zip(pairs, self._places, strict=True))
        for pair, mask in read_pairs(pairs, self._read_mask, "Converting"):
            done += 1
            yield ExportSample(pair, place_of[pair], mask)
        self._failed += len(pairs) - done

    def _read_mask(self, pair: Pair) -> np.ndarray:
        mask, size = self._reader.read_mask(pair), read_header(pair.image).upright_size
        check_aspect(size, mask.shape)
        return resize_mask(mask, *size)

    def raise_failed(self) -> None:
        """Raises FindingsError where samples could not be used."""
        if self._failed:
            raise FindingsError(f"{self._failed} files could not be converted, see above; the rest is done")


def export_image(image: Path, place: OutputLocation, folder: str = IMAGES) -> Path:
    """Writes an image for other tools, many of which ignore EXIF orientation: upright, otherwise byte by byte."""
    if read_header(image).orientation != 1:
        return write_upright(image, place, folder)
    return copy_image(image, place, folder)


def copy_image(image: Path, place: OutputLocation, folder: str = IMAGES) -> Path:
    """Copies an image, byte by byte, into a written data set; returns its file."""
    target = place.file(folder, image.suffix)
    copy_file(image, target)
    return target


class Notes:
    """Counts deviations from the source that a conversion makes, and reports one line per kind.

    Attributes:
        total: of what is counted, where a line contains "of %d".
    """

    def __init__(self) -> None:
        self.total = 0
        self._counts, self._examples = Counter[str](), dict[str, str]()

    def add(self, text: str, example: str = "", count: int = 1) -> None:
        """Counts a deviation.

        Args:
            text: of the line, with `{}` for the number, and `%d` for `total` where it is reported.
            example: the file or annotation concerned; the first one is reported.
            count: how many there are.
        """
        self._counts[text] += count
        if count:
            self._examples.setdefault(text, example)

    def count(self, text: str) -> int:
        """Returns how often a text was counted."""
        return self._counts[text]

    @property
    def lines(self) -> list[str]:
        """One line per kind of deviation."""
        lines = list[str]()
        for text, count in self._counts.items():
            example = self._examples.get(text)
            text = text.replace("%d", str(self.total))
            lines += [text.format(count) + (f" (the first: {example})" if example else "")] if count else []
        return lines

    def show(self) -> None:
        """Prints each line."""
        for line in self.lines:
            warn(line)


class DataSetWriter:
    """Writes images and masks in the default layout, and reports the overrides that training reads them by."""

    def __init__(
        self, root: Path, names: Sequence[str], *, background: str = BACKGROUND, part: str | None = None
    ) -> None:
        """Starts a data set, or the next part of one.

        Args:
            root: its folder.
            names: of all classes but the background.
            background: the name of class 0.
            part: the only part that is written; None: several, or none.

        Raises:
            OutputError: `root`, or the part's folder, holds files.
            DataError: too many classes or none, or other ones than those of the existing parts.
        """
        self._encoding = LabelEncoding.of_names([background, *names])
        self._root, self._part = root, part
        self._before = _read_parts(root) if part else {}
        check_empty(root / part if part and self._before else root)
        if self._before and self._before["classes"] != list(self._encoding.names):
            raise DataError(
                f"{root}: its other parts have the classes {', '.join(self._before['classes'])}, this one has "
                f"{', '.join(self._encoding.names)}; a data set has one list of classes"
            )
        self._count, self._ignored = 0, bool(self._before.get("ignored"))
        self.failed, self.notes, self._written = list[str](), Notes(), set[tuple[str, str]]()

    @property
    def folder(self) -> Path:
        """The folder that is written: the data set's, or its next part's."""
        return self._root / self._part if self._part else self._root

    def size(self, image: Path, sizes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
        """Returns (height, width) of an image, or None where it cannot be read or annotations are of another size."""
        try:
            header = read_header(image)
        except ImageError as error:
            self.fail(str(error))
            return None
        size = header.upright_size
        for height, width in sizes:
            if (height, width) != size:
                self.fail(f"{image}: is {size[1]}×{size[0]}, its annotations are of {width}×{height}")
                return None
        if header.orientation != 1:
            self.notes.add(TURNED, image.name)
        return size

    def add(self, image: Path, mask: np.ndarray, part: str | None, name: str) -> None:
        """Writes a sample.

        Args:
            image: is copied.
            mask: class indices, uint8 [H, W], of the image's size.
            part: train, val, test, or None.
            name: the image's file name, optionally with folders, which become part of the stem.
        """
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            self.fail(f"{image}: its name does not end as an image's does; rename it")
            return
        place = self._place(part, name)
        if place is None:
            self.fail(f"{image}: another image would be written by the same name, {Path(name).name}")
            return
        self._ignored |= bool((mask == IGNORED).any())
        copy_image(image, place)
        write_image(place.file(MASKS, ".png"), self._encoding.encode(mask))
        self._count += 1

    def _place(self, part: str | None, name: str) -> OutputLocation | None:
        """Returns a unique location, named by the stem, otherwise by the whole name; None where both are used."""
        path = Path(name)
        for whole in (path.with_suffix(""), path):
            stem = "_".join(step for step in whole.parts if step not in ("..", "/")).lstrip(".")
            place = OutputLocation(self._root, part, stem)
            if place.key not in self._written:
                self._written.add(place.key)
                return place
        return None

    def fail(self, line: str) -> None:
        """Records an entry that could not be used."""
        self.failed.append(line)

    def finish(self) -> None:
        """Prints what was written, and writes it to `conversion.json`.

        Raises:
            FindingsError: something could not be used; the rest is done.
        """
        overrides = self._encoding.overrides(self._root, ignored=self._ignored)
        done = {"images": self._count, "notes": self.notes.lines, "left_out": self.failed}
        parts = self._before.get("parts", {}) | {self._part or "all": done}
        record = {
            "classes": list(self._encoding.names),
            "ignored": self._ignored,
            "overrides": overrides,
            "parts": parts,
        }
        if self._count:
            write_json(self._root / CONVERSION, record)
        self.notes.show()
        with LeftOut() as left_out:
            for line in self.failed:
                left_out.add(line.partition(": ")[0], line, f"left out: {line}")
        train = f" with masks; train with {shlex.join(overrides)}" if self._count else ""
        say(f"{self._root}: {counted(self._count, 'image')}{train}")
        if self.failed:
            raise FindingsError(f"{len(self.failed)} entries could not be used, see above; the rest is done")


def _read_parts(root: Path) -> dict[str, Any]:
    """Returns the record of the existing parts; empty where there are none."""
    path = root / CONVERSION
    if not path.is_file():
        return {}
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = [*record["classes"], *record["parts"], record["ignored"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); choose a new folder") from error
    return record


def index_classes(names: Iterable[str], background: str = BACKGROUND) -> tuple[list[str], dict[str, int]]:
    """Returns the classes in their order, without background and `ignore`, and the class index of each name."""
    classes = [name for name in dict.fromkeys(names) if name not in (background, BACKGROUND, IGNORE)]
    known = {background: 0, BACKGROUND: 0, IGNORE: IGNORED}
    return classes, {name: place for place, name in enumerate(classes, 1)} | known


def find_file(*places: Path) -> Path | None:
    """Returns the first path that is a file; invalid names are not."""
    return next((place for place in places if os.path.isfile(place)), None)  # noqa: PTH113 - a Path raises for long names


def check_file(path: Path, what: str) -> None:
    """Raises DataError where there is no such file."""
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; give {what}")
