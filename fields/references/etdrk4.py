"""Stiff equations with periodic solutions, by exponential time differencing of order four."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Complex, Float
from scipy.interpolate import make_interp_spline

_CIRCLE = 64  # points of the contour; its rule converges faster than any power of their number


class ETDRK4:
    """One step of ``v' = linear * v + nonlinear(v)`` for Fourier coefficients ``v``.

    Args:
        linear: Multiplier of each coefficient.
        nonlinear: The rest of the right-hand side, coefficients to coefficients.
        dt: Time step, positive.

    Raises:
        ValueError: If ``dt`` is not positive.

    Source: A.-K. Kassam, L. N. Trefethen, "Fourth-order time-stepping for stiff PDEs", SIAM J.
    Sci. Comput. 26 (2005) 1214, section 3; scheme by S. M. Cox, P. C. Matthews, J. Comput. Phys.
    176 (2002) 430. The coefficients have removable singularities, so they are averaged over a
    circle around each ``dt * linear``.
    """

    def __init__(
        self,
        linear: Float[np.ndarray, " k"] | Complex[np.ndarray, " k"],
        nonlinear: Callable[[np.ndarray], np.ndarray],
        dt: float | int,
    ) -> None:
        if not dt > 0:
            raise ValueError(f"dt must be positive, got {dt}")
        self.nonlinear = nonlinear
        z = dt * linear.astype(complex)
        self._whole, self._half = np.exp(z), np.exp(z / 2)
        circle = z[:, None] + np.exp(2j * np.pi * (np.arange(_CIRCLE) + 0.5) / _CIRCLE)
        e = np.exp(circle)

        def mean(values: np.ndarray) -> np.ndarray:
            average = dt * values.mean(-1)
            return average if np.iscomplexobj(linear) else average.real

        self._stage = mean((np.exp(circle / 2) - 1) / circle)
        self._first = mean((-4 - circle + e * (4 - 3 * circle + circle**2)) / circle**3)
        self._middle = mean(2 * (2 + circle + e * (circle - 2)) / circle**3)
        self._last = mean((-4 - 3 * circle - circle**2 + e * (4 - circle)) / circle**3)

    def step(self, v: Complex[np.ndarray, " k"]) -> Complex[np.ndarray, " k"]:
        """Return the coefficients one time step later."""
        n_v = self.nonlinear(v)
        a = self._half * v + self._stage * n_v
        n_a = self.nonlinear(a)
        b = self._half * v + self._stage * n_a
        n_b = self.nonlinear(b)
        c = self._half * a + self._stage * (2 * n_b - n_v)
        n_c = self.nonlinear(c)
        return self._whole * v + self._first * n_v + self._middle * (n_a + n_b) + self._last * n_c

    def run(
        self, v: Complex[np.ndarray, " k"], steps: int, every: int
    ) -> Complex[np.ndarray, "m k"]:
        """Return the coefficients at the start and after every ``every`` of ``steps`` steps.

        Raises:
            FloatingPointError: If the solution grows without bound.
        """
        kept = [v]
        for i in range(1, steps + 1):
            v = self.step(v)
            if i % every == 0:
                if not np.isfinite(v).all():
                    raise FloatingPointError(f"the time step is too large: blow-up at step {i}")
                kept.append(v)
        return np.stack(kept)


class FourierSeries:
    """Evaluation of a periodic solution anywhere: exact in x, a quintic spline in t.

    Args:
        left: Where the period starts.
        period: Its length.
        times: Increasing times.
        coefficients: ``rfft`` of the values at each time, divided by the number of points.
    """

    def __init__(
        self,
        left: float | int,
        period: float | int,
        times: Float[np.ndarray, " m"],
        coefficients: Complex[np.ndarray, "m k"],
    ) -> None:
        self.left, self.period = left, period
        self.start, self.end = float(times[0]), float(times[-1])
        size = np.abs(coefficients).max(0)
        # what lies below rounding adds cost only
        count = int(np.flatnonzero(size > 1e-16 * size.max()).max()) + 1
        self._modes = np.arange(count)
        self._spline = make_interp_spline(times, coefficients[:, :count], k=5)

    def __call__(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 1"]:
        """Return values at ``(x, t)``; NaN at times outside of the run."""
        x, t = points[:, 0], points[:, 1]
        turn = 2 * np.pi * (x - self.left) / self.period
        values = np.empty(len(points))
        step = max(1, 2**19 // len(self._modes))
        for i in range(0, len(points), step):
            terms = self._spline(t[i : i + step]) * np.exp(
                1j * turn[i : i + step, None] * self._modes
            )
            values[i : i + step] = 2 * terms.real.sum(-1) - terms[:, 0].real
        values[(t < self.start) | (t > self.end)] = np.nan
        return values[:, None]

    def on_grid(
        self, x: Float[np.ndarray, " n"], coefficients: Complex[np.ndarray, "m k"]
    ) -> Float[np.ndarray, "n m"]:
        """Return the values at ``x`` for every row of coefficients."""
        turn = 2 * np.pi * (x - self.left) / self.period
        waves = np.exp(1j * turn[:, None] * self._modes)
        terms = coefficients[:, self._modes]
        return 2 * (waves @ terms.T).real - terms[:, 0].real
