"""The wave equation of the plane: a Gaussian pulse in closed form, any start by Fourier series."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import j0

from fields.references.reference import Reference, grid_points

_PANEL = 48  # Gauss nodes of a panel
_TURN = 40.0  # radians of phase that a panel of so many nodes resolves to rounding


@dataclass(frozen=True)
class GaussianPulse:
    """``u(x, 0) = peak exp(-|x - center|**2 / (2 variance))`` at rest, in the whole plane.

    Attributes:
        center: Centre.
        variance: Variance in each coordinate, positive.
        peak: Height.
        speed: Speed of waves, positive.

    Raises:
        ValueError: If ``variance`` or ``speed`` is not positive.

    Source: the defaults are those of Sitzmann et al., NeurIPS 2020, supplement on the wave
    equation.
    """

    center: Sequence[float | int] = (0.0, 0.0)
    variance: float | int = 5e-4
    peak: float | int = 1 / 50
    speed: float | int = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.variance < math.inf and 0 < self.speed < math.inf):
            raise ValueError(
                f"variance and speed must be positive, got {self.variance} and {self.speed}"
            )

    def start(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Return ``u(x, 0)``."""
        square = ((points - np.asarray(self.center)) ** 2).sum(-1)
        return self.peak * np.exp(-square / (2 * self.variance))

    def radial(
        self, r: Float[np.ndarray, " n"], t: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Return ``u`` at distances and times, ``peak v int exp(-v k**2/2) cos(ckt) J0(kr) k dk``.

        The Hankel transform of the start, each wave number swinging by itself. What is cut off
        and the error of the rule are near rounding.
        """
        last = math.sqrt(80 / self.variance)
        phase = last * float((r + self.speed * np.abs(t)).max(initial=0.0))
        panels = 2 + int(phase / _TURN)
        node, weight = np.polynomial.legendre.leggauss(_PANEL)
        k = last * ((np.arange(panels)[:, None] + (node + 1) / 2) / panels).ravel()
        w = np.tile(weight, panels) * last / (2 * panels)
        w = w * self.peak * self.variance * k * np.exp(-self.variance * k**2 / 2)
        # points of one time or one distance share their row of factors
        radii, at_r = np.unique(r, return_inverse=True)
        times, at_t = np.unique(t, return_inverse=True)
        bessel, swing = j0(radii[:, None] * k) * w, np.cos(self.speed * times[:, None] * k)
        if len(radii) * len(times) <= 4 * len(r):
            return (bessel @ swing.T)[at_r.ravel(), at_t.ravel()]
        values = np.empty(len(r))
        step = max(1, 2**20 // len(k))
        for i in range(0, len(r), step):
            piece = slice(i, i + step)
            values[piece] = np.einsum(
                "nk,nk->n", bessel[at_r.ravel()[piece]], swing[at_t.ravel()[piece]]
            )
        return values

    def __call__(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 1"]:
        """Return ``u`` at points ``(x, y, t)``."""
        r = np.hypot(points[:, 0] - self.center[0], points[:, 1] - self.center[1])
        return self.radial(r, points[:, 2])[:, None]


class SpectralWave:
    """Waves of any start on a periodic square, exact in time for every Fourier coefficient.

    Stands for the free plane as long as nothing has run around the square.

    Args:
        start: ``u(x, 0)`` as a function of points ``(n, 2)``.
        velocity: ``u_t(x, 0)``; None is rest.
        half_side: The square is ``[-half_side, half_side)**2``.
        side: Grid points along each axis, at least 8.
        speed: Speed of waves.

    Raises:
        ValueError: If a size is not positive or ``side`` below 8.
    """

    def __init__(
        self,
        start: Callable[[np.ndarray], np.ndarray],
        velocity: Callable[[np.ndarray], np.ndarray] | None = None,
        *,
        half_side: float | int = 1.0,
        side: int = 256,
        speed: float | int = 1.0,
    ) -> None:
        if side < 8 or not (half_side > 0 and speed > 0):
            raise ValueError(
                f"side must be at least 8, half_side and speed positive, "
                f"got {side}, {half_side} and {speed}"
            )
        self.axis = half_side * (2 * np.arange(side) / side - 1)
        points = grid_points((self.axis, self.axis))
        self._start = np.fft.rfft2(start(points).reshape(side, side))
        still = np.zeros(len(points)) if velocity is None else velocity(points)
        self._velocity = np.fft.rfft2(still.reshape(side, side))
        k = 2 * np.pi * np.fft.fftfreq(side, 2 * half_side / side)
        k_y = np.abs(k[: side // 2 + 1])
        self._omega = speed * np.hypot(k[:, None], k_y)

    def at(self, t: float | int) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n n"]]:
        """Return ``u`` and ``u_t`` on the grid at a time."""
        cos, sin = np.cos(self._omega * t), np.sin(self._omega * t)
        over = t * np.sinc(self._omega * t / np.pi)  # sin(omega t) / omega
        value = self._start * cos + self._velocity * over
        slope = self._velocity * cos - self._start * self._omega * sin
        shape = (len(self.axis), len(self.axis))
        return np.fft.irfft2(value, shape), np.fft.irfft2(slope, shape)

    def energy(self, t: float | int) -> float:
        """Return ``int (u_t**2 + c**2 |grad u|**2) / 2`` over the square."""
        value, slope = self.at(t)
        cell = (self.axis[1] - self.axis[0]) ** 2
        strain = np.abs(np.fft.rfft2(value) * self._omega) ** 2
        # the columns between the first and the last stand for their mirror images too
        strain[:, 1 : (value.shape[1] + 1) // 2] *= 2
        return float((slope**2).sum() + strain.sum() / value.size) * cell / 2


def wave(
    pulse: GaussianPulse | None = None,
    *,
    half_side: float | int = 1.0,
    counts: int = 65,
    times: Sequence[float | int] = (0, 0.05, 0.1, 0.15, 0.25),
) -> Reference:
    """Solve ``u_tt = c**2 Laplace u`` in the plane for a Gaussian pulse at rest.

    Args:
        pulse: The start; None is the default pulse.
        half_side: Reference points cover ``[-half_side, half_side]**2``.
        counts: Points along each axis.
        times: Increasing times of the reference points.

    Returns:
        Component ``u`` of ``x, y, t``, exact everywhere up to rounding; the error estimate is the
        largest difference to the start at t = 0.

    Raises:
        ValueError: If ``counts`` is below 2 or there is no time.
    """
    if counts < 2 or len(times) < 1:
        raise ValueError(f"counts must be at least 2 and times not empty, got {counts}, {times}")
    pulse = pulse or GaussianPulse()
    axis = np.linspace(-half_side, half_side, counts)
    axes = (axis, axis, np.array(times, float))
    points = grid_points(axes)
    start = points[points[:, 2] == points[0, 2]]
    start = np.column_stack([start[:, :2], np.zeros(len(start))])
    return Reference.on_grid(
        f"wave equation, Gaussian pulse of variance {pulse.variance:g}",
        "Hankel transform, Gauss's rule",
        ("x", "y", "t"),
        ("u",),
        axes,
        pulse(points).reshape(counts, counts, len(times), 1),
        error_estimate=float(np.abs(pulse(start)[:, 0] - pulse.start(start[:, :2])).max()),
        evaluate=pulse,
    )
