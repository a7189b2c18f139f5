"""What may be concluded from a table of hits and misses, and from heavy-tailed times."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

NORMAL_95 = 1.959963984540054  # 97.5 % quantile of the normal distribution
RESAMPLES = 2000


class Interval(NamedTuple):
    """An estimate and its 95 % confidence interval.

    Attributes:
        value: The estimate.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


class Discordance(NamedTuple):
    """Pairs on which two methods disagree.

    Attributes:
        first_only: Complexes only the first method solves.
        second_only: Complexes only the second method solves.
        p: Probability of a split at least as uneven if both were equally good.
    """

    first_only: int
    second_only: int
    p: float


def wilson(hits: int, total: int, z: float = NORMAL_95) -> Interval:
    """Share of hits with its score interval, which stays inside [0, 1] and works at 0 and 1.

    Args:
        hits: Number of hits.
        total: Number of trials; with none the share is NaN and the interval [0, 1].
        z: Quantile of the normal distribution.

    Raises:
        ValueError: If ``hits`` does not lie in [0, total].

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    if not 0 <= hits <= total:
        raise ValueError(f"hits must lie in [0, {total}], got {hits}")
    if total == 0:
        return Interval(math.nan, 0.0, 1.0)
    share = hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    half *= z / (1 + z * z / total)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def mcnemar(first: Bool[ndarray, " n"], second: Bool[ndarray, " n"]) -> Discordance:
    """Exact McNemar test of two methods on the same complexes.

    If both are equally good, each complex that only one of them solves is a fair coin.

    Args:
        first: Whether the first method solves each complex.
        second: Whether the second does.

    Raises:
        ValueError: If they are not about the same number of complexes.

    Source: McNemar, Psychometrika 12 (1947) 153; exact form by the binomial distribution.
    """
    if len(first) != len(second):
        raise ValueError(f"methods must have the same complexes, got {len(first)}, {len(second)}")
    one, other = int((first & ~second).sum()), int((second & ~first).sum())
    count = one + other
    # Exact integers: the counts are at most some thousands.
    tail = sum(math.comb(count, k) for k in range(min(one, other) + 1))
    return Discordance(one, other, min(1.0, 2 * tail / 2**count))


def bootstrap(
    values: Sequence[float] | Float[ndarray, " n"],
    statistic: Callable[..., Float[ndarray, " resamples"]] = np.median,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """A statistic of a sample with its percentile bootstrap interval.

    Args:
        values: Sample; infinite values (misses) are allowed, NaN is not.
        statistic: Takes an array and ``axis``, such as ``np.median`` or ``np.mean``.
        seed: Seed of the resampling.
        resamples: How often to draw.

    Raises:
        ValueError: If a value is NaN.
    """
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError("values must be numbers, got NaN")
    if len(array) == 0:
        return Interval(math.nan, math.nan, math.nan)
    draws = np.random.default_rng(seed).integers(len(array), size=(resamples, len(array)))
    spread = statistic(array[draws], axis=1)
    # "lower" and "higher" do not average, which infinite values would turn into NaN
    low = np.quantile(spread, 0.025, method="lower")
    high = np.quantile(spread, 0.975, method="higher")
    return Interval(float(statistic(array[None], axis=1)[0]), float(low), float(high))
