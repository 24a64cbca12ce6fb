"""Keeps what takes long to find out of a data set, until one of its files changes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flood_seg.errors import OutputError
from flood_seg.imaging.write import write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def remembered(file: Path, compute: Callable[[], Any]) -> Any:
    """Returns the JSON value in `file`, or computes it and writes it there, where the folder can be written."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        value = compute()
    with suppress(OutputError):
        write_json(file, value)
    return value
