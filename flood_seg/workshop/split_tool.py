"""The data split verb: parts or folds of the requested sizes that never separate the samples of a group."""

from __future__ import annotations

import json
import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from flood_seg.classes import IGNORED
from flood_seg.config.overrides import as_override
from flood_seg.config.schema import DataConfig
from flood_seg.config.schema.workshop import CheckConfig, SplitConfig
from flood_seg.console import say, show_table
from flood_seg.data.layout import find_samples, warn_of
from flood_seg.data.pairing import Pair
from flood_seg.data.parallel import read_pairs
from flood_seg.data.prepare import prepare_data
from flood_seg.data.reading import SampleReader
from flood_seg.data.split import Split, hash_name, write_split
from flood_seg.data.tables import read_groups
from flood_seg.errors import DataError, UsageError
from flood_seg.files import check_suffix, check_writable

Arrays = dict[str, np.ndarray]  # by stem
TILE_NAME = re.compile(r"(_r\d+_c\d+|/r\d+c\d+)$")  # suffix of the names of tiles and windows


def split(
    data: DataConfig, task: str, seed: int, options: SplitConfig, similarity: CheckConfig, out: Path
) -> list[Split]:
    """Splits a data set and writes what `datamodule.split_file` reads.

    Args:
        data: the data set.
        task: `binary` or `multiclass`.
        seed: of the split.
        options: the shares of the parts, and what is kept together.
        similarity: thresholds of near-duplicates.
        out: the file; for folds, a folder of `fold_0.txt`, `fold_1.txt`, ...

    Returns:
        the split, or one per fold.

    Raises:
        DataError: a part would be empty, or nothing could be read.
        UsageError: `split.groups` is not a grouping.
    """
    if not options.folds and out.suffix and not out.is_dir():
        check_suffix(out, (".txt",), "a list of samples")
    check_writable(out, folder=bool(options.folds) or out.is_dir() or not out.suffix)
    prepare_data(data)
    pairs, faults = find_samples(data)
    warn_of(faults)
    weights, views = _read(data, task, options, pairs)
    groups = _group([pair for pair in pairs if pair.stem in weights], views, data, options, similarity)
    if options.folds:
        folds = assign(groups, weights, [1 / options.folds] * options.folds, seed)
        splits = [
            Split(tuple(sorted(s for other in folds if other is not fold for s in other)), tuple(sorted(fold)))
            for fold in folds
        ]
        files = [out / f"fold_{number}.txt" for number in range(options.folds)]
    else:
        shares = [1 - options.val - options.test, options.val, options.test]
        splits = [Split(*(tuple(sorted(part)) for part in assign(groups, weights, shares, seed)))]
        files = [out / "split.txt" if out.is_dir() or not out.suffix else out]
    for file, parts in zip(files, splits, strict=True):
        write_split(file, parts)
    _show(splits, files, data.classes(task).names, weights, options.groups)
    return splits


def _read(data: DataConfig, task: str, options: SplitConfig, pairs: Sequence[Pair]) -> tuple[Arrays, Arrays]:
    """Reads what the options need of the samples.

    Returns:
        of each usable stem its weight: 1 and, with `split.stratify`, the share of each class; and the image at 64×64,
        where near-duplicates are kept together.
    """
    from flood_seg.workshop.check.examine import comparison_view

    needs_views = options.groups == "alike" and data.windows is None
    if not needs_views and not options.stratify:
        return {pair.stem: np.ones(1) for pair in pairs}, {}
    reader, views = SampleReader.of(data, task), Arrays()

    def weigh(pair: Pair) -> np.ndarray:
        image, mask = reader.load(pair)
        if needs_views:
            views[pair.stem] = comparison_view(image, reader.bands.names)
        if not options.stratify:
            return np.ones(1)
        counts = np.bincount(mask[mask != IGNORED].ravel(), minlength=len(reader.classes.names))
        return np.array([1.0, *(counts / max(mask.size, 1))])

    weights = {pair.stem: weight for pair, weight in read_pairs(pairs, weigh, "Reading", threads=8)}
    if not weights:
        raise DataError(f"{data.place}: no pair could be read; flood-seg data check says why")
    return weights, views


def _group(
    usable: Sequence[Pair], views: Arrays, data: DataConfig, options: SplitConfig, similarity: CheckConfig
) -> list[list[str]]:
    """Returns the stems of each group, which is of one part; a stem without a group is one of its own.

    Raises:
        UsageError: `split.groups` is not a grouping.
    """
    from flood_seg.workshop.check.near_duplicates import connected_groups, find_near_duplicates

    place = {pair.stem: index for index, pair in enumerate(usable)}
    joined = list[tuple[int, int]]()
    if views:
        shown = [views[pair.stem] for pair in usable]
        joined += find_near_duplicates(shown, similarity.duplicate_bits, similarity.duplicate_correlation)
    keys = defaultdict[str, list[int]](list)
    blocks = _blocks(usable, options.block) if options.block else {}
    for stem, key in (*_keys(usable, options.groups, data.folders).items(), *blocks.items()):
        keys[key].append(place[stem])
    joined += [(members[0], other) for members in keys.values() for other in members[1:]]
    together = connected_groups(joined, len(usable))
    grouped = {index for group in together for index in group}
    alone = [[index] for index in range(len(usable)) if index not in grouped]
    return [[usable[index].stem for index in group] for group in (*together, *alone)]


def _keys(pairs: Sequence[Pair], wanted: str, folders: Sequence[Path]) -> dict[str, str]:
    """Returns the group of each stem that has one by `split.groups`."""
    scenes = _scenes(pairs, folders)
    if wanted in ("alike", "scene"):
        return scenes
    if wanted == "none":
        return {}
    if wanted == "folder" or wanted.lower().partition(":")[0].endswith(".csv"):
        return {stem: f"group {group}" for stem, group in read_groups(wanted, pairs).items()}
    raise UsageError(f"split.groups={wanted}: give alike, scene, folder, none or FILE.csv:COLUMN")


def _scenes(pairs: Sequence[Pair], folders: Sequence[Path]) -> dict[str, str]:
    """Returns the scene that each tile was cut from: by the index of `data tile`, else by its name."""
    known: dict[str, str] = {}
    for folder in folders:
        with suppress(OSError, ValueError, KeyError, TypeError):  # no index, or one of something else
            tiles = json.loads((folder / "index.json").read_text(encoding="utf-8"))["tiles"]
            known |= {line["tile"]: f"{folder} {line['source']}" for line in tiles}
    scenes = {}
    for pair in pairs:
        name = pair.image.stem if pair.window is None else pair.stem
        if name in known:
            scenes[pair.stem] = known[name]
        elif TILE_NAME.search(name):
            scenes[pair.stem] = TILE_NAME.sub("", pair.stem)
    return scenes


def _blocks(pairs: Sequence[Pair], side: float) -> dict[str, str]:
    """Returns the block of the map that the middle of each raster lies in."""
    from flood_seg.imaging.gdal import open_raster

    blocks = {}
    for pair in pairs:
        with open_raster(pair.image) as source:
            if source.crs is None:
                continue
            x, y = source.xy(source.height // 2, source.width // 2)
            blocks[pair.stem] = f"block {source.crs.to_string()} {int(x // side)} {int(y // side)}"
    return blocks


def assign(
    groups: Sequence[Sequence[str]], weights: Mapping[str, np.ndarray], shares: Sequence[float], seed: int
) -> list[list[str]]:
    """Assigns each group to the part that lacks most of its samples and classes, the largest groups first.

    A greedy form of iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, ECML PKDD): each part approaches
    its share of the samples and, where weights hold class shares, of every class's pixels.

    Args:
        groups: stems of one part.
        weights: of each stem: 1, optionally followed by the share of each class.
        shares: of the parts, with the sum 1; a part with share 0 stays empty.
        seed: of the order among groups of one size; the order of `groups` does not matter.

    Raises:
        DataError: a part would be empty.
    """
    amounts = [np.sum([weights[stem] for stem in group], axis=0) for group in groups]
    total = np.maximum(np.sum(amounts, axis=0), 1e-12)
    wanted = np.outer(shares, total)
    given, parts = np.zeros_like(wanted), [list[str]() for _ in shares]
    open_parts = [part for part, share in enumerate(shares) if share > 0]
    for place in sorted(range(len(groups)), key=lambda place: (-len(groups[place]), _rank(groups[place], seed))):
        amount = amounts[place]
        # The change of the squared distance from the requested amounts, in shares of the total.
        costs = [float((amount * (2 * (given[p] - wanted[p]) + amount) / total**2).sum()) for p in open_parts]
        part = open_parts[int(np.argmin(costs))]
        given[part] += amount
        parts[part] += groups[place]
    if empty := [part for part in open_parts if not parts[part]]:
        raise DataError(
            f"{len(groups)} groups of {sum(map(len, groups))} samples leave part {empty[0] + 1} of {len(open_parts)} "
            "empty; set a larger share, fewer folds, or split.groups=none"
        )
    return parts


def _rank(group: Sequence[str], seed: int) -> bytes:
    return hash_name(f"{seed}:{min(group)}")


def _show(splits: Sequence[Split], files: Sequence[Path], names: Sequence[str], weights: Arrays, groups: str) -> None:
    rows = []
    for file, parts in zip(files, splits, strict=True):
        for part in ("train", "val", "test"):
            if stems := getattr(parts, part):
                mean = np.mean([weights[stem] for stem in stems], axis=0)[1:]
                shares = [f"{share:.1%} {name}" for name, share in zip(names, mean, strict=False) if share]
                rows.append((file.name, part, len(stems), ", ".join(shares) or "not counted"))
    show_table(f"Split, split.groups={groups}", ("file", "part", "samples", "classes"), rows)
    hint = shlex.quote(as_override("datamodule.split_file", str(files[0])))
    say(f"{files[0]}: train with {hint}")
