"""Reads CSV tables: the pairs of a data set, and the group of each sample (a flood event, a camera, a flight)."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.schema.extra_val import ALIASES
from flood_seg.data.pairing import Fault, Pair
from flood_seg.errors import DataError, UsageError
from flood_seg.files import regular

if TYPE_CHECKING:
    from collections.abc import Sequence

STEM_COLUMNS = ("stem", "image", "file", "name")
NO_GROUP = "(none)"


def read_pairs_table(path: Path) -> tuple[list[Pair], list[Fault]]:
    """Reads a table with the columns image and mask, and optionally part; paths are relative to the file.

    Returns:
        the pairs in the order of their stems, and a fault for each missing file.

    Raises:
        DataError: the table cannot be read, lacks a column or a cell, has an unknown part or the same pair twice.
    """
    rows, columns = _read(path)
    if not {"image", "mask"} <= set(columns):
        raise DataError(f"{path}: requires a header with image and mask, and rows; its columns are {_listed(columns)}")
    stems = Counter(Path(row["image"] or "").stem for row in rows)
    pairs, faults = list[Pair](), list[Fault]()
    for number, row in enumerate(rows, 2):
        if row["image"] is None or row["mask"] is None:
            raise DataError(f"{path}:{number}: has fewer columns than the header; give an image and a mask in each row")
        image, mask, part = path.parent / row["image"], path.parent / row["mask"], row.get("part") or None
        if part is not None and part not in ALIASES:
            raise DataError(f"{path}:{number}: part is {part!r}; allowed are {', '.join(ALIASES)} or nothing")
        stem = image.stem if stems[image.stem] == 1 else str(Path(row["image"]).with_suffix(""))
        missing = [file for file in (image, mask) if not file.is_file()]
        if missing:
            faults.append(Fault(stem, missing[0], "no such file"))
        else:
            pairs.append(Pair(stem, image, mask, part))
    if twice := [stem for stem, count in Counter(pair.stem for pair in pairs).items() if count > 1]:
        raise DataError(f"{path}: {twice[0]} is in two rows; keep one")
    return sorted(pairs, key=lambda pair: pair.stem), faults


def read_groups(text: str, pairs: Sequence[Pair]) -> dict[str, str]:
    """Returns the group of each stem.

    Args:
        text: `folder`, the folders that a stem begins with (data sets, parts) or the image's own; or `FILE.csv:COLUMN`,
            a table with a column `stem` or `image`.
        pairs: of the data set.

    Raises:
        UsageError: `text` is neither.
        DataError: the table cannot be read, has no such column, or names none of the images.
    """
    if text == "folder":
        return {pair.stem: pair.stem.rpartition("/")[0] or pair.image.parent.name for pair in pairs}
    path, _, column = text.rpartition(":")
    if not path.lower().endswith(".csv") or not column:
        raise UsageError(f"{text}: give folder, or FILE.csv:COLUMN")
    rows, columns = _read(Path(path))
    key = next((name for name in STEM_COLUMNS if name in columns), None)
    if column not in columns or key is None:
        raise DataError(
            f"{path}: requires the columns stem (or image) and {column}; its columns are {_listed(columns)}"
        )
    table = {row[key]: row[column] or "" for row in rows}
    found = {pair.stem: _lookup(table, pair) for pair in pairs}
    if not any(found.values()):
        raise DataError(f"{path}: names none of the {len(pairs)} images; its first is {next(iter(table), 'none')!r}")
    return {stem: group or NO_GROUP for stem, group in found.items()}


def _lookup(table: dict[str, str], pair: Pair) -> str:
    names = (pair.stem, pair.image.name, pair.image.stem, f"{pair.image.parent.name}/{pair.image.name}")
    return next((table[name] for name in names if name in table), "")


def _read(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Returns the rows of a table and the names of its columns."""
    try:
        with regular(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error})") from error
    return rows, list(rows[0]) if rows else []


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(str, columns)) or "none"  # None: of cells beyond the header
