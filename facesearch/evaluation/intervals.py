"""Confidence intervals of rates.

Pairs that share a person are not independent: a person with one bad photo is refused in several pairs, one who looks
like many is accepted with all of them. So people are resampled, not pairs. A genuine pair then counts as often as its
person is drawn, an impostor pair as often as both are, multiplied (A. Owen, The pigeonhole bootstrap, Annals of Applied
Statistics 1, 2007: if anything too wide). Where few pairs or none went wrong there is little to draw from, and the
interval would be empty: so each end is the wider of that and Wilson's (Journal of the American Statistical Association
22, 1927), which holds for independent pairs.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from facesearch.evaluation.metrics import nth, true_accept_rate
from facesearch.evaluation.pairs import Numbers, Pairs
from worker.confidence.rates import Counts

LEVEL: Final = 0.95
DRAWS: Final = 1000
SEED: Final = 0
"""Fixed, so that the same folder gives the same intervals."""

Interval = tuple[float, float]


def wilson(count: int, total: int) -> Interval:
    """Return the interval of a part in [0, 1] counted on independent draws. total: at least 1."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    part, square = count / total, z * z / total
    middle = (part + square / 2) / (1 + square)
    reach = z * math.sqrt(part * (1 - part) / total + square / (4 * total)) / (1 + square)
    # None and all are their own ends but for rounding.
    return (0.0 if count == 0 else middle - reach, 1.0 if count == total else middle + reach)


def wider(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])


def bootstrap(statistic: Callable[[Counts], Numbers], people: int) -> list[Interval]:
    """Return an interval for each number of the statistic. statistic: function of how often each person is drawn, int64
    (P,); NaN where it is undefined. Where it always is, the interval is 0 to 1.
    """
    rng = np.random.default_rng(SEED)
    drawn = np.array([statistic(rng.multinomial(people, np.full(people, 1 / people))) for _ in range(DRAWS)])
    edges = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return [_quantiles(column[~np.isnan(column)], edges) for column in drawn.T]


def _quantiles(values: Numbers, edges: Sequence[float]) -> Interval:
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, edges)
    return float(low), float(high)


def rates_over_people(counts: Counts, totals: Counts, shared: int) -> list[Interval]:
    """Return intervals of counts / totals, each summed over people. counts, totals: int64 (L, P). shared: number of
    people with whom each pair is counted, 1 or 2.

    For 2, the part of the product that is linear in how often each person is drawn is resampled, the sum less one,
    since that needs no single pair; it is nearer to the truth besides.
    """
    once = (shared - 1) / shared

    def parts(drawn: Counts) -> Numbers:
        sums = totals @ drawn - once * totals.sum(axis=1)
        counted = np.maximum(counts @ drawn - once * counts.sum(axis=1), 0)
        return np.asarray(np.divide(counted, sums, out=np.full(len(sums), np.nan), where=sums > 0))

    alone = [
        wilson(count // shared, total // shared)
        for count, total in zip(counts.sum(axis=1).tolist(), totals.sum(axis=1).tolist(), strict=True)
    ]
    return [wider(*both) for both in zip(bootstrap(parts, counts.shape[1]), alone, strict=True)]


def true_accept_rates(pairs: Pairs, fars: Sequence[float]) -> list[Interval]:
    """Return the interval of TAR at each FAR; the threshold moves with the people drawn."""
    alone = [wilson(round(true_accept_rate(pairs, far) * pairs.genuine_count), pairs.genuine_count) for far in fars]
    drawn = bootstrap(resampled_true_accepts(pairs, fars), len(pairs.photos))
    return [wider(*both) for both in zip(drawn, alone, strict=True)]


def resampled_true_accepts(pairs: Pairs, fars: Sequence[float]) -> Callable[[Counts], Numbers]:
    """Return a function of how often each person is drawn, for `bootstrap`: TAR at each FAR, float64 (F,), NaN without
    a pair of either kind.
    """
    first, second = pairs.closest_people.T
    # From the least similar on, so that one search finds how many are above a threshold.
    rising, people = pairs.genuine[::-1], pairs.genuine_people[::-1]

    def accepted(drawn: Counts) -> Numbers:
        photos = drawn * pairs.photos
        impostors = (int(photos.sum()) ** 2 - int((photos**2).sum())) // 2
        total = int(drawn @ pairs.genuine_by)
        if not (impostors and total):
            return np.full(len(fars), np.nan)
        reached = np.cumsum(drawn[first] * drawn[second])
        below = np.concatenate([[0], np.cumsum(drawn[people])])
        at = np.searchsorted(reached, [nth(far, impostors) for far in fars])
        least = np.append(pairs.closest, -np.inf)[at]
        return np.asarray((below[-1] - below[np.searchsorted(rising, least, side="right")]) / total)

    return accepted
