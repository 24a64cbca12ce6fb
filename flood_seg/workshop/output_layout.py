"""Layout of written data sets: `images/` and `masks/`, in one folder per part where there are parts."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from flood_seg.config.schema import DataConfig
from flood_seg.data.layout import find_samples, parts_of
from flood_seg.data.pairing import Fault, Pair
from flood_seg.errors import DataError, FindingsError, OutputError
from flood_seg.files import check_writable
from flood_seg.imaging.decode import decode_bands
from flood_seg.imaging.write import write_image

IMAGES, MASKS = "images", "masks"


@dataclass(frozen=True)
class OutputLocation:
    """Location of a sample in a written data set.

    Attributes:
        root: the data set's folder.
        part: train, val or test; None where neither the layout nor a split file names it.
        name: stem of the files.
    """

    root: Path
    part: str | None
    name: str

    @property
    def key(self) -> tuple[str, str]:
        """Equal for locations that are one file on case-insensitive file systems."""
        return self.part or "", self.name.casefold()

    def file(self, folder: str, suffix: str) -> Path:
        """Returns the sample's file in a folder such as `images` or `masks`."""
        return self.root / (self.part or "") / folder / f"{self.name}{suffix}"


def write_upright(image: Path, place: OutputLocation, folder: str = IMAGES) -> Path:
    """Writes an image that EXIF turns as it is seen, without loss as PNG; returns its file."""
    values = decode_bands(image)[0]
    target = place.file(folder, ".png")
    write_image(target, values[:, :, 0] if values.shape[2] < 3 else values[:, :, :3])
    return target


def output_locations(root: Path, found: Sequence[tuple[Pair, str | None]]) -> list[OutputLocation]:
    """Returns the location of each sample, named by its stem, with underscores for folders other than the part's.

    Where stems clash, they are replaced by the images' full names.

    Raises:
        DataError: the full names clash, too.
    """
    places = []
    for pair, part in found:
        stem = pair.stem.removeprefix(f"{pair.part or ''}/")
        places.append(OutputLocation(root, part, stem.replace("/", "_")))
    counts = Counter(place.key for place in places)
    places = [
        place if counts[place.key] == 1 else replace(place, name=f"{place.name}{pair.image.suffix}")
        for place, (pair, _) in zip(places, found, strict=True)
    ]
    seen = dict[tuple[str, str], Path]()
    for place, (pair, _) in zip(places, found, strict=True):
        other = seen.setdefault(place.key, pair.image)
        if other is not pair.image:
            raise DataError(f"{pair.image} and {other}: would both be written as {place.name}; rename one of them")
    return places


def find_with_parts(config: DataConfig) -> tuple[list[tuple[Pair, str | None]], list[Fault]]:
    """Finds the pairs of a data set with their parts; the part is None for pairs that a split file does not name."""
    pairs, faults = find_samples(config)
    parts = parts_of(config, pairs)
    return [(pair, parts.get(pair.stem)) for pair in pairs], faults


def check_empty(folder: Path) -> None:
    """Raises OutputError where an output folder contains files or cannot be written to."""
    check_writable(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: is not empty; choose a new folder")


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[None]:
    """Empties an output folder again where the body raises an error, so that the command can be repeated.

    Raises:
        OutputError: as `check_empty`.
    """
    check_empty(folder)
    was_there = folder.is_dir()
    try:
        yield
    except FindingsError:  # the usable samples are written
        raise
    except BaseException:
        for path in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        with suppress(OSError):
            None if was_there else folder.rmdir()
        raise
