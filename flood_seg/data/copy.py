"""Where the samples of a data set that we write lie: images/ and masks/, below a folder a part where it has parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.data.layout import choose_split, find_samples
from flood_seg.errors import OutputError
from flood_seg.imaging.write import check_writable

if TYPE_CHECKING:
    from flood_seg.data.pairing import Fault, Pair
    from flood_seg.schema import DataConfig

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


def place_of(root: Path, pair: Pair, part: str | None) -> Place:
    """Returns a sample's place: its stem without the part's folder, others' folders joined by an underscore."""
    stem = pair.stem.removeprefix(f"{pair.part}/") if pair.part else pair.stem
    return Place(root, part, stem.replace("/", "_"))


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
