"""Laplace's equation in a polygon by rational functions with poles beyond the corners."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex, Float

_SIGMA = 4.0  # of the exponential clustering; the paper's choice
_DENSITY = 3  # boundary samples per pole along an edge


class LightningLaplace:
    """The real part of ``sum_j c_j / (z - p_j) + polynomial``, fitted to data on the boundary.

    The poles crowd exponentially towards every corner from outside; whatever power or logarithm
    the solution has there, the error falls as ``exp(-C sqrt(number of poles))``.

    Args:
        corners: Corners of a simple polygon, counter-clockwise, as complex numbers.
        data: Boundary values as a function of points ``(n, 2)``.
        poles: Poles at each corner, at least 4.

    Attributes:
        boundary_error: Largest error seen on a finer sample of the boundary. By the maximum
            principle it bounds the error inside.

    Raises:
        ValueError: If ``poles`` is below 4.

    Source: A. Gopal, L. N. Trefethen, "Solving Laplace problems with corner singularities via
    rational functions", SIAM J. Numer. Anal. 57 (2019) 2074; the polynomial by P. D. Brubeck,
    Y. Nakatsukasa, L. N. Trefethen, "Vandermonde with Arnoldi", SIAM Review 63 (2021) 405.
    """

    def __init__(
        self,
        corners: Complex[np.ndarray, " m"],
        data: Callable[[np.ndarray], np.ndarray],
        poles: int = 40,
    ) -> None:
        if poles < 4:
            raise ValueError(f"poles must be at least 4, got {poles}")
        self.corners = corners
        self.middle = corners.mean()
        self.scale = float(np.abs(corners - self.middle).max())
        self._poles, self._sizes = self._clusters(poles)
        self._degree = poles // 2
        z = self._boundary(_DENSITY * poles)
        self._recurrence = _arnoldi((z - self.middle) / self.scale, self._degree)
        target = data(np.stack([z.real, z.imag], -1))
        self._weights = np.linalg.lstsq(self._basis(z), target, rcond=1e-14)[0]
        z = self._boundary(2 * _DENSITY * poles + 1)
        points = np.stack([z.real, z.imag], -1)
        self.boundary_error = float(np.abs(self(points) - data(points)).max())

    def __call__(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Return the harmonic function; meaningful inside the polygon only."""
        return self._basis(points[:, 0] + 1j * points[:, 1]) @ self._weights

    def _clusters(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Poles along the outward bisector of every corner, and their distances from it."""
        ahead = np.roll(self.corners, -1) - self.corners
        behind = np.roll(self.corners, 1) - self.corners
        inside = np.angle(behind / ahead) % (2 * np.pi)
        outward = -ahead / np.abs(ahead) * np.exp(0.5j * inside)
        steps = np.sqrt(count) - np.sqrt(np.arange(1, count + 1))
        distances = self.scale * np.exp(-_SIGMA * steps)
        poles = self.corners[:, None] + outward[:, None] * distances
        return poles.ravel(), np.tile(distances, len(self.corners))

    def _boundary(self, count: int) -> np.ndarray:
        """Points on all edges, as crowded at the corners as the poles are."""
        half = (np.arange(count) + 0.5) / count
        steps = np.sqrt(count / _DENSITY) * (1 - np.sqrt(half))
        share = 0.5 * np.exp(-_SIGMA * steps)
        share = np.sort(np.concatenate([share, 1 - share]))
        ahead = np.roll(self.corners, -1) - self.corners
        return (self.corners[:, None] + ahead[:, None] * share).ravel()

    def _basis(self, z: np.ndarray) -> np.ndarray:
        simple = self._sizes / (z[:, None] - self._poles)
        whole = _evaluate((z - self.middle) / self.scale, self._recurrence)
        columns = np.concatenate([simple, whole], axis=-1)
        return np.concatenate([columns.real, columns.imag], axis=-1)


def _arnoldi(z: np.ndarray, degree: int) -> np.ndarray:
    """Recurrence of polynomials orthonormal on the points: well conditioned unlike powers."""
    basis = np.ones((len(z), degree + 1), complex)
    recurrence = np.zeros((degree + 1, degree), complex)
    for k in range(degree):
        new = z * basis[:, k]
        for _ in range(2):  # the second pass removes what rounding left
            part = basis[:, : k + 1].conj().T @ new / len(z)
            recurrence[: k + 1, k] += part
            new = new - basis[:, : k + 1] @ part
        recurrence[k + 1, k] = np.linalg.norm(new) / np.sqrt(len(z))
        basis[:, k + 1] = new / recurrence[k + 1, k]
    return recurrence


def _evaluate(z: np.ndarray, recurrence: np.ndarray) -> np.ndarray:
    degree = recurrence.shape[1]
    basis = np.ones((len(z), degree + 1), complex)
    for k in range(degree):
        new = z * basis[:, k] - basis[:, : k + 1] @ recurrence[: k + 1, k]
        basis[:, k + 1] = new / recurrence[k + 1, k]
    return basis
