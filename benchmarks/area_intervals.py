"""Measures how often the 95 % intervals of `flood-seg flood-area` cover the true area; prints tables.

Of random points in each class of a map: simulated, for maps with many and with few errors. Of images of an evaluation:
each is predicted from all others, if the images.json of `flood-seg evaluate --out` is given.

python benchmarks/area_intervals.py [images.json]
"""

import argparse
import json
from pathlib import Path

import numpy as np

from flood_seg.metrics.area import from_points
from flood_seg.metrics.image_rates import ImageRates

RUNS = 2000
# Mapped share of water, share of it that is right, share of the dry land that is flooded, points on dry land and water.
DESIGNS = (
    (0.5, 0.9, 0.1, 100, 100), (0.2, 0.85, 0.04, 150, 75), (0.2, 0.85, 0.04, 40, 40), (0.1, 0.9, 0.005, 300, 100),
    (0.05, 0.8, 0.01, 200, 50), (0.05, 0.8, 0.01, 100, 100),
)  # fmt: skip


def points(share: float, right: float, missed: float, dry: int, wet: int) -> tuple[float, float]:
    """Returns the shares of simulations in which the interval, and 1.96 standard errors, cover the true area."""
    random, areas, rates = np.random.default_rng(0), np.array([1 - share, share]), np.array([missed, right])
    covered = plain = 0
    for flooded in random.binomial((dry, wet), rates, (RUNS, 2)):
        found = from_points(areas, np.column_stack([(dry, wet) - flooded, flooded]), 1)
        assert found is not None
        covered += found.low <= areas @ rates <= found.high
        plain += abs(found.area - areas @ rates) <= 1.96 * found.standard_error
    return covered / RUNS, plain / RUNS


def images(file: Path) -> None:
    """Prints how often an image is covered by the interval of all others, and by that of their average rates."""
    cells = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    matrices = np.array([[row[cell] for cell in cells] for row in json.loads(file.read_text())]).reshape(-1, 2, 2)
    covered = average = told = 0
    for number, one in enumerate(matrices):
        rates = ImageRates.of(np.delete(matrices, number, axis=0))
        found = rates.predict(one.sum(axis=0).astype(float), 1) if rates else None
        if rates is None or found is None:
            continue
        told += 1
        covered += found.low <= one[1].sum() <= found.high
        average += abs(found.area - one[1].sum()) <= 1.96 * found.standard_error / np.sqrt(rates.images + 1)
    print(f"\n{told} of {len(matrices)} images have as much water as others; the interval of one more image covers")
    print(f"{covered} of them, that of the average rates {average}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="?", help="images.json of an evaluation")
    options = parser.parse_args()
    print(
        "| mapped as water | of it right | dry land flooded | points: dry, water | covered | by 1.96 standard errors |"
    )
    print("|" + " --- |" * 6)
    for share, right, missed, dry, wet in DESIGNS:
        covered, plain = points(share, right, missed, dry, wet)
        print(f"| {share:.0%} | {right:.0%} | {missed:.1%} | {dry}, {wet} | {covered:.1%} | {plain:.1%} |")
    if options.images:
        images(options.images)


if __name__ == "__main__":
    main()
