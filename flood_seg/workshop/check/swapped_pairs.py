"""Finds masks that belong to another image, from statistics of the data set itself.

Most masks belong to their own image. So the fits of a data set's own pairs show what correct pairs look like, and those
of all other combinations are the null distribution. A cue that does not separate the two is not used. Two masks are
reported as swapped where both images fit the other's mask unusually well, and their own unusually badly. Each finding
carries an E-value: the number of findings as good as this that chance alone would give in the data set, as in BLAST
(https://doi.org/10.1073/pnas.87.6.2264).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flood_seg.console import counted

MIN_IMAGES = 10  # fewer images give no null distribution
# Half of the own pairs must fit better than this share of all other combinations. Masks of what the images do not show
# reach 0.5 by nature and 0.85 by chance in sets of twelve, those of faint shores on open water 0.97, all others 0.99.
MIN_CUE_SEPARATION = 0.75  # below it a cue is not used
MIN_SEPARATION = 0.98  # of all cues together; below it nothing is reported
MIN_GAIN = 0.3  # of an exchange, in units of what exchanging two correct masks typically loses
CYCLE_SHARE = 0.1  # assumed share of mix-ups among three or more masks rather than two; a high estimate
SPREAD_QUANTILES = (0.16, 0.5, 0.84)  # median and one standard deviation, robust to a few wrong masks
POWER_PAIRS = 2000  # correct pairs whose exchange is simulated to estimate the power


@dataclass(frozen=True)
class Evidence:
    """The combined cues of a data set.

    Attributes:
        scores: float64 [images, masks], in standard deviations of the null distribution; None: the cues do not suffice.
        separation: of each cue, the share of other combinations that the median own pair fits better than.
        weights: of each cue in the scores; 0: it is not used.
    """

    scores: np.ndarray | None
    separation: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Mismatch:
    """A mask (`second`) that fits an image (`first`) better than its own, or an exchange of two masks.

    Attributes:
        first: index of the image.
        second: index of the mask.
        gain: in units of what exchanging two correct masks typically loses.
        chance: E-value: the number of equally good findings that chance gives in the whole data set.
    """

    first: int
    second: int
    gain: float
    chance: float


@dataclass(frozen=True)
class SwapDetectability:
    """How well swapped masks can be detected in a block of a data set.

    Attributes:
        masks: number of masks that were compared with each other's images.
        separation: of each cue, the share of other combinations that the median own pair fits better than.
        power: the share of exchanges of two masks that would be found.
    """

    masks: int
    separation: dict[str, float]
    power: float

    def describe(self) -> str:
        """Returns one line for people."""
        if not self.separation:
            few = counted(self.masks, "mask")
            return f"swapped masks cannot be detected among {few}: at least {MIN_IMAGES} are required"
        if not self.power:
            return "swapped masks cannot be detected: masks fit their own images hardly better than others"
        return f"swapped masks: an exchange of two would be detected with a probability of {self.power:.0%}"


def weigh_cues(fit_scores: np.ndarray) -> Evidence:
    """Combines the cues by how well each separates own pairs from others (Fisher's linear discriminant).

    Args:
        fit_scores: float32 [cues, images, masks]; mask i belongs to image i.
    """
    count, images = fit_scores.shape[:2]
    nothing = (0.0,) * count
    if images < MIN_IMAGES:
        return Evidence(None, nothing, nothing)
    scores = np.stack([_standardized(cue) for cue in fit_scores])
    others = np.stack([_others(cue) for cue in scores])
    own = np.stack([np.diag(cue) for cue in scores])
    separation = tuple(map(_separation, own, others))
    used = np.array(separation) > MIN_CUE_SEPARATION
    weights = np.zeros(count)
    if used.any():
        covariance = np.atleast_2d(np.cov(others[used].clip(-6, 6))) + 0.05 * np.eye(int(used.sum()))
        raw = np.linalg.solve(covariance, np.median(own[used], axis=1)).clip(0)
        weights[used] = raw / max(float(np.sqrt(raw @ covariance @ raw)), 1e-9)
    combined = np.tensordot(weights, scores, 1)
    if _separation(np.diag(combined), _others(combined)) < MIN_SEPARATION:
        return Evidence(None, separation, nothing)
    return Evidence(combined, separation, tuple(weights.tolist()))


def _separation(own: np.ndarray, others: np.ndarray) -> float:
    """The share of other combinations that the median own pair fits better than; robust to a few wrong masks."""
    return float(np.median(np.searchsorted(np.sort(others), own)) / others.size)


def _standardized(fit_scores: np.ndarray) -> np.ndarray:
    """Removes the effect of simple masks, which fit every image, and of images full of edges, which fit every mask."""
    scores = fit_scores.astype(np.float64)
    for axis in (0, 1):
        low, middle, high = np.quantile(scores, SPREAD_QUANTILES, axis=axis, keepdims=True)
        spread = (high - low) / 2
        scores = (scores - middle) / np.maximum(spread, 0.25 * np.median(spread) + 1e-9)
    return scores


class ChanceTail:
    """Upper tail of the null distribution: exponential tails fitted through quantiles of a sample.

    The heaviest of several tails is used. The tails of normal distributions fall faster than exponentially, so the
    estimate is conservative beyond the sample. It is bounded by the squared resolution of the sample, so that a few
    images never give certainty.
    """

    def __init__(self, sample: np.ndarray, images: int) -> None:
        ordered = np.sort(sample)
        # The uppermost values may belong to wrong masks: a tenth of the images, at least two.
        least = max(0.8 / images, 8 / len(ordered))
        self.least = len(ordered) ** -2.0
        self.tails = []
        share = 0.2
        while share >= least:
            start, far = np.quantile(ordered, [1 - share, 1 - share / 4])
            self.tails.append((share, start, max(float(far - start) / np.log(4), 1e-9)))
            share /= 2

    def above(self, values: np.ndarray) -> np.ndarray:
        """Returns the probability of each value or a higher one, float64 in [0, 1]."""
        result = np.full(values.shape, self.least)
        for share, start, slope in self.tails:
            tail = share * np.exp(np.minimum((start - values) / slope, 0))
            result = np.maximum(result, np.where(values > start, tail, 0))
        return np.where(values > self.tails[0][1], result, 1)


def find_swaps(scores: np.ndarray, max_by_chance: float) -> list[Mismatch]:
    """Finds pairs of masks that are exchanged.

    Args:
        scores: of `weigh_cues`.
        max_by_chance: upper limit of the E-value.

    Returns:
        with first < second, by ascending E-value; each index at most once.
    """
    own, typical = np.diag(scores), _typical_loss(scores)
    first, second = np.triu_indices(len(scores), 1)
    crossed = scores[first, second] + scores[second, first]
    gain = (crossed - own[first] - own[second]) / typical
    weaker = np.minimum(scores[first, second], scores[second, first])
    tail = ChanceTail(crossed, len(scores)).above(crossed)
    # In a cycle of three masks one fit of a pair is genuine: so the weaker one must be significant by itself.
    single = CYCLE_SHARE * ChanceTail(_others(scores), len(scores)).above(weaker)
    better = weaker > np.maximum(own[first], own[second])
    hopeful = np.flatnonzero(better & (gain > MIN_GAIN) & (tail < max_by_chance) & (single < max_by_chance))
    settled, found = np.zeros(len(scores), bool), list[Mismatch]()
    while True:
        # The number of combinations among the worst own pairs, down to the rank of both.
        worst = _ranks(np.where(settled, np.inf, own))
        rank = np.maximum(worst[first[hopeful]], worst[second[hopeful]])
        chance = np.maximum(rank * (rank - 1) / 2 * tail[hopeful], single[hopeful])
        chance[settled[first[hopeful]] | settled[second[hopeful]]] = np.inf
        if not len(chance) or chance.min() >= max_by_chance:
            return found
        place = int(chance.argmin())
        pair = hopeful[place]
        settled[[first[pair], second[pair]]] = True
        found.append(Mismatch(int(first[pair]), int(second[pair]), float(gain[pair]), float(chance[place])))


def find_misfits(
    scores: np.ndarray, max_by_chance: float, near_duplicates: list[tuple[int, int]] | None = None
) -> list[Mismatch]:
    """Finds masks that fit another image better than their own.

    Args:
        scores: of `weigh_cues`.
        max_by_chance: upper limit of the E-value.
        near_duplicates: pairs of images whose masks rightly fit each other.

    Returns:
        in the order of the masks.
    """
    own, typical = np.diag(scores), _typical_loss(scores)
    others = scores.copy()
    np.fill_diagonal(others, -np.inf)
    chance_of = ChanceTail(_others(scores), len(scores))
    for i, j in near_duplicates or ():
        others[i, j] = others[j, i] = -np.inf
    best, fit = others.argmax(axis=0), others.max(axis=0)
    gain = 2 * (fit - own) / typical
    chance = _ranks(own) * (len(scores) - 1) * chance_of.above(fit)
    return [Mismatch(int(best[mask]), int(mask), float(gain[mask]), float(chance[mask]))
            for mask in np.flatnonzero((gain > MIN_GAIN) & (chance < max_by_chance))]  # fmt: skip


def find_poor_fits(scores: np.ndarray, share: float) -> list[int]:
    """Finds masks that fit their own image no better than masks of other images do, where such masks are rare.

    Args:
        scores: of `weigh_cues`.
        share: the largest share of such masks; where there are more, the cues are too weak, and none is reported.

    Returns:
        in ascending order.
    """
    others = np.where(np.eye(len(scores), dtype=bool), np.nan, scores)
    usual = np.nanquantile(others, 0.9, axis=0)
    found = np.flatnonzero(np.diag(scores) < usual)
    return found.tolist() if len(found) <= max(1, share * len(scores)) else []


def power(scores: np.ndarray, max_by_chance: float) -> float:
    """Estimates the share of exchanges of two masks that `find_swaps` would find in this data set."""
    own = np.diag(scores)
    first, second = np.triu_indices(len(scores), 1)
    chance_of = ChanceTail(scores[first, second] + scores[second, first], len(scores))
    single = ChanceTail(_others(scores), len(scores))
    few = np.random.default_rng(0).permutation(len(first))[:POWER_PAIRS]
    first, second = first[few], second[few]
    ordered = np.sort(own)
    crossed = np.maximum(scores[first, second], scores[second, first])  # the own fits after the exchange
    rank = np.searchsorted(ordered, crossed) + 2
    right = own[first] + own[second]
    weaker = np.minimum(own[first], own[second])
    chance = np.maximum(rank * (rank - 1) / 2 * chance_of.above(right), CYCLE_SHARE * single.above(weaker))
    gain = (right - scores[first, second] - scores[second, first]) / _typical_loss(scores)
    better = weaker > crossed
    return float(np.mean((chance < max_by_chance) & (gain > MIN_GAIN) & better))


def _others(scores: np.ndarray) -> np.ndarray:
    """Returns the scores of all combinations but the own pairs, float64 [images * (images - 1)]."""
    return np.asarray(scores[~np.eye(len(scores), dtype=bool)])


def _typical_loss(scores: np.ndarray) -> float:
    """Returns the median loss of the sum of both fits when two masks are exchanged."""
    own = np.diag(scores)
    loss = own[:, None] + own[None, :] - scores - scores.T
    return max(float(np.median(loss[np.triu_indices(len(scores), 1)])), 1e-9)


def _ranks(own: np.ndarray) -> np.ndarray:
    """Returns the rank of each fit; the worst has 1."""
    return np.asarray(np.argsort(np.argsort(own, kind="stable")) + 1)
