"""Splits stems into training, validation and test, the same for a seed whatever the directory's order."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from flood_seg.errors import DataError
from flood_seg.files import regular, write_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

REQUIRED = ("train", "val")
PARTS = (*REQUIRED, "test")  # the last one is held out of training altogether


@dataclass(frozen=True)
class Split:
    """The stems of the parts, each in alphabetical order."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...] = ()


def hash_name(name: str) -> bytes:
    """Returns a hash of 32 bytes that is the same on all platforms, for names that are not UTF-8 too."""
    return sha256(name.encode("utf-8", "surrogatepass")).digest()


def random_split(stems: Collection[str], val_split: float, seed: int) -> Split:
    """Takes `val_split` of `stems`, rounded, for validation: those whose hash with the seed is lowest.

    Adding or removing a file moves only the few stems at the boundary.

    Args:
        stems: any order.
        val_split: share in (0, 1).
        seed: of the split.

    Raises:
        DataError: a part would be empty.
    """
    ranked = sorted(stems, key=lambda stem: hash_name(f"{seed}:{stem}"))
    count = round(len(ranked) * val_split)
    if not 0 < count < len(ranked):
        part = "validation" if count == 0 else "training"
        raise DataError(
            f"datamodule.val_split={val_split} of {len(ranked)} usable pairs leaves an empty {part} part; "
            "add pairs or change val_split"
        )
    return Split(train=tuple(sorted(ranked[count:])), val=tuple(sorted(ranked[:count])))


def parts_split(parts: Mapping[str, str | None], val_split: float, seed: int) -> Split:
    """Puts each stem into its known part.

    Stems without a part are divided into training and validation, as they would be without the others; where no stem
    is known to be of validation, that part is drawn from training.

    Raises:
        DataError: too few to draw from.
    """
    stems = {part: sorted(stem for stem, its in parts.items() if its == part) for part in PARTS}
    rest = sorted(stem for stem, its in parts.items() if its is None)
    if not stems["val"] and (stems["train"] or rest):
        stems["train"], rest = [], sorted(stems["train"] + rest)
    if len(rest) == 1 and stems["val"]:
        stems["train"], rest = sorted(stems["train"] + rest), []
    if rest:
        drawn = random_split(rest, val_split, seed)
        stems["train"] = sorted([*stems["train"], *drawn.train])
        stems["val"] = sorted([*stems["val"], *drawn.val])
    return Split(*(tuple(stems[part]) for part in PARTS))


def write_split(path: Path, split: Split) -> None:
    """Writes one line per stem, `train<TAB>stem`, `val<TAB>stem` or `test<TAB>stem`.

    Bytes of a stem that are not UTF-8 are written unchanged; a stem that does not fit on a line is quoted as in JSON.
    """
    lines = [f"{part}\t{_quoted(stem)}\n" for part in PARTS for stem in getattr(split, part)]
    write_text(path, "".join(lines), errors="surrogateescape")


def _quoted(stem: str) -> str:
    """Quotes a stem with line feeds, blanks at an end or a leading quote, which would be read differently."""
    plain = stem == stem.strip() and not stem.startswith('"') and len(stem.splitlines()) == 1
    return stem if plain else json.dumps(stem)


def _unquoted(text: str) -> str:
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        with suppress(ValueError):
            return str(json.loads(text))
    return text


def read_split(path: Path, stems: Collection[str], required: Sequence[str] = REQUIRED) -> Split:
    """Reads a file of `write_split` or a folder of `train.txt`, `val.txt` and maybe `test.txt`, one stem per line.

    Args:
        path: the split file, or the folder.
        stems: of the usable pairs; a stem of the file that is not among them is an error, so that a changed data
            set is noticed; pairs that the file does not name are left out.
        required: parts that must not be empty.

    Raises:
        DataError: the file is missing, a line is not `part<TAB>stem`, a stem is named twice or has no usable pair,
            a part is empty.
    """
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    seen: set[str] = set()
    for number, line in enumerate(_lines(path), 1):
        part, tab, stem = line.partition("\t")
        if not tab or part not in parts:
            raise DataError(f"{path}:{number}: expected 'train', 'val' or 'test', a tab and a stem, not {line[:80]!r}")
        stem = _unquoted(stem)
        if stem in seen:
            raise DataError(f"{path}:{number}: {stem!r} is named twice; keep one line")
        seen.add(stem)
        parts[part].append(stem)
    if missing := sorted(seen - set(stems)):
        raise DataError(f"{path}: {len(missing)} stems have no usable pair, the first is {missing[0]!r}")
    for part in required:
        if not parts[part]:
            raise DataError(f"{path}: the {part} part is empty; name at least one stem as '{part}<TAB>stem'")
    return Split(*(tuple(sorted(parts[part])) for part in PARTS))


def _lines(path: Path) -> list[str]:
    files = {part: path / f"{part}.txt" for part in PARTS}
    try:
        if not path.is_dir():
            return _read_lines(path)
        listed = {part: _read_lines(file) for part, file in files.items() if file.is_file()}
    except OSError as error:
        raise DataError(f"{path}: the split file cannot be read ({error.strerror or error})") from error
    return [f"{part}\t{stem.strip()}" for part, lines in listed.items() for stem in lines if stem.strip()]


def _read_lines(path: Path) -> list[str]:
    """Splits at line feeds only: a stem may contain other line separators of Unicode."""
    text = regular(path).read_text(encoding="utf-8", errors="surrogateescape")
    if "\0" in text:  # no name has one
        raise DataError(f"{path}: the split file cannot be read (it is not a text file)")
    return text.removesuffix("\n").split("\n") if text else []
