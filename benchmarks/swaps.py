"""Measures recall and false alarms of `data check` for swapped masks; prints a table in Markdown.

python benchmarks/swaps.py [--flood DIR] [--ombria DIR] [--kinds roads fields] [--sizes 20 100 400] [--seeds 3]

Data sets of several kinds are generated from seeds (`swaps_data.py`); `--flood` is a folder with images/ and masks/,
`--ombria` one with OmbriaS1/ and OmbriaS2/. Random subsets of several sizes are checked, unchanged and with swapped
masks: one swap per 40 images, at least one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from swaps_data import KINDS

from flood_seg.config.defaults import defaults
from flood_seg.config.schema.workshop import CheckConfig
from flood_seg.imaging.binary_mask import read_binary_mask
from flood_seg.imaging.decode import read_photo
from flood_seg.workshop.check.examine import VIEW_SIZE, comparison_view
from flood_seg.workshop.check.mask_image_fit import fit_scores
from flood_seg.workshop.check.swapped_pairs import find_misfits, find_poor_fits, find_swaps, power, weigh_cues

RGB = ("red", "green", "blue")
KNOWN_SWAPS = ("14", "15")  # swapped in the published flood data set
ROUNDS = {20: 40, 100: 10, 400: 4}  # number of random subsets of each size, per kind and seed


@dataclass
class Tally:
    """Counts over unchanged sets and over swaps."""

    sets: int = 0
    errors: int = 0
    warnings: int = 0
    misfits: int = 0
    made: int = 0
    found: int = 0
    sure: int = 0
    others: int = 0
    powers: list[float] = field(default_factory=list)


def views_of(image: np.ndarray, mask: np.ndarray, several: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Returns small views of an image, any dtype [H, W, bands], and a mask, uint8 [H, W], for the comparison."""
    bands = RGB if image.shape[2] == 3 else [f"b{band}" for band in range(image.shape[2])]
    if several:
        small = cv2.resize(mask, (VIEW_SIZE, VIEW_SIZE), interpolation=cv2.INTER_NEAREST_EXACT)
    else:
        small = cv2.resize((mask > 127).astype(np.float32), (VIEW_SIZE, VIEW_SIZE), interpolation=cv2.INTER_AREA)
    return comparison_view(image, bands), small


def drawn(kind: str, place: int, count: int) -> np.ndarray:
    """Returns the fit scores of a generated set, float32 [signs, images, masks]."""
    several = kind == "street"
    return table(views_of(*KINDS[kind](seed, place), several) for seed in range(count))


def table(views: Iterator[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Returns the fit scores of the images whose masks have more than one class."""
    useful = [(view, mask) for view, mask in views if (mask != mask.flat[0]).any()]
    return fit_scores([view for view, _ in useful], [mask for _, mask in useful])


def flood(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the flood data set without the two swapped images and those without a readable image."""
    for file in sorted((folder / "masks").iterdir()):
        images = list((folder / "images").glob(f"{file.stem}.*"))
        if images and file.stem not in KNOWN_SWAPS:
            yield views_of(read_photo(images[0])[0], read_binary_mask(file) * np.uint8(255))


def ombria(folder: Path, sensor: str, when: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields tiles of Sentinel-1 (`S1`) or Sentinel-2 (`S2`), `before` or `after` the flood."""
    for file in sorted((folder / "OmbriaS2" / "train" / "MASK").iterdir()):
        number = file.stem.rpartition("_")[2]
        image = folder / f"Ombria{sensor}" / "train" / when.upper() / f"{sensor}_{when}_{number}.png"
        yield views_of(read_photo(image)[0], read_binary_mask(file) * np.uint8(255))


def judge(scores: np.ndarray, options: CheckConfig) -> dict[tuple[int, int], float]:
    """Returns the probability by chance of each detected swap."""
    evidence = weigh_cues(scores)
    if evidence.scores is None:
        return {}
    return {(swap.first, swap.second): swap.chance for swap in find_swaps(evidence.scores, options.swap_warning)}


def try_unchanged(scores: np.ndarray, tally: Tally, options: CheckConfig) -> None:
    """Counts what is reported for an unchanged set."""
    tally.sets += 1
    for chance in judge(scores, options).values():
        tally.errors += chance < options.swap_error
        tally.warnings += chance >= options.swap_error
    evidence = weigh_cues(scores)
    if evidence.scores is None:
        tally.powers.append(0.0)
        return
    named = {misfit.second for misfit in find_misfits(evidence.scores, options.misfit_warning)}
    tally.misfits += len(named | set(find_poor_fits(evidence.scores, options.misfit_share)))
    tally.powers.append(power(evidence.scores, options.swap_warning))


def try_swapped(scores: np.ndarray, random: np.random.Generator, tally: Tally, options: CheckConfig) -> None:
    """Swaps masks and counts which swaps, and which other pairs, are reported."""
    images, pairs = scores.shape[1], max(1, scores.shape[1] // 80)
    chosen = random.choice(images, (pairs, 2), replace=False)
    order = np.arange(images)
    for one, other in chosen:
        order[[one, other]] = order[[other, one]]
    named = judge(scores[:, :, order], options)
    made = {(min(pair), max(pair)) for pair in chosen.tolist()}
    tally.made += len(made)
    tally.found += len(made & named.keys())
    tally.sure += sum(named[pair] < options.swap_error for pair in made & named.keys())
    tally.others += len(named.keys() - made)


def measure(tables: list[np.ndarray], size: int, rounds: int, options: CheckConfig) -> tuple[Tally, int]:
    """Checks subsets of `size` images, unchanged and with swaps; returns the counts and the number of images."""
    tally = Tally()
    for number, full in enumerate(tables):
        random = np.random.default_rng([number, size])
        count = min(size, full.shape[1])
        for _ in range(1 if count == full.shape[1] else rounds):
            few = np.sort(random.choice(full.shape[1], count, replace=False))
            scores = full[:, few][:, :, few]
            try_unchanged(scores, tally, options)
            for _ in range(3):
                try_swapped(scores, random, tally, options)
    return tally, count


def row(name: str, size: int, tally: Tally) -> str:
    """Returns a row of the table in Markdown."""
    share = [f"{100 * count / max(tally.made, 1):.0f} %" for count in (tally.found, tally.sure)]
    return (
        f"| {name} | {size} | {tally.sets} | {tally.errors} | {tally.warnings} | {tally.misfits / tally.sets:.1f} "
        f"| {tally.made} | {share[0]} | {share[1]} | {100 * float(np.mean(tally.powers)):.0f} % | {tally.others} |"
    )


HEAD = (
    "| data | images | sets | false errors | false warnings | poor fits per set "
    "| swaps | found | as errors | predicted | others reported |\n" + "| --- " * 11 + "|"
)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flood", type=Path)
    parser.add_argument("--ombria", type=Path)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(ROUNDS))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    options = defaults(CheckConfig)
    sets = {kind: [drawn(kind, place, max(given.sizes)) for place in range(given.seeds)] for kind in given.kinds}
    if given.flood:
        sets["flood images"] = [table(flood(given.flood))]
    if given.ombria:
        for sensor, when in (("S2", "after"), ("S2", "before"), ("S1", "after"), ("S1", "before")):
            sets[f"OMBRIA {sensor} {when}"] = [table(ombria(given.ombria, sensor, when))]
    print(HEAD)
    for name, tables in sets.items():
        for size in given.sizes:
            tally, count = measure(tables, size, ROUNDS.get(size, 10), options)
            print(row(name, count, tally), flush=True)


if __name__ == "__main__":
    main()
