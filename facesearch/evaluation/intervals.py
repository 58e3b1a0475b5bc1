"""How far chance may have moved a rate. Pure.

Pairs that share a person are no independent draws: who has one unlucky photo is refused in several pairs, who looks
like many is accepted with all of them. So people are drawn anew, not pairs. A pair of one person then counts as often
as the person is drawn, a pair of strangers as often as both are, multiplied (A. Owen, The pigeonhole bootstrap, Annals
of Applied Statistics 1, 2007: if anything too wide). Where few pairs or none went wrong there is little to draw from,
and an interval of nothing would be a lie: so at each end the wider of that and Wilson's (Journal of the American
Statistical Association 22, 1927) is told, which would hold were all pairs independent.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from facesearch.evaluation.metrics import nth, true_accept_rate
from facesearch.evaluation.pairs import Counts, Numbers, Pairs

LEVEL: Final = 0.95
DRAWS: Final = 1000
SEED: Final = 0
"""The same folder gives the same intervals."""

Interval = tuple[float, float]


def wilson(count: int, total: int) -> Interval:
    """Of a part in [0, 1] that was counted on independent draws. total: at least 1."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    part, square = count / total, z * z / total
    middle = (part + square / 2) / (1 + square)
    reach = z * math.sqrt(part * (1 - part) / total + square / (4 * total)) / (1 + square)
    # Zero and all are their own ends but for rounding.
    return (0.0 if count == 0 else middle - reach, 1.0 if count == total else middle + reach)


def wider(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])


def bootstrap(statistic: Callable[[Counts], Numbers], people: int) -> list[Interval]:
    """An interval for each number that the statistic gives. statistic: of how often each person is drawn, int64 (P,);
    NaN where a drawing says nothing. Where none says anything the interval is from 0 to 1.
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
    """Of the parts that counts are of totals, each summed over people. counts, totals: int64 (L, P). shared: with how
    many people each is counted, 1 or 2.

    For 2, what is drawn is the part of the product that is linear in how often each person is, the sum less one, since
    that needs to know of no single pair; it is nearer to the truth besides.
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
    """Of TAR at each FAR: the threshold moves with who is drawn as well."""
    first, second = pairs.closest_of.T
    # From the least alike on, so that one search finds how many are above a threshold.
    rising, whose = pairs.genuine[::-1], pairs.genuine_of[::-1]

    def accepted(drawn: Counts) -> Numbers:
        photos = drawn * pairs.photos
        strangers = (int(photos.sum()) ** 2 - int((photos**2).sum())) // 2
        total = int(drawn @ pairs.genuine_by)
        if not (strangers and total):
            return np.full(len(fars), np.nan)
        reached = np.cumsum(drawn[first] * drawn[second])
        below = np.concatenate([[0], np.cumsum(drawn[whose])])
        at = np.searchsorted(reached, [nth(far, strangers) for far in fars])
        least = np.append(pairs.closest, -np.inf)[at]
        return np.asarray((below[-1] - below[np.searchsorted(rising, least, side="right")]) / total)

    alone = [wilson(round(true_accept_rate(pairs, far) * pairs.genuine_count), pairs.genuine_count) for far in fars]
    return [wider(*both) for both in zip(bootstrap(accepted, len(pairs.photos)), alone, strict=True)]
