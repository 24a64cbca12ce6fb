"""Where the samples of a data set that we write lie: images/ and masks/, below a folder a part where it has parts."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.data.layout import choose_split, find_samples
from flood_seg.errors import DataError, FindingsError, OutputError
from flood_seg.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flood_seg.config.schema import DataConfig
    from flood_seg.data.pairing import Fault, Pair

IMAGES, MASKS = "images", "masks"


@dataclass(frozen=True)
class Place:
    """Of a sample in a written data set.

    Attributes:
        root: the data set's folder.
        part: train, val or test; None where nothing says it.
        name: the files' stem.
    """

    root: Path
    part: str | None
    name: str

    def file(self, folder: str, suffix: str) -> Path:
        """Returns its file in `images`, `masks` or the like."""
        return self.root / (self.part or "") / folder / f"{self.name}{suffix}"


def _place_of(root: Path, pair: Pair, part: str | None) -> Place:
    """Returns a sample's place: its stem without the part's folder, others' folders joined by an underscore."""
    stem = pair.stem.removeprefix(f"{pair.part}/") if pair.part else pair.stem
    return Place(root, part, stem.replace("/", "_"))


def places_of(root: Path, found: Sequence[tuple[Pair, str | None]]) -> list[Place]:
    """Returns the place of each sample, no two alike: where stems clash, they are the whole names of the images.

    Raises:
        DataError: the whole names clash too.
    """
    places = [_place_of(root, pair, part) for pair, part in found]
    alike = Counter(map(_key, places))
    places = [
        place if alike[_key(place)] == 1 else replace(place, name=f"{place.name}{pair.image.suffix}")
        for place, (pair, _) in zip(places, found, strict=True)
    ]
    seen = dict[tuple[str, str], Path]()
    for place, (pair, _) in zip(places, found, strict=True):
        other = seen.setdefault(_key(place), pair.image)
        if other is not pair.image:
            raise DataError(f"{pair.image} and {other}: would both be written as {place.name}; rename one of them")
    return places


def _key(place: Place) -> tuple[str, str]:
    """Equal for places that are one file on some file systems."""
    return place.part or "", place.name.casefold()


def parts_of(config: DataConfig, pairs: list[Pair]) -> dict[str, str | None]:
    """Returns each stem's part as the layout or a split file says it; None where neither does."""
    if not config.split_file:
        return {pair.stem: pair.part for pair in pairs}
    split = choose_split(config, pairs, seed=0)
    return {stem: part for part in ("train", "val", "test") for stem in getattr(split, part)}


def find_with_parts(config: DataConfig) -> tuple[list[tuple[Pair, str | None]], list[Fault]]:
    """Finds the pairs of a data set with their parts; pairs that a split file does not name have none."""
    pairs, faults = find_samples(config)
    parts = parts_of(config, pairs)
    return [(pair, parts.get(pair.stem)) for pair in pairs], faults


def check_empty(folder: Path) -> None:
    """Raises OutputError where a folder that is to be written holds files already, or cannot be written to."""
    check_writable(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: is not empty; choose a new folder, so that nothing of yours is mixed up or lost")


@contextmanager
def whole_or_not_at_all(folder: Path) -> Iterator[None]:
    """Empties a folder that was new or empty where the body does not reach its end, so that it can be written again.

    Raises:
        OutputError: as `check_empty`.
    """
    check_empty(folder)
    was_there = folder.is_dir()
    try:
        yield
    except FindingsError:  # what could be done is done
        raise
    except BaseException:
        for path in folder.iterdir() if folder.is_dir() else ():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        with suppress(OSError):
            None if was_there else folder.rmdir()
        raise
