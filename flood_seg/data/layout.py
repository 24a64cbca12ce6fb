"""Finds the samples of a data set in any supported layout, and the part that each one belongs to.

Supported are: one folder of images and one of masks; those in a folder a part (`train/images`, `val/images`); a
folder a part in those (`img/train`, `labels/train`, as MMSegmentation has them); `train` and `trainannot` (CamVid);
a table of pairs; several of these.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flood_seg.config.schema.extra_val import ALIASES, part_of_folder
from flood_seg.data.pairing import Fault, Pair, find_pairs
from flood_seg.data.split import PARTS, Split, parts_split, random_split, read_split
from flood_seg.data.tables import read_pairs_table
from flood_seg.errors import DataError
from flood_seg.imaging.source import is_image_file
from flood_seg.skipped import CHECK, LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flood_seg.config.schema import DataConfig

Found = tuple[list[Pair], list[Fault]]
SEED = 42  # the default of training


def find_samples(config: DataConfig, part: str | None = None) -> Found:
    """Finds the pairs of all of `config.data_dir`, or the windows that they are cut into.

    A stem is unique: it begins with the part's name where a folder says the part, and with the data set's where there
    are several.

    Args:
        config: of the data set.
        part: of pairs that belong to no part by layout or split file; None: undecided, and windows are split by blocks.

    Returns:
        the pairs in the order of their stems, and a fault for each file without a partner.

    Raises:
        DataError: a folder or the table is missing, empty or cannot be read; see also `cut_windows`.
    """
    pairs, faults = _find_files(config)
    if part := part or ("train" if config.extra_val_only else None):
        pairs = [replace(pair, part=pair.part or part) for pair in pairs]
    if config.windows is not None:
        from flood_seg.data.windows import cut_windows

        pairs = cut_windows(pairs, config, config.windows)
    return pairs, faults


def warn_of(faults: Sequence[Fault]) -> None:
    """Warns of skipped files: the first of each kind of fault by name."""
    with LeftOut(CHECK) as left_out:
        for fault in faults:
            left_out.add(fault.path.name, fault.reason)


def _find_files(config: DataConfig) -> Found:
    folders = config.folders
    if len(folders) == 1:
        return _find_in(folders[0], config)
    pairs, faults = list[Pair](), list[Fault]()
    for folder, name in zip(folders, set_names(folders), strict=True):
        found, wrong = _find_in(folder, config)
        its = part_of_folder(folder)  # of several folders one may be the part of a data set: [data/a, data/b/val]
        pairs += [replace(pair, stem=f"{name}/{pair.stem}", part=pair.part or its) for pair in found]
        faults += [replace(fault, stem=f"{name}/{fault.stem}") for fault in wrong]
    return pairs, faults


def set_names(folders: Sequence[Path]) -> list[str]:
    """Returns the prefixes of stems for several data sets: the names of their folders, or the paths if names repeat."""
    names = [folder.name for folder in folders]
    return names if len(set(names)) == len(names) else [folder.as_posix() for folder in folders]


def _find_in(folder: Path, config: DataConfig) -> Found:
    if config.pairs_file:
        return read_pairs_table(folder / config.pairs_file)
    places = {part: _part_folders(folder, part, config) for part in ALIASES}
    whole = folder / config.images_dir, folder / config.masks_dir
    if not any(places.values()):
        return find_pairs(*whole, config.mask_suffix, config.pair_pattern)
    if places["train"] is None and _holds_images(whole[0]):
        places["train"] = whole  # beside a val/ or test/ of its own
    pairs, faults = list[Pair](), list[Fault]()
    for part, place in places.items():
        if place is not None:
            found, wrong = find_pairs(*place, config.mask_suffix, config.pair_pattern)
            pairs += [replace(pair, stem=f"{part}/{pair.stem}", part=part) for pair in found]
            faults += [replace(fault, stem=f"{part}/{fault.stem}") for fault in wrong]
    return sorted(pairs, key=lambda pair: pair.stem), faults


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(is_image_file(path) for path in folder.iterdir())


def has_masks(config: DataConfig) -> bool:
    """Whether any of `config.data_dir` has masks besides images."""
    parts = any(_part_folders(folder, part, config) for folder in config.folders for part in ALIASES)
    return bool(config.pairs_file) or parts or any((folder / config.masks_dir).is_dir() for folder in config.folders)


def _part_folders(folder: Path, part: str, config: DataConfig) -> tuple[Path, Path] | None:
    """Returns a part's folders of images and of masks, where there are such."""
    for name in ALIASES[part]:
        for images, masks in (
            (folder / name / config.images_dir, folder / name / config.masks_dir),
            (folder / config.images_dir / name, folder / config.masks_dir / name),
        ):
            if images.is_dir():
                return images, masks
        if (folder / name).is_dir() and (annotations := folder / f"{name}annot").is_dir():  # CamVid
            return folder / name, annotations
    return None


def choose_split(config: DataConfig, pairs: Sequence[Pair], seed: int) -> Split:
    """Reads `config.split_file`, else takes the parts that the layout names, else draws a split by the seed.

    Where the layout names no validation part, it is drawn from the training part. With `extra_val_only` there is none.

    Raises:
        DataError: the file cannot be used, or a part would be empty.
    """
    stems = [pair.stem for pair in pairs]
    if config.extra_val_only:
        return _without_val(config, pairs)
    if config.split_file:
        return read_split(Path(config.split_file), stems)
    if any(pair.part for pair in pairs):
        return parts_split({pair.stem: pair.part for pair in pairs}, config.val_split, seed)
    return random_split(stems, config.val_split, seed)


def _without_val(config: DataConfig, pairs: Sequence[Pair]) -> Split:
    """Returns a split without validation: what the layout or a split file puts there is not trained on either."""
    if config.split_file:
        return replace(read_split(Path(config.split_file), [pair.stem for pair in pairs], ("train",)), val=())
    stems = {part: tuple(pair.stem for pair in pairs if pair.part == part) for part in ("train", "test")}
    return Split(stems["train"], (), stems["test"])


def choose_pairs(config: DataConfig, part: str = "auto") -> list[Pair]:
    """Returns a part of a data set's pairs.

    Args:
        config: the data set.
        part: `train`, `val`, `test` or `all`; `auto`: the validation part where a split file or the layout says which
            that is, else all.

    Raises:
        DataError: a folder or the split file is missing or wrong, or there is no such part.
    """
    return choose_part(config, find_samples(config)[0], part)


def choose_part(config: DataConfig, pairs: list[Pair], part: str) -> list[Pair]:
    """Returns those of the pairs that are of a part; see `choose_pairs`."""
    named = bool(config.split_file) or any(pair.part for pair in pairs)
    if part == "all" or (part == "auto" and not named):
        return pairs
    if not named:
        raise DataError(f"part={part}: nothing says which pairs are of that part; give datamodule.split_file")
    chosen = set(getattr(choose_split(config, pairs, SEED), "val" if part == "auto" else part))
    if not chosen:
        raise DataError(f"part={part}: is empty; allowed are {', '.join(PARTS)} and all")
    return [pair for pair in pairs if pair.stem in chosen]


def parts_of(config: DataConfig, pairs: list[Pair]) -> dict[str, str | None]:
    """Returns the part of each stem that the layout or a split file names, otherwise None."""
    if not config.split_file:
        return {pair.stem: pair.part for pair in pairs}
    split = choose_split(config, pairs, seed=0)
    return {stem: part for part in ("train", "val", "test") for stem in getattr(split, part)}
