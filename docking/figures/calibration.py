"""Whether a confidence is a probability: of the poses it gives 70 %, 70 % should be right.

Poses of one complex are not independent, so intervals come from resampling complexes. A finite
sample has an expected calibration error also if every probability is exact; how large it would be
then is told beside it.

Source: Naeini, Cooper and Hauskrecht, AAAI 2015, for the error; Brier, Mon. Weather Rev. 78 (1950)
1, for the score.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from docking.benchmark.statistics import RESAMPLES, Interval, wilson
from docking.benchmark.table import HIT

BINS = 10
_DRAWS = 1000


class Bin(NamedTuple):
    """Poses whose confidence lies in one bin.

    Attributes:
        low: Lower end, inclusive.
        high: Upper end; inclusive for the last bin alone.
        n: Number of poses.
        confidence: Mean of their confidence; NaN without poses.
        hits: How many are right.
        share: Of right ones, with the Wilson interval of independent poses.
    """

    low: float
    high: float
    n: int
    confidence: float
    hits: int
    share: Interval


class Calibration(NamedTuple):
    """How good some probabilities are.

    Attributes:
        n: Poses.
        complexes: Complexes they belong to.
        base_rate: Share of right poses.
        brier: Mean squared distance of probability and truth.
        brier_of_base_rate: The same if all were given the base rate.
        ece: Expected calibration error.
        ece_if_exact: What it would be by chance if every probability were exact: mean, 2.5 % and
            97.5 %.
        bins: The bins.
    """

    n: int
    complexes: int
    base_rate: Interval
    brier: Interval
    brier_of_base_rate: float
    ece: Interval
    ece_if_exact: Interval
    bins: list[Bin]


def bin_of(p: Float[ndarray, "*draws n"], bins: int = BINS) -> Int[ndarray, "*draws n"]:
    """Which of equally wide bins each probability falls into; 1 is in the last one."""
    return np.minimum((np.asarray(p) * bins).astype(np.int64), bins - 1)


def reliability(p: Float[ndarray, " n"], true: Bool[ndarray, " n"], bins: int = BINS) -> list[Bin]:
    """The reliability diagram: counts, mean confidence and share of right poses of every bin.

    Raises:
        ValueError: If a probability does not lie in [0, 1].
    """
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p must be probabilities, got values outside [0, 1]")
    place, out = bin_of(p, bins), []
    for k in range(bins):
        here = place == k
        n, hits = int(here.sum()), int(true[here].sum())
        mean = float(p[here].mean()) if n else float("nan")
        out.append(Bin(k / bins, (k + 1) / bins, n, mean, hits, wilson(hits, n)))
    return out


def ece(p: Float[ndarray, "*draws n"], true: ndarray, bins: int = BINS) -> Float[ndarray, "*draws"]:
    """Expected calibration error: distance of share and confidence, weighted by the bins' poses.

    ``sum_b n_b / n |share_b - confidence_b|``; draws of the same size may be stacked.
    """
    place = bin_of(p, bins)
    gap = true - p
    total = np.zeros(np.shape(p)[:-1])
    for k in range(bins):
        total = total + np.abs(np.where(place == k, gap, 0.0).sum(-1))
    out: Float[ndarray, "*draws"] = np.asarray(total / np.shape(p)[-1])
    return out


def judge(
    p: Float[ndarray, " n"],
    true: Bool[ndarray, " n"],
    group: Int[ndarray, " n"],
    *,
    bins: int = BINS,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Calibration:
    """Judge probabilities of poses.

    Args:
        p: Probability of each pose.
        true: Whether it is right.
        group: Which complex it belongs to.
        bins: Number of bins.
        seed: Of the resampling.
        resamples: How often complexes are drawn again.

    Raises:
        ValueError: If there is no pose or a probability is none.
    """
    if not len(p):
        raise ValueError("p must have at least one pose")
    diagram = reliability(p, true, bins)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(group == key) for key in np.unique(group)]
    figures = np.empty((resamples, 3))
    for draw in range(resamples):
        chosen = rng.integers(len(members), size=len(members))
        index = np.concatenate([members[k] for k in chosen])
        figures[draw] = _figures(p[index], true[index], bins)
    values = _figures(p, true, bins)
    low, high = np.quantile(figures, [0.025, 0.975], axis=0)
    base, brier, error = (
        Interval(*map(float, three)) for three in zip(values, low, high, strict=True)
    )
    exact = ece(np.broadcast_to(p, (_DRAWS, len(p))), rng.random((_DRAWS, len(p))) < p, bins)
    chance = Interval(float(exact.mean()), *map(float, np.quantile(exact, [0.025, 0.975])))
    spread = base.value * (1 - base.value)
    return Calibration(len(p), len(members), base, brier, spread, error, chance, diagram)


def facts(found: Calibration) -> dict[str, Any]:
    """As plain data."""
    plain: dict[str, Any] = {
        name: value._asdict() if isinstance(value, Interval) else value
        for name, value in found._asdict().items()
    }
    plain["bins"] = [{**b._asdict(), "share": b.share._asdict()} for b in found.bins]
    return plain


def draw_calibration(axes: Any, found: Calibration, title: str, colour: str) -> None:
    """The diagram above, how many poses each bin has below.

    Args:
        axes: Two matplotlib axes.
        found: What to draw.
        title: Words above.
        colour: Of the points.
    """
    upper, lower = axes
    full = [b for b in found.bins if b.n]
    x = np.array([b.confidence for b in full])
    y = np.array([b.share.value for b in full])
    error = np.maximum([[b.share.value - b.share.low for b in full],
                        [b.share.high - b.share.value for b in full]], 0.0)  # fmt: skip
    upper.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="exact")
    rate = found.base_rate.value
    upper.axhline(rate, color="0.6", linestyle="--", label=f"base rate {rate:.2f}")
    upper.errorbar(x, y, error, marker="o", capsize=3, linestyle="none", color=colour)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel=f"share below {HIT:g} Å")
    said = (
        f"{title}\nBrier {_three(found.brier)}, of the base rate {found.brier_of_base_rate:.3f}\n"
        f"ECE {_three(found.ece)}\nif exact {_three(found.ece_if_exact)}"
    )
    upper.set_title(said, fontsize=8)
    upper.legend(loc="lower right", fontsize=7)
    width = 1 / len(found.bins)
    lower.bar(
        [b.low for b in found.bins], [b.n for b in found.bins], width, align="edge", color=colour
    )
    lower.set(xlim=(-0.02, 1.02), xlabel="confidence", ylabel="poses")


def _figures(p: ndarray, true: ndarray, bins: int) -> tuple[float, float, float]:
    return float(true.mean()), float(((p - true) ** 2).mean()), float(ece(p, true, bins))


def _three(value: Interval) -> str:
    return f"{value.value:.3f} ({value.low:.3f}-{value.high:.3f})"
