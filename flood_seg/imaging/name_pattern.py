"""File names that share an identifier: `S2_after_0013.png` and `S2_mask_0013.png` by `S2_after_{}` and `S2_mask_{}`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Collection

PLACEHOLDER = "{}"


def match_name(pattern: str, path: Path) -> str | None:
    """Returns the identifier in a file's name, or None where the name does not match.

    Args:
        pattern: of the name: `{}` stands for the identifier, `*` for any text; without a suffix it is that of the stem.
        path: of the file.
    """
    name = path.name if Path(pattern).suffix else path.stem
    parts = {PLACEHOLDER: "(.+)", "*": ".*"}
    expression = "".join(
        parts.get(part) or re.escape(part) for part in re.split(r"(\{\}|\*)", normalize("NFC", pattern))
    )
    found = re.fullmatch(expression, normalize("NFC", name))
    return found[1] if found else None


def find_name(folder: Path, pattern: str, identifier: str, suffixes: Collection[str]) -> list[Path]:
    """Returns the files of a folder whose names have an identifier.

    Args:
        folder: that is searched; it may be missing.
        pattern: as of `match_name`.
        identifier: of the file.
        suffixes: that count where the pattern has none.
    """
    if "*" not in pattern and Path(pattern).suffix:
        file = folder / pattern.replace(PLACEHOLDER, identifier)
        return [file] if file.is_file() else []
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file for file in files if file.suffix.lower() in suffixes and match_name(pattern, file) == identifier]
