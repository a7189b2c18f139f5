"""Success by what a complex is like: every complex falls into one group, failures are misses."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from docking.benchmark.statistics import Interval, wilson

UNKNOWN = "unknown"


class Group(NamedTuple):
    """Complexes of one kind.

    Attributes:
        label: What they have in common.
        n: How many.
        hits: How many of them are solved.
        share: Their share with its Wilson interval.
    """

    label: str
    n: int
    hits: int
    share: Interval


def grouped(
    values: Float[ndarray, " n"],
    hits: Bool[ndarray, " n"],
    edges: Sequence[float | int],
    *,
    whole: bool = False,
) -> list[Group]:
    """Split complexes at some values: below the first, between two (the upper not), from the last.

    Args:
        values: Of each complex; those with NaN are a group of their own if there are any.
        hits: Whether each is solved.
        edges: Where one group ends and the next begins, rising.
        whole: Whether values are whole numbers, for the labels.

    Raises:
        ValueError: If the edges do not rise.
    """
    if any(b <= a for a, b in itertools.pairwise(edges)):
        raise ValueError(f"edges must rise, got {list(edges)}")
    place = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right")
    names = labels(edges, whole=whole)
    lost = np.isnan(values)
    place[lost] = len(names)
    if lost.any():
        names.append(UNKNOWN)
    out = []
    for k, name in enumerate(names):
        here = hits[place == k]
        n, count = len(here), int(here.sum())
        out.append(Group(name, n, count, wilson(count, n)))
    return out


def labels(edges: Sequence[float | int], *, whole: bool = False) -> list[str]:
    """Names of the groups between some edges."""
    if not edges:
        return ["all"]
    last = [f"{b - 1:g}" if whole else f"{b:g}" for b in edges[1:]]
    between = [
        f"{a:g}" if whole and f"{a:g}" == b else f"{a:g}-{b}"
        for a, b in zip(edges[:-1], last, strict=True)
    ]
    return [f"< {edges[0]:g}", *between, f"≥ {edges[-1]:g}"]


def rows(by: str, method: str, groups: Sequence[Group]) -> list[list[Any]]:
    """Lines of a table: what by, method, group, n, hits, share, low, high."""
    return [[by, method, g.label, g.n, g.hits, *(_plain(x) for x in g.share)] for g in groups]


HEAD = ["by", "method", "group", "n", "hits", "share", "low", "high"]


def draw_groups(
    axis: Any, by: str, groups: dict[str, list[Group]], colours: dict[str, str]
) -> None:
    """Shares of every method with their intervals, side by side in each group that has complexes.

    Args:
        axis: Matplotlib axes.
        by: What they are grouped by.
        groups: Groups of each method, the same ones.
        colours: Of each method.
    """
    names = [g.label for g in next(iter(groups.values()))]
    kept = [k for k in range(len(names)) if any(every[k].n for every in groups.values())]
    step = 0.8 / len(groups)
    for index, (method, every) in enumerate(groups.items()):
        x = np.arange(len(kept)) - 0.4 + (index + 0.5) * step
        shares = [every[k].share for k in kept]
        y = 100 * np.array([s.value for s in shares])
        low, high = (100 * np.array([getattr(s, end) for s in shares]) for end in ("low", "high"))
        # rounding may leave a length just below zero, which matplotlib refuses
        error = np.maximum(np.array([y - low, high - y]), 0.0)
        axis.errorbar(
            x, y, error, marker="o", markersize=4, capsize=2, linestyle="none",
            color=colours[method], label=method,
        )  # fmt: skip
    axis.set_xticks(range(len(kept)), [f"{names[k]}\n{_count(groups, k)}" for k in kept])
    axis.set_xlabel(by)
    axis.set_ylim(-3, 103)
    axis.grid(axis="y", alpha=0.3)


def _count(groups: dict[str, list[Group]], k: int) -> str:
    """How many complexes a group has; methods of several runs may have others."""
    n = sorted({every[k].n for every in groups.values()})
    return f"n={n[0]}" if len(n) == 1 else f"n={n[0]}-{n[-1]}"


def _plain(value: float) -> float | str:
    return "" if math.isnan(value) else round(value, 6)
