"""Exchanged masks are told by what chance gives in the data set itself: on drawn fits, and on sets of several kinds."""

import sys
from pathlib import Path

import numpy as np
import pytest

from flood_seg.config.defaults import defaults
from flood_seg.config.schema.workshop import CheckConfig
from flood_seg.workshop.check.mask_image_fit import class_layers, fit_scores
from flood_seg.workshop.check.swapped_pairs import (
    MIN_IMAGES,
    ChanceTail,
    find_misfits,
    find_poor_fits,
    find_swaps,
    power,
    weigh_cues,
)

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import swaps
import swaps_data

OPTIONS = defaults(CheckConfig)


def random_fits(images: int, lift: float, seed: int = 0, tail: float = np.inf) -> np.ndarray:
    """Fits of one sign, float32 [1, images, images]: noise, Student's t for a finite tail, and own pairs lifted."""
    random = np.random.default_rng(seed)
    shape = (1, images, images)
    noise = random.standard_normal(shape) if np.isinf(tail) else random.standard_t(tail, shape)
    effects = random.normal(0, 3, (1, images, 1)) + random.normal(0, 3, (1, 1, images))  # of images and of masks
    return (noise + effects + lift * np.eye(images)).astype(np.float32)


def exchanged(table: np.ndarray, *pairs: tuple[int, int]) -> np.ndarray:
    order = np.arange(table.shape[1])
    for one, other in pairs:
        order[[one, other]] = order[[other, one]]
    return table[:, :, order]


def swaps_of(table: np.ndarray, most: float = OPTIONS.swap_warning) -> list[tuple[int, int]]:
    scores = weigh_cues(table).scores
    return [] if scores is None else [(found.first, found.second) for found in find_swaps(scores, most)]


def test_exchanged_masks_are_found_the_surest_first_and_nothing_else():
    table = random_fits(60, 8)
    assert swaps_of(table) == []
    found = find_swaps(weigh_cues(exchanged(table, (3, 8), (20, 50), (7, 41))).scores, 0.01)
    assert {(one.first, one.second) for one in found} == {(3, 8), (20, 50), (7, 41)}
    assert all(0 < one.gain < 2 for one in found)
    assert found[0].chance == min(one.chance for one in found)


@pytest.mark.parametrize("images", [MIN_IMAGES, 20, 60, 200])
def test_fits_that_say_nothing_name_nothing(images):
    for seed in range(12):
        table = random_fits(images, 0, seed)
        assert weigh_cues(table).scores is None and weigh_cues(table).weights == (0.0,)


def test_a_sign_that_tells_nothing_apart_is_not_heard_and_changes_nothing():
    good, silent = random_fits(60, 8), random_fits(60, 0, 1)
    both = weigh_cues(np.concatenate([silent, good]))
    assert both.separation[0] < 0.75 < 0.98 < both.separation[1] and both.weights[0] == 0 < both.weights[1]
    assert np.allclose(both.scores, weigh_cues(good).scores)


def test_two_signs_together_find_more_than_one():
    one, other = random_fits(120, 3), random_fits(120, 3, 1)
    both = np.concatenate([one, other])
    assert power(weigh_cues(both).scores, 0.01) > power(weigh_cues(one).scores, 0.01) + 0.2


def test_a_few_images_are_never_overwhelming_evidence():
    assert weigh_cues(random_fits(MIN_IMAGES - 1, 50)).scores is None
    for images, least in ((12, 1e-4), (30, 1e-6)):
        (found,) = find_swaps(weigh_cues(exchanged(random_fits(images, 50), (2, 5))).scores, 0.01)
        assert found.chance > least
    (found,) = find_swaps(weigh_cues(exchanged(random_fits(80, 50), (2, 5))).scores, 0.01)
    assert found.chance < 1e-6


def test_where_chance_goes_astray_often_it_takes_more_to_be_sure():
    (calm,) = find_swaps(weigh_cues(exchanged(random_fits(100, 12), (2, 5))).scores, 1)
    (wild,) = find_swaps(weigh_cues(exchanged(random_fits(100, 12, tail=3), (2, 5))).scores, 100)
    assert calm.chance < 1e-3 * wild.chance


def test_the_tails_are_those_of_the_sample():
    sample = np.random.default_rng(0).exponential(1, 20_000)
    assert ChanceTail(sample, 200).above(np.array([5.0])) == pytest.approx(np.exp(-5), rel=0.3)
    assert ChanceTail(sample, 200).above(np.array([2.0, 3.0])) == pytest.approx(np.exp([-2, -3]), rel=0.3)
    assert (ChanceTail(sample, 200).above(np.array([0.0, 0.5])) == 1).all()
    assert ChanceTail(sample, 200).above(np.array([1e3]))[0] == pytest.approx(20_000**-2)


def test_images_whose_masks_fit_each_other_are_not_called_exchanged():
    """Frames of one drive: each neighbour's mask fits nearly as well, and some own fits are bad."""
    table = random_fits(80, 8)
    for index in range(0, 80, 2):
        table[0, index, index + 1] += 7
        table[0, index + 1, index] += 7
    table[0, range(5), range(5)] -= 5
    assert swaps_of(table) == []


@pytest.mark.parametrize("lift", [4.5, 6, 9])
def test_the_power_is_the_share_of_exchanges_that_are_found(lift):
    table = random_fits(80, lift)
    random = np.random.default_rng(1)
    found = []
    for _ in range(60):
        pair = tuple(sorted(random.choice(80, 2, replace=False).tolist()))
        found.append(swaps_of(exchanged(table, pair)) == [pair])
    assert power(weigh_cues(table).scores, OPTIONS.swap_warning) == pytest.approx(np.mean(found), abs=0.15)


def test_masks_that_go_round_in_a_ring_are_no_swap_and_found_one_by_one():
    order = np.arange(60)
    order[[4, 9, 30]] = 9, 30, 4
    for seed in range(10):
        scores = weigh_cues(random_fits(60, 12, seed)[:, :, order]).scores
        found = {(one.first, one.second) for one in find_misfits(scores, OPTIONS.misfit_warning)}
        assert found == {(9, 4), (30, 9), (4, 30)} and not find_swaps(scores, 1e-4)
    near = [(4, 9)]
    assert (9, 4) not in {(one.first, one.second) for one in find_misfits(scores, OPTIONS.misfit_warning, near)}


def test_a_mask_as_bad_as_any_is_named_where_that_is_rare_and_none_where_it_is_not():
    table = random_fits(100, 12)
    table[0, 7, 7] -= 14
    assert find_poor_fits(weigh_cues(table).scores, 0.01) == [7]
    table[0, range(10), range(10)] = table[0, range(10), range(10, 20)]
    assert find_poor_fits(weigh_cues(table).scores, 0.01) == []


def test_several_classes_are_compared_class_by_class():
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40], mask[40:] = 1, 2
    view = np.repeat(np.array([30, 200, 90], np.uint8)[mask][:, :, None], 3, axis=2)
    share = (mask > 0).astype(np.float32)  # the foreground alone knows nothing of the lower edge
    assert class_layers(mask).shape == (3, 64, 64) and class_layers(share).shape == (1, 64, 64)
    turned = np.ascontiguousarray(mask.T)
    several = fit_scores([view], [mask, turned])[:, 0]
    assert (several[:, 0] > several[:, 1] + 0.2).all()
    assert several[0, 0] > fit_scores([view], [share])[0, 0, 0]


# Half of the benchmark's kinds in small: what must be found, of 40 images and eight exchanges one after the other.
@pytest.mark.parametrize(
    ("kind", "least"),
    [("roads", 0.7), ("street", 0.4), ("buildings", 0.7), ("fields", 0.3), ("water12", 0.5), ("floods", 0.7),
     ("uniform", 0), ("unseen", 0)],
)  # fmt: skip
def test_masks_of_every_kind_of_data_are_left_in_peace_and_exchanges_found(kind, least, monkeypatch):
    if kind == "roads":
        small = lambda seed, place: swaps_data.draw_roads(seed, place, 200)  # noqa: E731
        monkeypatch.setitem(swaps_data.KINDS, "roads", small)
    table, tally = swaps.drawn(kind, 5, 40), swaps.Tally()
    swaps.try_unchanged(table, tally, OPTIONS)
    for seed in range(16):
        swaps.try_swapped(table, np.random.default_rng(seed), tally, OPTIONS)
    assert (tally.errors, tally.warnings, tally.others) == (0, 0, 0) and tally.misfits <= 1
    assert tally.made == 16 and tally.found / tally.made >= least
    assert tally.found or tally.powers[0] < 0.2  # nor is found promised
