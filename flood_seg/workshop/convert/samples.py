"""Reads samples to be converted, and writes those that were."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flood_seg.classes import BACKGROUND, IGNORE, IGNORED
from flood_seg.console import counted, say, warn
from flood_seg.data.layout import warn_of
from flood_seg.data.parallel import read_pairs
from flood_seg.data.reading import SampleReader, check_aspect, resize_mask
from flood_seg.errors import DataError, FindingsError, ImageError, UsageError
from flood_seg.files import copy_file, write_json
from flood_seg.imaging.source import IMAGE_SUFFIXES
from flood_seg.imaging.write import write_image
from flood_seg.skipped import LeftOut
from flood_seg.workshop.header import read_header
from flood_seg.workshop.label_coding import Coding, on_command_line
from flood_seg.workshop.output_layout import (
    IMAGES,
    MASKS,
    OutputLocation,
    check_empty,
    find_with_parts,
    output_locations,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flood_seg.config.schema import DataConfig
    from flood_seg.data.pairing import Pair


CONVERSION = "conversion.json"
TURNED = "{} images are turned by EXIF; their annotations are taken to be of the upright images"


@dataclass(frozen=True)
class PlacedSample:
    """A pair with its place below the written folder, and its class indices, uint8 [H, W], at the image's size."""

    pair: Pair
    place: OutputLocation
    mask: np.ndarray

    @property
    def part(self) -> str | None:
        """Train, val or test, where the layout or a split file says it."""
        return self.place.part


def read_samples(data: DataConfig, task: str, out: Path) -> Iterator[PlacedSample]:
    """Yields each usable sample; in the end the others are an error.

    Raises:
        OutputError: `out` holds files.
        UsageError: rasters that are read by windows.
        FindingsError: some samples could not be used; all others were yielded before.
    """
    if data.windows is not None:
        raise UsageError("datamodule=rasters: convert tiles; cut the rasters by flood-seg data tile first")
    check_empty(out)
    placed, faults = find_with_parts(data)
    places = output_locations(out, placed)
    reader = SampleReader.of(data, task)
    warn_of(faults)

    def read(pair: Pair) -> np.ndarray:
        mask, size = reader.read_mask(pair), image_size(pair.image)
        check_aspect(size, mask.shape)
        return resize_mask(mask, *size)

    pairs, done = [pair for pair, _ in placed], 0
    place_of = dict(zip(pairs, places, strict=True))
    for pair, mask in read_pairs(pairs, read, "Converting"):
        done += 1
        yield PlacedSample(pair, place_of[pair], mask)
    if failed := len(faults) + len(pairs) - done:
        raise FindingsError(f"{failed} files could not be converted, see above; the rest is done")


def image_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) of an upright image; raises ImageError where it cannot be read."""
    return read_header(path).upright_size


def copy_image(image: Path, place: OutputLocation, folder: str = IMAGES) -> Path:
    """Copies an image, byte by byte, into a written data set; returns its file."""
    target = place.file(folder, image.suffix)
    copy_file(image, target)
    return target


class Tally:
    """Counts what was not taken as it stands, a line for each kind.

    Attributes:
        total: of what is counted, where a line says "of %d".
    """

    def __init__(self) -> None:
        self.total = 0
        self._counts, self._examples = Counter[str](), dict[str, str]()

    def note(self, text: str, example: str = "", count: int = 1) -> None:
        """Counts; `text` has `{}` where the number goes and maybe `%d` for `total`; `example` is the first one."""
        self._counts[text] += count
        if count:
            self._examples.setdefault(text, example)

    def count(self, text: str) -> int:
        """How often a line was noted."""
        return self._counts[text]

    @property
    def lines(self) -> list[str]:
        """What was counted."""
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


class SetWriter:
    """Writes images and masks that training takes, and says by which overrides."""

    def __init__(
        self, root: Path, names: Sequence[str], *, background: str = BACKGROUND, part: str | None = None
    ) -> None:
        """Begins a data set, or the next part of one.

        Args:
            root: its folder.
            names: of all classes but the background.
            background: the name of class 0.
            part: the only part that is written; None: several, or none.

        Raises:
            OutputError: `root`, or the part's folder, holds files.
            DataError: too many classes or none, or other ones than those of the parts that are there.
        """
        self._coding = Coding.of_names([background, *names])
        self._root, self._part = root, part
        self._before = _read_parts(root) if part else {}
        check_empty(root / part if part and self._before else root)
        if self._before and self._before["classes"] != list(self._coding.names):
            raise DataError(
                f"{root}: its other parts have the classes {', '.join(self._before['classes'])}, this one has "
                f"{', '.join(self._coding.names)}; a data set has one list of classes"
            )
        self._count, self._ignored = 0, bool(self._before.get("ignored"))
        self.failed, self.tally, self._written = list[str](), Tally(), set[tuple[str, str]]()

    @property
    def folder(self) -> Path:
        """What is written: the data set's folder, or its next part's."""
        return self._root / self._part if self._part else self._root

    def size(self, image: Path, sizes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
        """Returns (height, width) of an image, or None where it cannot be read or annotations are of another size."""
        try:
            size = image_size(image)
        except ImageError as error:
            self.fail(str(error))
            return None
        for height, width in sizes:
            if (height, width) != size:
                self.fail(f"{image}: is {size[1]}×{size[0]}, its annotations are of {width}×{height}")
                return None
        if read_header(image).orientation != 1:
            self.tally.note(TURNED, image.name)
        return size

    def add(self, image: Path, mask: np.ndarray, part: str | None, name: str) -> None:
        """Writes a sample.

        Args:
            image: is copied.
            mask: class indices, uint8 [H, W], of the image's size.
            part: train, val, test, or None.
            name: the image's file name, maybe with folders, which become a part of the stem.
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
        write_image(place.file(MASKS, ".png"), self._coding.encode(mask))
        self._count += 1

    def _place(self, part: str | None, name: str) -> OutputLocation | None:
        """Returns a place of its own: of the stem, else of the whole name; None where both are taken."""
        path = Path(name)
        for whole in (path.with_suffix(""), path):
            stem = "_".join(step for step in whole.parts if step not in ("..", "/")).lstrip(".")
            key = part or "", stem.casefold()  # one file on some file systems
            if key not in self._written:
                self._written.add(key)
                return OutputLocation(self._root, part, stem)
        return None

    def fail(self, line: str) -> None:
        """Notes what could not be used."""
        self.failed.append(line)

    def finish(self) -> None:
        """Prints what was written, and writes it to `conversion.json`.

        Raises:
            FindingsError: something could not be used; the rest is done.
        """
        overrides = self._coding.overrides(self._root, ignored=self._ignored)
        done = {"images": self._count, "notes": self.tally.lines, "left_out": self.failed}
        parts = self._before.get("parts", {}) | {self._part or "all": done}
        record = {"classes": list(self._coding.names), "ignored": self._ignored, "overrides": overrides, "parts": parts}
        if self._count:
            write_json(self._root / CONVERSION, record)
        self.tally.show()
        with LeftOut() as left_out:
            for line in self.failed:
                left_out.add(line.partition(": ")[0], line, f"left out: {line}")
        train = f" with masks; train with {on_command_line(overrides)}" if self._count else ""
        say(f"{self._root}: {counted(self._count, 'image')}{train}")
        if self.failed:
            raise FindingsError(f"{len(self.failed)} entries could not be used, see above; the rest is done")


def _read_parts(root: Path) -> dict[str, Any]:
    """Returns the record of the parts that are there already; empty where there are none."""
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
    """Returns the first that is a file; names that no file can have are none."""
    for place in places:
        try:
            if place.is_file():
                return place
        except (OSError, ValueError):  # too long, a null character
            continue
    return None


def check_file(path: Path, what: str) -> None:
    """Raises DataError where there is no such file."""
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; give {what}")
