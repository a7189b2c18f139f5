"""Two reacting substances that diffuse: the forward problem behind a parameter search."""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import BarycentricInterpolator, make_interp_spline

from fields.references.reference import Reference, grid_points


def reaction(
    diffusion: float | int = 2e-3,
    rate: float | int = 0.1,
    *,
    degree: int = 48,
    x: int = 101,
    t: int = 101,
    final: float | int = 10.0,
) -> Reference:
    """Solve ``a_t = D a_xx - k a b**2``, ``b_t = D b_xx - 2 k a b**2`` on [0, 1].

    Both start as ``exp(-20 x)``; both are 1 at x = 0 and 0 at x = 1.

    Args:
        diffusion: D, positive.
        rate: k, not negative.
        degree: Degree of the Chebyshev polynomials in x; time is integrated to 1e-10.
        x: Reference points along x.
        t: Reference times from 0 to ``final``.
        final: Last time, positive.

    Returns:
        Components ``a, b`` of ``x, t``; the error estimate compares with two thirds of the degree.

    Raises:
        ValueError: If a number is out of range.
    """
    if not (diffusion > 0 and rate >= 0 and final > 0):
        raise ValueError(
            f"diffusion and final must be positive and rate not negative, "
            f"got {diffusion}, {final} and {rate}"
        )
    if degree < 8 or min(x, t) < 6:
        raise ValueError(
            f"degree must be at least 8, x and t at least 6, got {degree}, {x} and {t}"
        )
    axes = (np.linspace(0, 1, x), np.linspace(0, final, t))
    times = np.linspace(0, final, 401)
    fine = _Collocation(degree, float(diffusion), float(rate), times)
    coarse = _Collocation(2 * degree // 3, float(diffusion), float(rate), times)
    points = grid_points(axes)
    values = fine(points)
    return Reference.on_grid(
        f"diffusion and reaction, D = {diffusion:g}, k = {rate:g}",
        f"Chebyshev collocation of degree {degree}",
        ("x", "t"),
        ("a", "b"),
        axes,
        values.reshape(x, t, 2),
        error_estimate=float(np.abs(values - coarse(points)).max()),
        evaluate=fine,
    )


class _Collocation:
    """The solution as polynomials in x at many times, a quintic spline between these."""

    def __init__(
        self, degree: int, diffusion: float | int, rate: float | int, times: np.ndarray
    ) -> None:
        self.nodes = (1 - np.cos(np.pi * np.arange(degree + 1) / degree)) / 2
        slope = _differentiation(self.nodes)
        second = (slope @ slope)[1:-1]

        def velocity(_: float | int, flat: np.ndarray) -> np.ndarray:
            a, b = flat.reshape(2, -1)
            used = rate * (a * b**2)[1:-1]
            change = np.zeros((2, degree + 1))  # the ends stay as they are
            change[0, 1:-1] = diffusion * second @ a - used
            change[1, 1:-1] = diffusion * second @ b - 2 * used
            return change.ravel()

        start = np.exp(-20 * self.nodes)
        start[-1] = 0
        run = solve_ivp(
            velocity, (0, times[-1]), np.tile(start, 2), "LSODA", times, rtol=1e-10, atol=1e-12
        )
        self.final = float(times[-1])
        self._spline = make_interp_spline(times, run.y.reshape(2, degree + 1, -1), k=5, axis=-1)
        self._cardinal = BarycentricInterpolator(self.nodes, np.eye(degree + 1))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        x, t = points.T
        # the spline keeps time as its last axis
        values = np.einsum("cjn,nj->nc", self._spline(t), self._cardinal(x))
        outside = (x < 0) | (x > 1) | (t < 0) | (t > self.final)
        values[outside] = np.nan
        return values


def _differentiation(nodes: np.ndarray) -> np.ndarray:
    """Matrix of the first derivative on Chebyshev points (Trefethen, Spectral Methods, ch. 6)."""
    n = len(nodes) - 1
    ends = np.where((np.arange(n + 1) == 0) | (np.arange(n + 1) == n), 2.0, 1.0)
    signs = ends * (-1.0) ** np.arange(n + 1)
    gap = nodes[:, None] - nodes + np.eye(n + 1)
    matrix = np.outer(signs, 1 / signs) / gap
    return matrix - np.diag(matrix.sum(1))
