"""Further validation sets, in each form that `datamodule.extra_val` may have: a dictionary, folders, a file of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from flood_seg.errors import ConfigError, did_you_mean

# The names that a part's folder may have.
ALIASES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
# The keys that a further validation set may set; it shares all others with the data set.
EXTRA_KEYS = ("data_dir", "images_dir", "masks_dir", "mask_suffix", "pair_pattern", "pairs_file", "split_file",
              "labels", "max_label", "ignore_index", "unlisted", "band_sources", "nodata")  # fmt: skip
KEY = "datamodule.extra_val"
LIST_SUFFIX = ".txt"


def part_of_folder(folder: Path) -> str | None:
    """Returns the part that a folder is named after: train, val or test."""
    return next((part for part, names in ALIASES.items() if folder.name in names), None)


def read_extra_sets(given: Any) -> dict[str, dict[str, Any]]:
    """Returns the sets by their names, each with the keys that it sets.

    Args:
        given: `{name: {data_dir: FOLDER, ...}}`, a folder, a list of folders, or a text file that lists them, one per
            line and relative to the file.

    Raises:
        ConfigError: none of these, a name that cannot be part of a metric's name, a folder twice, an unknown key.
    """
    if isinstance(given, str):
        given = _read_list(Path(given)) if given.endswith(LIST_SUFFIX) or Path(given).is_file() else [given]
    if isinstance(given, list):
        return {name: {"data_dir": folder} for name, folder in _named(given).items()}
    if not isinstance(given, dict):
        raise ConfigError(f"{KEY}={given}: give folders, [data/a, data/b], or a {LIST_SUFFIX} file that lists them")
    for name, changes in given.items():
        _check(str(name), changes)
    return {str(name): changes for name, changes in given.items()}


def _read_list(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{KEY}={path}: cannot be read ({error}); give a file of folders") from error
    folders = [str(path.parent / line) for line in lines if line and not line.startswith("#")]
    if not folders:
        raise ConfigError(f"{KEY}={path}: lists no folder; write one per line, relative to the file")
    return folders


def _named(folders: list[Any]) -> dict[str, str]:
    """Names each set by its folder, or by its whole path where two folders have one name."""
    if not folders or not all(isinstance(folder, str) and folder for folder in folders):
        raise ConfigError(f"{KEY}={folders}: give a folder, or a list of folders")
    short = [_parts(folder)[-1] for folder in folders]
    names = short if len(set(short)) == len(short) else ["_".join(_parts(folder)) for folder in folders]
    if twice := [folder for folder, name in zip(folders, names, strict=True) if Counter(names)[name] > 1]:
        raise ConfigError(f"{KEY}: {twice[-1]} is listed twice, or its metrics would be named as another's; keep one")
    return dict(zip(names, folders, strict=True))


def _parts(folder: str) -> list[str]:
    """The parts of a path that identify a set, as words: `data/rain/val` is data and rain."""
    path = Path(folder)
    named = [re.sub(r"\W+", "_", name).strip("_") for name in path.parts]
    words = [name for name in named if name] or [re.sub(r"\W+", "_", path.absolute().name)]
    return words[:-1] if len(words) > 1 and part_of_folder(path) else words


def _check(name: str, changes: Any) -> None:
    key = f"{KEY}.{name}"
    if not re.fullmatch(r"\w+", name):
        raise ConfigError(f"{key}: its name is part of a metric's; letters, digits and '_' alone")
    if not isinstance(changes, dict) or not changes.get("data_dir"):
        raise ConfigError(f"{key}={changes}: give its folder, {key}.data_dir=data/more")
    for wrong in [other for other in changes if other not in EXTRA_KEYS]:
        hint = did_you_mean(wrong, EXTRA_KEYS)
        raise ConfigError(f"{key}.{wrong}: no such key{hint}; allowed are {', '.join(EXTRA_KEYS)}")
