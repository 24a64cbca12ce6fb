"""Which group a sample belongs to, by a table or by its folder: a flood event, a camera, a flight."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.data.layout import read_csv
from flood_seg.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.data.pairing import Pair

STEM_COLUMNS = ("stem", "image", "file", "name")
NO_GROUP = "(none)"


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
    table = _read_table(Path(path), column)
    found = {pair.stem: _lookup(table, pair) for pair in pairs}
    if not any(found.values()):
        raise DataError(f"{path}: names none of the {len(pairs)} images; its first is {next(iter(table), 'none')!r}")
    return {stem: group or NO_GROUP for stem, group in found.items()}


def _read_table(path: Path, column: str) -> dict[str, str]:
    rows = read_csv(path)
    columns = list(rows[0]) if rows else []
    key = next((name for name in STEM_COLUMNS if name in columns), None)
    if column not in columns or key is None:
        there = ", ".join(map(str, columns)) or "none"
        raise DataError(f"{path}: requires the columns stem (or image) and {column}; its columns are {there}")
    return {row[key]: row[column] or "" for row in rows}


def _lookup(table: dict[str, str], pair: Pair) -> str:
    names = (pair.stem, pair.image.name, pair.image.stem, f"{pair.image.parent.name}/{pair.image.name}")
    return next((table[name] for name in names if name in table), "")
