"""Which masks lie with the wrong image, judged by the data set itself.

Nearly all masks lie with their own image. So the fits of a data set's own pairs say what right pairs look like there,
and the fits of all other combinations what chance looks like. A sign that does not tell the two apart counts for
nothing. Two masks are called exchanged where both images fit the other's mask as chance hardly ever does, and fit their
own as badly as hardly any pair does. Hardly ever is counted: each find carries the number of finds as good as it that
chance alone would give in this data set (an E-value, as in BLAST: https://doi.org/10.1073/pnas.87.6.2264).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST = 10  # images, below which chance cannot be told
# Half of the own pairs must fit better than this share of all other combinations. Masks of what the images do not show
# reach 0.5 by nature and 0.85 by chance in sets of twelve, those of faint shores on open water 0.97, all others 0.99.
SEPARATES = 0.75  # below it a sign is not heard
SPEAKS = 0.98  # below it, of all signs together, nothing is said
GAIN = 0.3  # of what the exchange of two right masks typically loses, an exchange must gain at least
RINGS = 0.1  # mixed-up masks that go round among three or more, rather than between two: an assumption, rather high
SPREAD = (0.16, 0.5, 0.84)  # quantiles: median and one standard deviation, whatever a few wrong masks do
PAIRS = 2000  # right pairs whose exchange is tried for the power


@dataclass(frozen=True)
class Evidence:
    """What the fits of a data set say.

    Attributes:
        scores: float64 [images, masks]: fits in standard deviations of chance; None: nothing can be said.
        separation: of each sign, the share of other combinations that half of the own pairs fit better than.
        weights: of each sign in the scores; 0: it is not heard.
    """

    scores: np.ndarray | None
    separation: tuple[float, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Found:
    """A mask (of `second`) that fits an image (`first`) better than its own, or an exchange of two.

    Attributes:
        first: index of the image.
        second: index of the mask.
        gain: over what the exchange of two right masks typically loses; 1 is as much.
        chance: how many as good ones chance would give in the whole data set.
    """

    first: int
    second: int
    gain: float
    chance: float


def weigh(fits: np.ndarray) -> Evidence:
    """Combines the signs by how well each tells own pairs from others (Fisher's linear discriminant).

    Args:
        fits: float32 [signs, images, masks]; image i's own mask is mask i.
    """
    count, images = fits.shape[:2]
    nothing = (0.0,) * count
    if images < LEAST:
        return Evidence(None, nothing, nothing)
    scores = np.stack([_standardized(sign) for sign in fits])
    others = np.stack([_others(sign) for sign in scores])
    own = np.stack([np.diag(sign) for sign in scores])
    separation = tuple(map(_separation, own, others))
    heard = np.array(separation) > SEPARATES
    weights = np.zeros(count)
    if heard.any():
        covariance = np.atleast_2d(np.cov(others[heard].clip(-6, 6))) + 0.05 * np.eye(int(heard.sum()))
        raw = np.linalg.solve(covariance, np.median(own[heard], axis=1)).clip(0)
        weights[heard] = raw / max(float(np.sqrt(raw @ covariance @ raw)), 1e-9)
    combined = np.tensordot(weights, scores, 1)
    if _separation(np.diag(combined), _others(combined)) < SPEAKS:
        return Evidence(None, separation, nothing)
    return Evidence(combined, separation, tuple(weights.tolist()))


def _separation(own: np.ndarray, others: np.ndarray) -> float:
    """The share of other combinations that half of the own pairs fit better than, whatever some wrong masks do."""
    return float(np.median(np.searchsorted(np.sort(others), own)) / others.size)


def _standardized(fits: np.ndarray) -> np.ndarray:
    """Takes out that a simple mask fits every image, and an image full of edges every mask."""
    scores = fits.astype(np.float64)
    for axis in (0, 1):
        low, middle, high = np.quantile(scores, SPREAD, axis=axis, keepdims=True)
        spread = (high - low) / 2
        scores = (scores - middle) / np.maximum(spread, 0.25 * np.median(spread) + 1e-9)
    return scores


class Chance:
    """How often chance gives a value at least as high: exponential tails through the quantiles of a sample.

    Of several tails the heaviest counts. Tails of normal distributions fall faster than exponentially, so the estimate
    is high rather than low beyond the sample. It is never below the square of what the sample can resolve: a few
    images are no ground for certainty.
    """

    def __init__(self, sample: np.ndarray, images: int) -> None:
        ordered = np.sort(sample)
        # The uppermost are left to what is wrong: a tenth of the images, and two at least.
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


def find_swaps(scores: np.ndarray, most: float) -> list[Found]:
    """Finds pairs of masks that are exchanged.

    Args:
        scores: of `weigh`.
        most: of them that chance may give in the whole data set.

    Returns:
        with first < second, the surest first; each index once.
    """
    own, typical = np.diag(scores), _typical_loss(scores)
    first, second = np.triu_indices(len(scores), 1)
    crossed = scores[first, second] + scores[second, first]
    gain = (crossed - own[first] - own[second]) / typical
    weaker = np.minimum(scores[first, second], scores[second, first])
    tail = Chance(crossed, len(scores)).above(crossed)
    # In a ring of three masks one fit of two is good by right: the weaker one must be no chance by itself either.
    single = RINGS * Chance(_others(scores), len(scores)).above(weaker)
    better = weaker > np.maximum(own[first], own[second])
    hopeful = np.flatnonzero(better & (gain > GAIN) & (tail < most) & (single < most))
    settled, found = np.zeros(len(scores), bool), list[Found]()
    while True:
        # Among the worst own pairs down to the rank of both, there are so many combinations for chance to try.
        worst = _ranks(np.where(settled, np.inf, own))
        rank = np.maximum(worst[first[hopeful]], worst[second[hopeful]])
        chance = np.maximum(rank * (rank - 1) / 2 * tail[hopeful], single[hopeful])
        chance[settled[first[hopeful]] | settled[second[hopeful]]] = np.inf
        if not len(chance) or chance.min() >= most:
            return found
        place = int(chance.argmin())
        pair = hopeful[place]
        settled[[first[pair], second[pair]]] = True
        found.append(Found(int(first[pair]), int(second[pair]), float(gain[pair]), float(chance[place])))


def find_misfits(scores: np.ndarray, most: float, alike: list[tuple[int, int]] | None = None) -> list[Found]:
    """Finds masks that fit another image better than their own.

    Args:
        scores: of `weigh`.
        most: of them that chance may give in the whole data set.
        alike: images that show nearly the same, whose masks fit each other rightly.

    Returns:
        in the order of the masks.
    """
    own, typical = np.diag(scores), _typical_loss(scores)
    others = scores.copy()
    np.fill_diagonal(others, -np.inf)
    chance_of = Chance(_others(scores), len(scores))
    for i, j in alike or ():
        others[i, j] = others[j, i] = -np.inf
    best, fit = others.argmax(axis=0), others.max(axis=0)
    gain = 2 * (fit - own) / typical
    chance = _ranks(own) * (len(scores) - 1) * chance_of.above(fit)
    return [Found(int(best[mask]), int(mask), float(gain[mask]), float(chance[mask]))
            for mask in np.flatnonzero((gain > GAIN) & (chance < most))]  # fmt: skip


def find_unlike(scores: np.ndarray, share: float) -> list[int]:
    """Finds masks that fit their own image no better than masks of other images do, where that is rare.

    Args:
        scores: of `weigh`.
        share: of the masks that may be so; where more are, it is the signs that are weak, and none is named.

    Returns:
        in ascending order.
    """
    others = np.where(np.eye(len(scores), dtype=bool), np.nan, scores)
    usual = np.nanquantile(others, 0.9, axis=0)
    found = np.flatnonzero(np.diag(scores) < usual)
    return found.tolist() if len(found) <= max(1, share * len(scores)) else []


def power(scores: np.ndarray, most: float) -> float:
    """Returns which share of exchanges of two masks `find_swaps` would find in this data set, as it is."""
    own = np.diag(scores)
    first, second = np.triu_indices(len(scores), 1)
    chance_of = Chance(scores[first, second] + scores[second, first], len(scores))
    single = Chance(_others(scores), len(scores))
    few = np.random.default_rng(0).permutation(len(first))[:PAIRS]
    first, second = first[few], second[few]
    ordered = np.sort(own)
    crossed = np.maximum(scores[first, second], scores[second, first])  # then their own fits
    rank = np.searchsorted(ordered, crossed) + 2
    right = own[first] + own[second]
    weaker = np.minimum(own[first], own[second])
    chance = np.maximum(rank * (rank - 1) / 2 * chance_of.above(right), RINGS * single.above(weaker))
    gain = (right - scores[first, second] - scores[second, first]) / _typical_loss(scores)
    better = weaker > crossed
    return float(np.mean((chance < most) & (gain > GAIN) & better))


def _others(scores: np.ndarray) -> np.ndarray:
    """All combinations but the own pairs, float64 [images * (images - 1)]."""
    return np.asarray(scores[~np.eye(len(scores), dtype=bool)])


def _typical_loss(scores: np.ndarray) -> float:
    """The median of what the sum of both fits loses when two masks are exchanged."""
    own = np.diag(scores)
    loss = own[:, None] + own[None, :] - scores - scores.T
    return max(float(np.median(loss[np.triu_indices(len(scores), 1)])), 1e-9)


def _ranks(own: np.ndarray) -> np.ndarray:
    """1 of the worst fit."""
    return np.asarray(np.argsort(np.argsort(own, kind="stable")) + 1)
