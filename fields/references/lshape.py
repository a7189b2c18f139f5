"""Poisson's equation on the L-shape and other polygons."""

from collections.abc import Sequence

import numpy as np
import torch

from fields.domains.polygon import LShape, Polygon
from fields.references.lightning import LightningLaplace
from fields.references.reference import Reference, grid_points


def poisson_polygon(polygon: Polygon, *, counts: int = 81, poles: int = 60) -> Reference:
    """Solve ``-Laplace u = 1`` in a polygon with ``u = 0`` on its boundary.

    ``u = v - |x - c|**2 / 4`` with a harmonic v, found by :class:`LightningLaplace`, which
    handles the corners whatever their angles are.

    Args:
        polygon: The domain.
        counts: Reference points along each axis of its bounding box, outer ones left out.
        poles: Poles at each corner; the cost grows as the cube of their total number.

    Returns:
        Component ``u`` of ``x, y``; the error estimate is a bound by the maximum principle, as
        far as a fine sample of the boundary shows its largest error.

    Raises:
        ValueError: If ``counts`` is below 2 or ``poles`` below 4.
    """
    if counts < 2:
        raise ValueError(f"counts must be at least 2, got {counts}")
    corners = polygon.vertices.numpy()
    middle = corners.mean(0)

    def parabola(points: np.ndarray) -> np.ndarray:
        return ((points - middle) ** 2).sum(-1) / 4

    harmonic = LightningLaplace(corners[:, 0] + 1j * corners[:, 1], parabola, poles)

    def evaluate(points: np.ndarray) -> np.ndarray:
        inside = polygon.contains(torch.from_numpy(points), tolerance=1e-12).numpy()
        return np.where(inside, harmonic(points) - parabola(points), np.nan)[:, None]

    lower, upper = (corner.numpy() for corner in polygon.bounds)
    points = grid_points([np.linspace(lower[i], upper[i], counts) for i in range(2)])
    values = evaluate(points)
    inside = np.isfinite(values[:, 0])
    return Reference(
        f"Poisson on {polygon!r}",
        f"rational functions with {poles} poles at each corner",
        ("x", "y"),
        ("u",),
        points[inside],
        values[inside],
        evaluate,
        harmonic.boundary_error,
    )


def poisson_lshape(
    lower: Sequence[float | int] = (-1, -1),
    upper: Sequence[float | int] = (1, 1),
    *,
    counts: int = 81,
    poles: int = 60,
) -> Reference:
    """Solve ``-Laplace u = 1`` on the L-shape, ``u = 0`` on its boundary.

    At the inward corner ``u`` behaves as ``r**(2/3)``. See :func:`poisson_polygon`.
    """
    return poisson_polygon(LShape(lower, upper), counts=counts, poles=poles)
