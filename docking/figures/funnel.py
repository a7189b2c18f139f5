"""Score against RMSD: a score that searches can follow falls off on all sides of the truth."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.benchmark.statistics import bootstrap, wilson
from docking.benchmark.table import HIT
from docking.figures.method import Method, Poses

_FAR = 12.0  # angstrom: the axis ends there, farther poses are drawn at its end
_MOST = 20_000  # points drawn of a method; the table has all of them
_TAIL = 0.005  # share of poses beyond each end of the pooled scores that is not drawn
_STEP = 1.0  # angstrom: width of the bins of the running median


class Funnel(NamedTuple):
    """The poses of one method.

    Attributes:
        method: Its name.
        poses: Of every complex.
    """

    method: str
    poses: list[Poses]

    @classmethod
    def of(cls, method: Method) -> "Funnel":
        """Read the poses of a method."""
        return cls(method.name, list(method.poses()))

    def pooled(self) -> tuple[Float[ndarray, " p"], Float[ndarray, " p"]]:
        """RMSD and score of all poses, each score less the mean of its complex's poses."""
        if not self.poses:
            return np.zeros(0), np.zeros(0)
        rmsd = np.concatenate([one.rmsd for one in self.poses])
        return rmsd, np.concatenate([centred(one.score) for one in self.poses])

    def rows(self) -> list[list[Any]]:
        """Lines of a table: method, id, rank, score, centred score, RMSD, confidence."""
        return [
            [self.method, one.id, rank + 1, f"{one.score[rank]:.6g}", f"{shifted:.6g}",
             f"{one.rmsd[rank]:.3f}",
             "" if math.isnan(one.confidence[rank]) else f"{one.confidence[rank]:.6g}"]
            for one in self.poses
            for rank, shifted in enumerate(centred(one.score).tolist())
        ]  # fmt: skip

    def facts(self) -> dict[str, Any]:
        """How well score and RMSD agree within each complex.

        ``spearman`` is the median over complexes of the rank correlation of score and minus RMSD,
        of those with three poses or more that differ in both; ``best_has_a_near_rival`` the share
        of complexes with a right pose among theirs where the best-scored one is not right.
        """
        known = [rank_correlation(one.score, -one.rmsd) for one in self.poses]
        known = [value for value in known if not math.isnan(value)]
        some = [one for one in self.poses if (one.rmsd < HIT).any()]
        missed = sum(bool(one.rmsd[0] >= HIT) for one in some)
        return {
            "complexes": len(self.poses), "poses": sum(len(one.score) for one in self.poses),
            "spearman": bootstrap(known)._asdict() | {"n": len(known)},
            "right_pose_outranked": wilson(missed, len(some))._asdict() | {"n": len(some)},
        }  # fmt: skip


HEAD = ["method", "id", "rank", "score", "score_less_mean", "rmsd", "confidence"]


def centred(score: Float[ndarray, " p"]) -> Float[ndarray, " p"]:
    """Scores less their mean: those of one ligand compare, those of two do not."""
    shifted: Float[ndarray, " p"] = score - score.mean()
    return shifted


def rank_correlation(a: Float[ndarray, " p"], b: Float[ndarray, " p"]) -> float:
    """Spearman's rank correlation; NaN with fewer than three values, or where all are alike."""
    from scipy.stats import rankdata

    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def telling(funnels: Sequence[Funnel]) -> str:
    """Id of the complex whose poses tell most: near and far ones by most methods, many of them.

    Ties go to the first id; empty if there is no pose.
    """
    worth: dict[str, tuple[int, int]] = {}
    for funnel in funnels:
        for one in funnel.poses:
            both = bool((one.rmsd < HIT).any() and (one.rmsd >= HIT).any())
            so_far = worth.get(one.id, (0, 0))
            worth[one.id] = (so_far[0] + both, so_far[1] + len(one.rmsd))
    return max(sorted(worth), key=lambda key: worth[key], default="")


def draw_funnels(
    figure: Any, funnels: Sequence[Funnel], chosen: str, colours: dict[str, str]
) -> None:
    """Upper row: one complex. Lower row: all of them, with the median of each RMSD bin.

    The lower row leaves out the half percent of the poses at either end of the scores.

    Args:
        figure: Matplotlib figure.
        funnels: One column each.
        chosen: Id of the complex.
        colours: Of each method.
    """
    axes = figure.subplots(2, len(funnels), squeeze=False, sharex=True)
    for column, funnel in zip(axes.T, funnels, strict=True):
        alone = next((one for one in funnel.poses if one.id == chosen), None)
        colour = colours[funnel.method]
        if alone is not None:
            column[0].scatter(np.minimum(alone.rmsd, _FAR), alone.score, s=14, color=colour)
        rmsd, score = funnel.pooled()
        some = np.random.default_rng(0).permutation(len(rmsd))[:_MOST]
        column[1].scatter(np.minimum(rmsd[some], _FAR), score[some], s=3, alpha=0.25, color=colour)
        middle, median = running_median(rmsd, score)
        column[1].plot(np.minimum(middle, _FAR), median, color="black", linewidth=1.2)
        if len(score):  # a few clashes must not squeeze the rest
            column[1].set_ylim(*_room(score))
        for axis in column:
            axis.axvline(HIT, color="0.6", linestyle=":")
        column[0].set_title(f"{funnel.method}\n{chosen}", fontsize=8)
        column[1].set_title(f"{len(funnel.poses)} complexes, {len(rmsd)} poses", fontsize=8)
        column[1].set_xlabel(f"RMSD, Å (at {_FAR:g}: or more)")
    axes[0, 0].set_ylabel("score")
    axes[1, 0].set_ylabel("score less the complex's mean")


def _room(score: Float[ndarray, " p"]) -> tuple[float, float]:
    low, high = np.quantile(score, [_TAIL, 1 - _TAIL]).tolist()
    margin = 0.1 * max(high - low, 1e-6)
    return low - margin, high + margin


def running_median(
    x: Float[ndarray, " p"], y: Float[ndarray, " p"]
) -> tuple[Float[ndarray, " k"], Float[ndarray, " k"]]:
    """Middles of the bins of ``x`` that hold something, and the median of ``y`` there."""
    place = np.minimum(x / _STEP, _FAR / _STEP).astype(np.int64)
    there = np.unique(place)
    return (there + 0.5) * _STEP, np.array([np.median(y[place == k]) for k in there])
