"""The Helmholtz equation in a medium, in a square with absorbing layers, by finite differences.

``d_x(A u_x) + d_y(B u_y) + C m k**2 u = s`` with ``A = e_y / e_x``, ``B = e_x / e_y``,
``C = e_x e_y`` and the stretching ``e = 1 - i sigma / k`` of a perfectly matched layer.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Complex, Float
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, gmres, splu

from fields.references.hankel import GaussianSource
from fields.references.reference import GridSpline, Reference, grid_points
from overparam.errors import InputError

STRENGTH, WIDTH = 5.0, 0.5
"""Default strength ``a0`` and width ``L`` of the layers; the square is [-1, 1]**2."""

Medium = Callable[[np.ndarray], np.ndarray]

MEDIA: dict[str, Medium] = {
    "uniform": lambda x: np.ones(x.shape[:-1]),
    "square": lambda x: np.where(np.abs(x).max(-1) < 0.3, 0.25, 1.0),
    "circle": lambda x: np.where((x**2).sum(-1) < 0.1**2, 0.25, 1.0),
}
"""Squared slowness of the media of Sitzmann et al., NeurIPS 2020."""

_SUBCELLS = 16  # of a cell's side, to average a medium that jumps inside the cell


def depth(x: Float[np.ndarray, "*n"], width: float | int = WIDTH) -> Float[np.ndarray, "*n"]:
    """Return how deep a coordinate lies in the layer at its end of [-1, 1], 0 between them."""
    return np.maximum(np.abs(x) - (1 - width), 0)


def stretching(
    x: Float[np.ndarray, "*n"], strength: float | int = STRENGTH, width: float | int = WIDTH
) -> Complex[np.ndarray, "*n"]:
    """Return ``e = 1 - i a0 (d / L)**2``, d being the depth in the layer."""
    return 1 - 1j * strength * (depth(x, width) / width) ** 2


def stretched(
    x: Float[np.ndarray, "*n"], strength: float | int = STRENGTH, width: float | int = WIDTH
) -> Complex[np.ndarray, "*n"]:
    """Return the complex coordinate ``int_0^x e``: outgoing waves of it decay in the layers."""
    return x - 1j * np.sign(x) * strength * depth(x, width) ** 3 / (3 * width**2)


class LayeredSquare:
    """The discrete problem on the inner points of a grid, zero on the rim of [-1, 1]**2.

    Divided by C it is ``T u + u T' + m k**2 u = s / C`` with the one-dimensional operator
    ``T = (1/e) d (1/e) d``, here in staggered differences of high order. The same with 3-point
    differences is factorised (a sparse matrix of 5 diagonals) and serves as preconditioner.

    Args:
        side: Points along each axis with the rim, ``4 n + 1`` so that the layers start on one.
        strength: Strength a0 of the layers.
        width: Their width L.
        order: Order of the differences, even.

    Raises:
        ValueError: If ``side`` or ``order`` cannot be used.
    """

    def __init__(
        self,
        side: int,
        *,
        strength: float | int = STRENGTH,
        width: float | int = WIDTH,
        order: int = 8,
    ) -> None:
        if side < 17 or side % 4 != 1:
            raise ValueError(f"side must be 4 n + 1 and at least 17, got {side}")
        if order < 2 or order % 2:
            raise ValueError(f"order must be even and at least 2, got {order}")
        self.axis = np.linspace(-1, 1, side)
        self.spacing = 2 / (side - 1)
        between = (self.axis[1:] + self.axis[:-1]) / 2
        inner = stretching(self.axis[1:-1], strength, width)
        outer = stretching(between, strength, width)

        def second(order: int) -> sparse.csr_array:
            slope = _staggered(side, order) / self.spacing
            flux = sparse.diags_array(1 / outer) @ slope
            return sparse.csr_array(-sparse.diags_array(1 / inner) @ slope.T @ flux)

        self.second, self._simple = second(order), second(2)
        self.scale = inner[:, None] * inner

    def solve(
        self, medium: Medium, source: GaussianSource, k: float | int, tolerance: float | int = 1e-10
    ) -> Complex[np.ndarray, "side side"]:
        """Return the solution on the whole grid, rim included.

        Raises:
            FloatingPointError: If the iteration does not reach the tolerance.
        """
        n = len(self.axis) - 2
        mass = k**2 * self._averaged(medium)
        unit = sparse.eye_array(n)
        simple = sparse.kron(self._simple, unit) + sparse.kron(unit, self._simple)
        factors = splu((simple + sparse.diags_array(mass.ravel())).tocsc())

        def apply(u: np.ndarray) -> np.ndarray:
            u = u.reshape(n, n)
            return (self.second @ u + (self.second @ u.T).T + mass * u).ravel()

        solution, failed = gmres(
            LinearOperator((n * n, n * n), apply, dtype=complex),
            (self._spread(source) / self.scale).ravel(),
            rtol=tolerance,
            restart=60,
            maxiter=3,
            M=LinearOperator((n * n, n * n), factors.solve, dtype=complex),
        )
        if failed:
            raise FloatingPointError(f"Helmholtz solve did not reach {tolerance:g} at k = {k:g}")
        return np.pad(solution.reshape(n, n), 1)

    def _spread(self, source: GaussianSource) -> np.ndarray:
        """The source's mass carried to the grid by the transpose of Lagrange interpolation.

        All moments up to degree 7 are kept, so that waves see the right source even where the
        grid is too coarse to sample it.
        """
        step = min(self.spacing, math.sqrt(source.variance)) / 2
        count = 2 * math.ceil(source.radius / step) + 1
        fine = (np.arange(count) - count // 2) * step
        weights = [_lagrange(self.axis, fine + centre)[:, 1:-1] for centre in source.center]
        mesh = np.hypot(*np.meshgrid(fine, fine, indexing="ij"))
        mass = source.strength * source.density(mesh) * (step / self.spacing) ** 2
        return weights[0].T @ mass @ weights[1]

    def _averaged(self, medium: Medium) -> np.ndarray:
        """The medium's mean over the cell around every inner point."""
        offsets = ((np.arange(_SUBCELLS) + 0.5) / _SUBCELLS - 0.5) * self.spacing
        total = np.zeros((len(self.axis) - 2,) * 2)
        for a in offsets:
            for b in offsets:
                grid = np.meshgrid(self.axis[1:-1] + a, self.axis[1:-1] + b, indexing="ij")
                total += medium(np.stack(grid, -1))
        return total / _SUBCELLS**2


def helmholtz_medium(
    medium: str = "square",
    k: float | int = 20.0,
    source: GaussianSource | None = None,
    *,
    side: int = 301,
) -> Reference:
    """Solve the layered problem for one of the media.

    Args:
        medium: One of ``MEDIA``.
        k: Wave number, positive.
        source: Right-hand side; None is the default Gaussian, at the origin in the uniform medium
            and at (-0.35, 0) in the others.
        side: Points along each axis of [-1, 1], ``4 n + 1``; the error estimate takes half.

    Returns:
        Components ``re, im`` of ``x, y``. The points are those between the layers; evaluation
        works in the layers too, where the field decays.

    Raises:
        InputError: If the medium is unknown, or a wave gets fewer than four points.
        ValueError: If ``k`` or ``side`` is out of range.

    Source: perfectly matched layer as in Z. Chen, D. Cheng, W. Feng, T. Wu, "An optimal 9-point
    finite difference scheme for the Helmholtz equation with PML", Int. J. Numer. Anal. Model. 10
    (2013) 389; other differences here.
    """
    if medium not in MEDIA:
        raise InputError(f"medium must be one of {', '.join(MEDIA)}, got {medium}")
    if not k > 0:
        raise ValueError(f"k must be positive, got {k}")
    if 2 * np.pi / k < 4 * 2 / (side - 1):
        raise InputError(f"side must give 4 points per wave length, got {side} at k = {k:g}")
    source = source or GaussianSource((0.0 if medium == "uniform" else -0.35, 0.0))
    fine = LayeredSquare(side)
    u = fine.solve(MEDIA[medium], source, float(k))
    spline = GridSpline((fine.axis, fine.axis), np.stack([u.real, u.imag], -1))
    coarse = LayeredSquare((side - 1) // 8 * 4 + 1)
    rough = coarse.solve(MEDIA[medium], source, float(k))
    inside = np.abs(fine.axis) <= 1 - WIDTH + 1e-12
    axis = fine.axis[inside]
    points = grid_points((axis, axis))
    values = np.stack([u.real, u.imag], -1)[np.ix_(inside, inside)]
    other = GridSpline((coarse.axis, coarse.axis), np.stack([rough.real, rough.imag], -1))
    away = source.distance(points) > source.radius  # inside the coarse run interpolates a spike
    gap = np.abs(other(points) - values.reshape(-1, 2))[away]
    return Reference.on_grid(
        f"Helmholtz in a medium ({medium}), k = {k:g}",
        f"finite differences of order 8 on {side} x {side} points with absorbing layers",
        ("x", "y"),
        ("re", "im"),
        (axis, axis),
        values,
        error_estimate=float(gap.max()),
        evaluate=spline,
    )


def _staggered(side: int, order: int) -> sparse.csr_array:
    """Difference from the inner points to the midpoints, for spacing 1; zero beyond the rim."""
    reach = order // 2
    offsets = np.arange(reach) + 0.5
    # odd differences: match the slope and cancel the odd powers up to order - 1
    powers = 2 * np.arange(reach) + 1
    weights = np.linalg.solve(2 * offsets ** powers[:, None], np.eye(reach)[0])
    bands = {j: weights[j] for j in range(reach)} | {-1 - j: -weights[j] for j in range(reach)}
    return sparse.csr_array(
        sparse.diags_array(list(bands.values()), offsets=list(bands), shape=(side - 1, side - 2))
    )


def _lagrange(axis: np.ndarray, points: np.ndarray, count: int = 8) -> np.ndarray:
    """Weights of interpolation at points from the ``count`` nearest of equally spaced nodes."""
    first = np.floor((points - axis[0]) / (axis[1] - axis[0])).astype(int) - count // 2 + 1
    nodes = np.clip(first, 0, len(axis) - count)[:, None] + np.arange(count)
    weights = np.ones(nodes.shape)
    for i in range(count):
        for j in range(count):
            if i != j:
                a, b = axis[nodes[:, i]], axis[nodes[:, j]]
                weights[:, i] *= (points - b) / (a - b)
    matrix = np.zeros((len(points), len(axis)))
    np.put_along_axis(matrix, nodes, weights, axis=1)
    return matrix
