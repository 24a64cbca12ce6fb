"""Splits stems into a training and a validation part, the same for a seed whatever the directory's order."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from flood_seg.errors import DataError
from flood_seg.imaging.write import atomic_path

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

PARTS = ("train", "val")


@dataclass(frozen=True)
class Split:
    """The stems of both parts, each in alphabetical order."""

    train: tuple[str, ...]
    val: tuple[str, ...]


def random_split(stems: Collection[str], val_split: float, seed: int) -> Split:
    """Takes `val_split` of `stems`, rounded, for validation: those whose hash with the seed is lowest.

    A file more or less moves at most the few stems at the border.

    Args:
        stems: any order.
        val_split: share in (0, 1).
        seed: another seed, another split.

    Raises:
        DataError: a part would be empty.
    """
    ranked = sorted(stems, key=lambda stem: sha256(f"{seed}:{stem}".encode()).digest())
    count = round(len(ranked) * val_split)
    if not 0 < count < len(ranked):
        part = "validation" if count == 0 else "training"
        raise DataError(
            f"datamodule.val_split={val_split} of {len(ranked)} usable pairs leaves an empty {part} part; "
            "add pairs or change val_split"
        )
    return Split(train=tuple(sorted(ranked[count:])), val=tuple(sorted(ranked[:count])))


def write_split(path: Path, split: Split) -> None:
    """Writes a line a stem, `train<TAB>stem` or `val<TAB>stem`."""
    lines = [f"{part}\t{stem}\n" for part in PARTS for stem in getattr(split, part)]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def read_split(path: Path, stems: Collection[str]) -> Split:
    """Reads what `write_split` wrote.

    Args:
        path: the split file.
        stems: of the usable pairs; a stem of the file that is not among them is an error, so that a changed data
            set is noticed; pairs that the file does not name are left out.

    Raises:
        DataError: the file is missing, a line is not `part<TAB>stem`, a stem is named twice or has no usable pair,
            a part is empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the split file cannot be read ({error})") from error
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        part, tab, stem = line.partition("\t")
        if not tab or part not in PARTS:
            raise DataError(f"{path}:{number}: expected 'train' or 'val', a tab and a stem, not {line!r}")
        if stem in seen:
            raise DataError(f"{path}:{number}: {stem!r} is named twice; keep one line")
        seen.add(stem)
        parts[part].append(stem)
    if missing := sorted(seen - set(stems)):
        raise DataError(f"{path}: {len(missing)} stems have no usable pair, the first is {missing[0]!r}")
    for part in PARTS:
        if not parts[part]:
            raise DataError(f"{path}: the {part} part is empty; name at least one stem as '{part}<TAB>stem'")
    return Split(train=tuple(sorted(parts["train"])), val=tuple(sorted(parts["val"])))
