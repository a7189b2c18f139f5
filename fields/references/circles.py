"""Laplace's equation on a square with round holes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from fields.references.reference import Reference, grid_points
from overparam.errors import InputError

CENTERS = ((0.3, 0.3), (-0.3, 0.3), (0.3, -0.3), (-0.3, -0.3))
"""Of the four holes of radius 0.1 in PINNacle's problem Poisson2d-C."""


def laplace_circles(
    centers: Sequence[Sequence[float | int]] = CENTERS,
    radius: float | int = 0.1,
    *,
    half_side: float | int = 0.5,
    outer: float | int = 1.0,
    inner: float | int = 0.0,
    counts: int = 81,
    terms: int = 60,
) -> Reference:
    """Solve ``Laplace u = 0`` with constant values on a square's rim and on its holes.

    A polynomial and, about each hole, a logarithm and a Laurent series are fitted to the boundary
    by least squares. Constant data leaves no singularity at a right angle, so the series
    converges geometrically.

    Args:
        centers: Centres of the holes.
        radius: Their radius, positive.
        half_side: The square is ``[-half_side, half_side]**2``.
        outer: Value on the square's rim.
        inner: Value on the holes.
        counts: Reference points along each axis, those in holes left out.
        terms: Degree of the polynomial; the Laurent series have half as many terms.

    Returns:
        Component ``u`` of ``x, y``; the error estimate is the largest error on a finer sample of
        the boundary, which bounds the error inside.

    Raises:
        InputError: If a hole is not inside the square, or two holes touch.
        ValueError: If ``terms`` is below 4 or ``counts`` below 2.

    Source: L. N. Trefethen, "Series solution of Laplace problems", ANZIAM J. 60 (2018) 1.
    """
    if terms < 4 or counts < 2:
        raise ValueError(f"terms must be at least 4 and counts 2, got {terms} and {counts}")
    middles = np.array([complex(*center) for center in centers])
    apart = np.abs(middles[:, None] - middles) + 10 * half_side * np.eye(len(middles))
    reach = np.maximum(np.abs(middles.real), np.abs(middles.imag)) + radius
    if not radius > 0 or reach.max(initial=0) >= half_side or apart.min(initial=1) <= 2 * radius:
        raise InputError(
            f"holes of radius {radius} must be positive, apart and inside the square of half side "
            f"{half_side}, got centers {list(centers)}"
        )

    def basis(points: np.ndarray) -> np.ndarray:
        z = points[:, 0] + 1j * points[:, 1]
        powers = [(z[:, None] / (np.sqrt(2) * half_side)) ** np.arange(terms + 1)]
        powers += [(radius / (z[:, None] - m)) ** np.arange(1, terms // 2 + 1) for m in middles]
        columns = np.concatenate(powers, axis=-1)
        logs = np.log(np.abs(z[:, None] - middles) / half_side)
        return np.concatenate([columns.real, columns.imag, logs], axis=-1)

    def boundary(count: int) -> tuple[np.ndarray, np.ndarray]:
        line = half_side * np.cos(np.pi * (np.arange(count) + 0.5) / count)
        wall = np.full(count, half_side)
        sides = [np.stack(pair, -1) for pair in ((line, wall), (wall, line))]
        turn = 2 * np.pi * np.arange(count) / count
        ring = radius * np.stack([np.cos(turn), np.sin(turn)], -1)
        rings = [ring + np.array([m.real, m.imag]) for m in middles]
        points = np.concatenate([*sides, *(-side for side in sides), *rings])
        values = np.where(np.arange(len(points)) < 4 * count, outer, inner)
        return points, values.astype(float)

    points, target = boundary(4 * terms)
    weights = np.linalg.lstsq(basis(points), target, rcond=1e-14)[0]
    points, target = boundary(10 * terms + 3)
    bound = float(np.abs(basis(points) @ weights - target).max())

    def evaluate(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 1"]:
        gaps = np.abs((points[:, 0] + 1j * points[:, 1])[:, None] - middles).min(-1, initial=np.inf)
        known = (gaps >= radius * (1 - 1e-9)) & (np.abs(points).max(-1) <= half_side * (1 + 1e-12))
        values = np.full(len(points), np.nan)
        values[known] = basis(points[known]) @ weights
        return values[:, None]

    axis = np.linspace(-half_side, half_side, counts)
    grid = grid_points((axis, axis))
    values = evaluate(grid)
    inside = np.isfinite(values[:, 0])
    return Reference(
        f"Laplace on a square with {len(middles)} holes",
        f"series of {terms} terms",
        ("x", "y"),
        ("u",),
        grid[inside],
        values[inside],
        evaluate,
        bound,
    )
