"""Burgers's equation solved by the Cole-Hopf formula."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.special import roots_hermite

from fields.references.reference import Reference, grid_points

NU = 0.01 / np.pi


def burgers(
    nu: float | int = NU, *, nodes: int = 200, x: int = 257, t: int = 101, final: float | int = 1.0
) -> Reference:
    """Solve ``u_t + u u_x = nu u_xx`` on [-1, 1] with ``u(x, 0) = -sin(pi x)``, ``u(+-1, t) = 0``.

    The values are the ratio of two Gauss-Hermite sums, evaluated afresh at every point asked for.

    Args:
        nu: Viscosity, positive.
        nodes: Nodes of the rule; the smaller the viscosity, the more are needed.
        x: Reference points along x.
        t: Reference times from 0 to ``final``.
        final: Last time, positive.

    Returns:
        Components ``u`` of ``x, t``; the error estimate compares with half as many nodes again.

    Raises:
        ValueError: If a number is out of range.

    Source: C. Basdevant et al., "Spectral and finite difference solutions of the Burgers
    equation", Computers & Fluids 14 (1986) 23.
    """
    if not (nu > 0 and final > 0):
        raise ValueError(f"nu and final must be positive, got {nu} and {final}")
    if nodes < 2 or x < 2 or t < 2:
        raise ValueError(f"nodes, x and t must be at least 2, got {nodes}, {x} and {t}")
    axes = (np.linspace(-1, 1, x), np.linspace(0, final, t))
    exact, finer = _cole_hopf(nu, nodes), _cole_hopf(nu, nodes * 3 // 2)
    points = grid_points(axes)
    values = exact(points)
    sample = points[:: max(1, len(points) // 2000)]
    return Reference.on_grid(
        f"Burgers, nu = {nu:.6g}",
        f"Cole-Hopf formula, Gauss-Hermite rule of {nodes} nodes",
        ("x", "t"),
        ("u",),
        axes,
        values.reshape(x, t, 1),
        error_estimate=float(np.abs(exact(sample) - finer(sample)).max()),
        evaluate=exact,
    )


def _cole_hopf(nu: float | int, nodes: int) -> Callable[[np.ndarray], np.ndarray]:
    z, weights = roots_hermite(nodes)
    some = weights > 0  # the outermost weights underflow
    z, log_weights = z[some], np.log(weights[some])

    def exact(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 1"]:
        x, t = points[:, :1], np.maximum(points[:, 1:], 0)
        y = x - 2 * np.sqrt(nu * t) * z
        # the exponents reach 1 / (2 pi nu) and more: only differences to the largest count
        power = log_weights - np.cos(np.pi * y) / (2 * np.pi * nu)
        share = np.exp(power - power.max(-1, keepdims=True))
        return -(np.sin(np.pi * y) * share).sum(-1, keepdims=True) / share.sum(-1, keepdims=True)

    return exact
