"""The pictures of a benchmark: what success costs, and how far off the poses are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from docking.benchmark.table import HIT, Results

_BEYOND = 10.0  # angstrom: the last bin holds what is farther, and the failures
_STEP = 0.5


def draw_curves(file: Path, summaries: Sequence[Mapping[str, Any]], results: Results) -> None:
    """Success against CPU seconds per complex, one line per method and inputs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for who, summary in zip(results.contestants, summaries, strict=True):
        curves.setdefault(who.curve, []).append(summary)
    costs = {"docking": "dock_cpu_mean", "reading, maps and docking": "whole_cpu_mean"}
    for axis, (name, cost) in zip(axes, costs.items(), strict=True):
        for curve, points in curves.items():
            points = sorted(points, key=lambda point: point[cost]["value"])
            x = [point[cost]["value"] for point in points]
            share = [point["top1_below_2"] for point in points]
            y = np.array([s["value"] for s in share])
            below = [s["value"] - s["low"] for s in share]
            above = [s["high"] - s["value"] for s in share]
            # rounding may leave a length just below zero, which matplotlib refuses
            error = 100 * np.maximum(np.array([below, above]), 0.0)
            axis.errorbar(x, 100 * y, error, marker="o", capsize=3, label=curve)
        axis.set_xscale("log")
        axis.set_xlabel(f"CPU seconds per complex, mean: {name}")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"top-1 pose below {HIT:g} Å, %")
    axes[0].legend()
    figure.savefig(file, dpi=130)


def draw_errors(file: Path, results: Results) -> None:
    """Histogram of top-1 RMSD for the settings each method uses by default, or for all if none."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    chosen = [who for who in results.contestants if who.is_default] or results.contestants
    edges = np.arange(0.0, _BEYOND + 2 * _STEP, _STEP)
    width = _STEP / (len(chosen) + 1)
    for index, who in enumerate(chosen):
        values = np.minimum(results.rmsd(who), _BEYOND + _STEP / 2)
        left = edges[:-1] + index * width
        axis.bar(left, np.histogram(values, edges)[0], width, align="edge", label=who.name)
    axis.axvline(HIT, color="0.5", linestyle=":")
    axis.set_xlabel(f"top-1 RMSD, Å (last bin: above {_BEYOND:g} or failed)")
    axis.set_ylabel("complexes")
    axis.legend()
    figure.savefig(file, dpi=130)
