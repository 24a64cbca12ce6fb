"""Reads samples to be converted, and writes those that were."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flood_seg.classes import BACKGROUND, IGNORE, IGNORED
from flood_seg.console import counted, say, track, warn
from flood_seg.data.copy import IMAGES, MASKS, Place, check_empty, find_with_parts, place_of
from flood_seg.data.reading import SampleReader, check_aspect, resize_mask
from flood_seg.errors import DataError, FindingsError, ImageError, UsageError
from flood_seg.imaging.header import describe_file
from flood_seg.imaging.postprocess import to_labels
from flood_seg.imaging.read import is_raster, read_size
from flood_seg.imaging.write import copy_file, write_image
from flood_seg.processors import cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.data.pairing import Pair
    from flood_seg.schema.workshop import DataToolsConfig


@dataclass(frozen=True)
class Sample:
    """A pair with its class indices, uint8 [H, W], at the image's size."""

    pair: Pair
    part: str | None
    mask: np.ndarray


def read_samples(config: DataToolsConfig, out: Path) -> Iterator[Sample]:
    """Yields each usable sample; in the end the others are an error.

    Raises:
        OutputError: `out` holds files.
        UsageError: rasters that are read by windows.
        FindingsError: some samples could not be used; all others were yielded before.
    """
    if config.datamodule.windows is not None:
        raise UsageError("datamodule=rasters: convert tiles; cut the rasters by flood-seg data tile first")
    check_empty(out)
    placed, faults = find_with_parts(config.datamodule)
    reader = SampleReader.of(config.datamodule, config.task)
    failed = [f"{fault.path.name}: {fault.reason}" for fault in faults]

    def read(pair: Pair) -> np.ndarray | ImageError:
        try:
            mask = reader.read_mask(pair)
            size = image_size(pair.image)
            check_aspect(size, mask.shape)
        except ImageError as error:
            return error
        return resize_mask(mask, *size)

    with ThreadPoolExecutor(min(4, cores())) as pool:
        masks = pool.map(read, [pair for pair, _ in placed])
        for (pair, part), mask in track(zip(placed, masks, strict=True), "Converting", len(placed)):
            if isinstance(mask, ImageError):
                failed.append(f"{pair.stem}: {mask}")
            else:
                yield Sample(pair, part, mask)
    if failed:
        for line in failed:
            warn(f"left out: {line}")
        raise FindingsError(f"{len(failed)} files could not be converted, see above; the rest is done")


def image_size(path: Path) -> tuple[int, int]:
    """Returns (height, width) of an upright image; raises ImageError where it cannot be read."""
    return describe_file(path).size if is_raster(path) else read_size(path)


def copy_image(image: Path, place: Place, folder: str = IMAGES) -> Path:
    """Copies an image, byte by byte, into a written data set; returns its file."""
    target = place.file(folder, image.suffix)
    copy_file(image, target)
    return target


def to_place(root: Path, sample: Sample) -> Place:
    """Returns where a sample lies in a written data set."""
    return place_of(root, sample.pair, sample.part)


class SetWriter:
    """Writes images and masks that training takes, and says by which overrides."""

    def __init__(self, root: Path, names: Sequence[str], *, ignored: bool) -> None:
        """Begins a data set.

        Args:
            root: its folder.
            names: of all classes but the background.
            ignored: whether any pixel counts nowhere, which changes the masks' values.

        Raises:
            OutputError: `root` holds files.
        """
        check_empty(root)
        self._root, self._names, self._ignored, self._count = root, list(names), ignored, 0
        self.failed, self._written = list[str](), set[Place]()

    @property
    def _values(self) -> list[int]:
        """Of two classes 0 and 255, unless 255 is ignored; else the classes' indices."""
        two = len(self._names) == 1 and not self._ignored
        return [0, 255] if two else [*range(len(self._names) + 1), *[IGNORED] * (255 - len(self._names))]

    def add(self, image: Path, mask: np.ndarray, part: str | None, name: str) -> None:
        """Writes a sample.

        Args:
            image: is copied.
            mask: class indices, uint8 [H, W].
            part: train, val, test, or None.
            name: the image's file name, maybe with folders, which become a part of the stem.
        """
        stem = "_".join(step for step in Path(name).with_suffix("").parts if step not in ("..", "/"))
        place = Place(self._root, part, stem)
        try:
            size = image_size(image)
        except ImageError as error:
            self.fail(str(error))
            return
        if size != mask.shape:
            self.fail(f"{image}: is {size[1]}×{size[0]}, its annotations are of {mask.shape[1]}×{mask.shape[0]}")
            return
        if place in self._written:
            self.fail(f"{image}: another image has the same stem, {stem}")
            return
        self._written.add(place)
        copy_image(image, place)
        write_image(place.file(MASKS, ".png"), to_labels(mask, self._values))
        self._count += 1

    def fail(self, line: str) -> None:
        """Notes what could not be used."""
        self.failed.append(line)

    def finish(self) -> None:
        """Says what was written.

        Raises:
            FindingsError: something could not be used; the rest is done.
        """
        say(f"{self._root}: {counted(self._count, 'image')} with masks; train with {self.overrides}")
        for line in self.failed:
            warn(f"left out: {line}")
        if self.failed:
            raise FindingsError(f"{len(self.failed)} entries could not be used, see above; the rest is done")

    @property
    def overrides(self) -> str:
        """What training wants to know of the written set."""
        plain = f"datamodule.data_dir={self._root}"
        if self._values == [0, 255]:
            return plain + (
                "" if self._names == ["water"] else f" 'datamodule.class_names=[background,{self._names[0]}]'"
            )
        labels = {value: name for value, name in enumerate([BACKGROUND, *self._names])}
        if self._ignored:
            labels[IGNORED] = IGNORE
        listed = ",".join(f"{value}:{name}" for value, name in labels.items())
        task = "" if len(self._names) == 1 else "task=multiclass "
        return f"{task}{plain} 'datamodule.labels={{{listed}}}'"


def check_file(path: Path, what: str) -> None:
    """Raises DataError where there is no such file."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; give {what}")
