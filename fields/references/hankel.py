"""The Helmholtz equation in the free plane: Hankel functions and a Gaussian source.

Waves depend on time as ``exp(+i omega t)``, so that ``H0^(2)(kr)``, which falls off as
``exp(-i k r)``, runs outwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from scipy.special import hankel2, j0

from fields.references.reference import Reference, grid_points

_NODES = 48  # per radial integral; the integrands are smooth after the cubic substitution


@dataclass(frozen=True)
class GaussianSource:
    """A normalised Gaussian of the plane times a complex number, cut off where it is tiny.

    Attributes:
        center: Its centre.
        variance: Its variance in each coordinate, positive.
        strength: Factor.
        cutoff: The Gaussian counts as zero where it is below this.

    Raises:
        ValueError: If ``variance`` or ``cutoff`` is out of range.

    Source: the defaults are those of Sitzmann et al., NeurIPS 2020, supplement on the Helmholtz
    equation.
    """

    center: Sequence[float | int] = (0.0, 0.0)
    variance: float | int = 1e-4
    strength: complex | float | int = 1 + 1j
    cutoff: float | int = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.variance < math.inf:
            raise ValueError(f"variance must be positive, got {self.variance}")
        if not 0 < self.cutoff < self.peak:
            raise ValueError(f"cutoff must lie between 0 and {self.peak:g}, got {self.cutoff}")

    @property
    def peak(self) -> float:
        """Largest value of the Gaussian."""
        return 1 / (2 * math.pi * self.variance)

    @property
    def radius(self) -> float:
        """Where the source ends."""
        return math.sqrt(2 * self.variance * math.log(self.peak / self.cutoff))

    def distance(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Return the distance from the centre."""
        return np.hypot(points[:, 0] - self.center[0], points[:, 1] - self.center[1])

    def density(self, r: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return the Gaussian at a distance from the centre, without ``strength``."""
        value = self.peak * np.exp(-(r**2) / (2 * self.variance))
        return np.where(value < self.cutoff, 0.0, value)

    def __call__(self, points: Float[np.ndarray, "n 2"]) -> Complex[np.ndarray, " n"]:
        """Return the source at points."""
        return self.strength * self.density(self.distance(points))

    def moment(self, k: float | int, *, nodes: int = _NODES) -> complex:
        """Return ``integral s(y) J0(k |y|) dy``: what a far observer sees of the source."""
        return (
            self.strength * complex(self._inner(np.array([self.radius]), k, nodes)[0]) * 2 * math.pi
        )

    def wave(
        self, r: Float[np.ndarray, " n"], k: float | int, *, nodes: int = _NODES
    ) -> Complex[np.ndarray, " n"]:
        """Return the solution of ``Laplace u + k**2 u = s`` at a distance from the centre.

        By the addition theorem the convolution of ``(i / 4) H0^(2)(k r)`` with a radial source is
        ``(i pi / 2) [H0(kr) int_0^r s J0 rho drho + J0(kr) int_r^R s H0 rho drho]``.
        """
        r = np.asarray(r, float)
        u = np.empty(r.shape, complex)
        far = r >= self.radius
        u[far] = 0.25j * self.moment(k, nodes=nodes) * hankel2(0, k * r[far])
        near = np.maximum(r[~far], 1e-12 * self.radius)
        u[~far] = (self.strength * 0.5j * math.pi) * (
            hankel2(0, k * near) * self._inner(near, k, nodes)
            + j0(k * near) * self._outer(near, k, nodes)
        )
        return u

    def _inner(self, r: np.ndarray, k: float | int, nodes: int) -> np.ndarray:
        node, weight = _unit_rule(nodes)
        rho = r[:, None] * node
        return r * ((self.density(rho) * j0(k * rho) * rho) @ weight)

    def _outer(self, r: np.ndarray, k: float | int, nodes: int) -> np.ndarray:
        # H0 has a logarithm at 0: crowd the nodes there
        node, weight = _unit_rule(nodes)
        width = self.radius - r
        rho = r[:, None] + width[:, None] * node**3
        return width * ((self.density(rho) * hankel2(0, k * rho) * rho) @ (3 * node**2 * weight))


def helmholtz_free(
    k: float | int = 20.0,
    source: GaussianSource | None = None,
    *,
    half_side: float | int = 0.5,
    counts: int = 101,
) -> Reference:
    """Solve ``Laplace u + k**2 u = s`` in the plane with outgoing waves, exactly.

    Args:
        k: Wave number, positive.
        source: Right-hand side; None is the default Gaussian at the origin.
        half_side: The reference points are a grid over ``[-half_side, half_side]**2``.
        counts: Points along each axis.

    Returns:
        Components ``re, im`` of ``x, y``; the error estimate compares with fewer nodes.

    Raises:
        ValueError: If ``k`` is not positive.

    Source: for the kernel, D. Colton, R. Kress, "Inverse Acoustic and Electromagnetic Scattering
    Theory", conjugated for the other sign of time.
    """
    if not k > 0:
        raise ValueError(f"k must be positive, got {k}")
    source = source or GaussianSource()

    def exact(points: np.ndarray) -> np.ndarray:
        u = source.wave(source.distance(points), float(k))
        return np.stack([u.real, u.imag], axis=-1)

    axis = np.linspace(-half_side, half_side, counts)
    points = grid_points((axis, axis))
    values = exact(points)
    rough = source.wave(source.distance(points), float(k), nodes=2 * _NODES // 3)
    gap = np.abs(values - np.stack([rough.real, rough.imag], axis=-1))
    return Reference.on_grid(
        f"Helmholtz in free space, k = {k:g}",
        "Hankel function convolved with a Gaussian source",
        ("x", "y"),
        ("re", "im"),
        (axis, axis),
        values.reshape(counts, counts, 2),
        error_estimate=float(gap.max()),
        evaluate=exact,
    )


def _unit_rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss's rule on [0, 1]."""
    node, weight = np.polynomial.legendre.leggauss(nodes)
    return (node + 1) / 2, weight / 2
