"""Poisson's equation on a square, by series and manufactured."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fields.references.reference import Reference, grid_points

_TERMS = 2000  # odd sines; what is left out stays below 2e-9 of the unit square's scale


def poisson_square(half_side: float | int = 1.0, *, counts: int = 101) -> Reference:
    """Solve ``-Laplace u = 1`` on ``[-half_side, half_side]**2`` with ``u = 0`` on the boundary.

    A parabola in one coordinate less a sine series whose terms decay like ``cosh`` in the other;
    the coordinate is chosen so that the point is as far as possible from the slow edges.

    Args:
        half_side: Half the side, positive.
        counts: Reference points along each axis.

    Returns:
        Component ``u`` of ``x, y``; the error estimate compares with half as many terms.

    Raises:
        ValueError: If ``half_side`` is not positive or ``counts`` below 2.

    Source: S. Timoshenko, J. N. Goodier, "Theory of Elasticity" (the torsion of a rectangular
    bar is the same problem).
    """
    if not half_side > 0 or counts < 2:
        raise ValueError(
            f"half_side must be positive and counts at least 2, got {half_side} and {counts}"
        )

    def evaluate(points: np.ndarray) -> np.ndarray:
        return half_side**2 * _unit_square(points / half_side, _TERMS)[:, None]

    axis = np.linspace(-half_side, half_side, counts)
    points = grid_points((axis, axis))
    values = evaluate(points)
    rough = half_side**2 * _unit_square(points[::7] / half_side, _TERMS // 2)
    return Reference.on_grid(
        "Poisson on a square",
        f"sine series of {_TERMS} terms",
        ("x", "y"),
        ("u",),
        (axis, axis),
        values.reshape(counts, counts, 1),
        error_estimate=max(float(np.abs(values[::7, 0] - rough).max()), 1e-15 * half_side**2),
        evaluate=evaluate,
    )


def _unit_square(points: Float[np.ndarray, "n 2"], terms: int) -> Float[np.ndarray, " n"]:
    """The solution on [-1, 1]**2; NaN outside."""
    swap = np.abs(points[:, 1]) > np.abs(points[:, 0])
    x = np.where(swap, points[:, 1], points[:, 0])
    y = np.abs(np.where(swap, points[:, 0], points[:, 1]))
    u = (1 - x**2) / 2
    for start in range(0, terms, 256):
        n = 2 * np.arange(start, min(start + 256, terms)) + 1
        a = n * np.pi / 2
        # cosh(a y) / cosh(a), without overflow
        decay = np.exp(-a * (1 - y[:, None])) * (1 + np.exp(-2 * a * y[:, None]))
        decay /= 1 + np.exp(-2 * a)
        signs = np.where(n % 4 == 1, 1.0, -1.0)
        u -= (np.cos(a * x[:, None]) * decay) @ (signs * 16 / (np.pi * n) ** 3)
    return np.where(np.abs(points).max(-1) <= 1, u, np.nan)


def poisson_sine(
    frequencies: Sequence[float | int] = (1, 1), *, counts: int = 65
) -> tuple[Reference, "SineProduct"]:
    """Manufacture ``-Laplace u = f`` on [0, 1]**d with ``u = prod sin(pi f_i x_i)``.

    Args:
        frequencies: Half waves along each axis; whole numbers make ``u`` zero on the boundary.
        counts: Reference points along each axis.

    Returns:
        The reference and the solution itself, whose ``source`` is the right-hand side.

    Raises:
        ValueError: If there is no axis or ``counts`` is below 2.
    """
    if len(frequencies) < 1 or counts < 2:
        raise ValueError(
            f"frequencies must not be empty and counts at least 2, got {frequencies} and {counts}"
        )
    solution = SineProduct(frequencies)
    axes = (np.linspace(0, 1, counts),) * len(frequencies)
    values = solution(grid_points(axes))
    reference = Reference.on_grid(
        f"Poisson, manufactured with frequencies {list(frequencies)}",
        "closed form",
        [f"x{i}" for i in range(len(frequencies))],
        ("u",),
        axes,
        values.reshape(*(len(axis) for axis in axes), 1),
        error_estimate=0.0,
        evaluate=solution,
    )
    return reference, solution


class SineProduct:
    """``u(x) = prod_i sin(pi f_i x_i)`` and its negative Laplacian.

    Args:
        frequencies: f.
    """

    def __init__(self, frequencies: Sequence[float | int]) -> None:
        self.frequencies = np.array([float(f) for f in frequencies])

    def __call__(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 1"]:
        """Return ``u``."""
        return np.sin(np.pi * self.frequencies * points).prod(-1, keepdims=True)

    def source(self, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 1"]:
        """Return ``-Laplace u``."""
        return np.pi**2 * (self.frequencies**2).sum() * self(points)
