"""Allen-Cahn, Korteweg-de Vries and Kuramoto-Sivashinsky on a circle, by Fourier series."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fields.references.etdrk4 import ETDRK4, FourierSeries
from fields.references.reference import Reference, grid_points

_FINER = 16  # finer points for the coefficients of the start


@dataclass(frozen=True)
class PeriodicEquation:
    """``u_t = symbol(ik) u + reaction(u) - advection * u u_x`` with periodic ``u``.

    Attributes:
        name: What the equation is called.
        left: Where the period starts.
        period: Its length.
        initial: ``u(x, 0)``.
        symbol: The linear part as a function of ``ik``, k being the wave number in radians.
        reaction: Pointwise nonlinear part; None is none.
        advection: Factor of ``u u_x``.
    """

    name: str
    left: float | int
    period: float | int
    initial: Callable[[np.ndarray], np.ndarray]
    symbol: Callable[[np.ndarray], np.ndarray]
    reaction: Callable[[np.ndarray], np.ndarray] | None = None
    advection: float | int = 0.0

    def solve(
        self, modes: int, steps: int, outputs: int, final: float | int
    ) -> tuple[Float[np.ndarray, " m"], np.ndarray]:
        """Return times and normalised ``rfft`` coefficients of the solution at them.

        Args:
            modes: Points of the circle.
            steps: Time steps, a multiple of ``outputs``.
            outputs: Times after the first at which the solution is kept.
            final: Last time.

        Raises:
            ValueError: If a count is too small, or ``steps`` is no multiple of ``outputs``.
            FloatingPointError: If the steps are too large for stability.
        """
        if modes < 8 or outputs < 5 or steps < outputs or steps % outputs or not final > 0:
            raise ValueError(
                f"modes must be at least 8, outputs at least 5, steps a multiple of outputs and "
                f"final positive, got {modes}, {outputs}, {steps} and {final}"
            )
        ik = 2j * np.pi / self.period * np.arange(modes // 2 + 1)
        # a start with a kink would alias on the run's own points
        fine = self.left + self.period * np.arange(_FINER * modes) / (_FINER * modes)
        start = np.fft.rfft(self.initial(fine))[: modes // 2 + 1] / _FINER
        kept = np.arange(modes // 2 + 1) < modes / 3  # products would alias beyond (Orszag)

        def nonlinear(v: np.ndarray) -> np.ndarray:
            u = np.fft.irfft(v, modes)
            rest = -0.5 * self.advection * ik * np.fft.rfft(u * u) if self.advection else 0
            if self.reaction is not None:
                rest = rest + np.fft.rfft(self.reaction(u))
            return np.where(kept, rest, 0)

        linear = self.symbol(ik)
        linear = linear.real if np.abs(linear.imag).max() == 0 else linear
        stepper = ETDRK4(linear, nonlinear, final / steps)
        rows = stepper.run(np.where(kept, start, 0), steps, steps // outputs)
        return np.linspace(0, final, outputs + 1), rows / modes

    def reference(self, modes: int, steps: int, outputs: int, final: float | int) -> Reference:
        """Solve, and estimate the error from a run of half the modes and half the steps.

        The estimate is the largest difference of the two at points and times between those kept,
        from the third kept time on, so it covers interpolation as well.
        """
        t, rows = self.solve(modes, steps, outputs, final)
        series = FourierSeries(self.left, self.period, t, rows)
        half = self.solve(modes // 2, max(steps // 2 // outputs, 1) * outputs, outputs, final)
        coarse = FourierSeries(self.left, self.period, *half)
        x = self.left + self.period * np.linspace(0, 1, min(modes, 512) + 1)
        values = series.on_grid(x, rows)
        values[:, 0] = self.initial(x)

        def evaluate(points: np.ndarray) -> np.ndarray:
            at_start = points[:, 1:] == 0
            return np.where(at_start, self.initial(points[:, 0])[:, None], series(points))

        middle = (t[2:-3:3] + t[3:-2:3]) / 2
        probe = grid_points([(x[:-1:4] + x[1::4]) / 2, middle])
        return Reference.on_grid(
            self.name,
            f"Fourier series of {modes} points, ETDRK4 with {steps} steps",
            ("x", "t"),
            ("u",),
            (x, t),
            values[..., None],
            error_estimate=float(np.abs(series(probe) - coarse(probe)).max()),
            evaluate=evaluate,
        )


def allen_cahn(
    diffusion: float | int = 1e-4,
    *,
    modes: int = 4096,
    steps: int = 800,
    outputs: int = 200,
    final: float | int = 1.0,
) -> Reference:
    """Solve ``u_t = D u_xx + 5 (u - u**3)``, ``u(x, 0) = x**2 cos(pi x)``, of period 2 on [-1, 1].

    The start has a kink at x = +-1: next to it and before the first time kept after the start,
    the values are less accurate than the error estimate says.
    """
    return PeriodicEquation(
        f"Allen-Cahn, D = {diffusion:g}",
        -1.0,
        2.0,
        lambda x: x**2 * np.cos(np.pi * x),
        lambda ik: (diffusion * ik**2).real + 5 + 0j,
        reaction=lambda u: -5 * u**3,
    ).reference(modes, steps, outputs, final)


def korteweg_de_vries(
    dispersion: float | int = 0.0025,
    *,
    initial: Callable[[np.ndarray], np.ndarray] | None = None,
    modes: int = 512,
    steps: int = 4000,
    outputs: int = 400,
    final: float | int = 1.0,
) -> Reference:
    """Solve ``u_t + u u_x + b u_xxx = 0`` of period 2 on [-1, 1], ``u(x, 0) = cos(pi x)``.

    Args:
        dispersion: b.
        initial: Another start of the same period.
        modes: Points of the circle.
        steps: Time steps.
        outputs: Times kept after the first.
        final: Last time.

    Source: N. J. Zabusky, M. D. Kruskal, Phys. Rev. Lett. 15 (1965) 240, with another b.
    """
    return PeriodicEquation(
        f"Korteweg-de Vries, b = {dispersion:g}",
        -1.0,
        2.0,
        initial or (lambda x: np.cos(np.pi * x)),
        lambda ik: -dispersion * ik**3,
        advection=1.0,
    ).reference(modes, steps, outputs, final)


def kuramoto_sivashinsky(
    *,
    period: float | int = 32 * np.pi,
    modes: int = 512,
    steps: int = 2000,
    outputs: int = 200,
    final: float | int = 50.0,
) -> Reference:
    """Solve ``u_t + u u_x + u_xx + u_xxxx = 0``, ``u(x, 0) = cos(q)(1 + sin(q))``, q = 2 pi x / L.

    Errors grow exponentially with time in this chaotic flow: look at the error estimate.

    Source: Kassam and Trefethen 2005 (there up to t = 150).
    """

    def initial(x: np.ndarray) -> np.ndarray:
        q = 2 * np.pi * x / period
        return np.cos(q) * (1 + np.sin(q))

    return PeriodicEquation(
        "Kuramoto-Sivashinsky",
        0.0,
        float(period),
        initial,
        lambda ik: (-(ik**2) - ik**4).real + 0j,
        advection=1.0,
    ).reference(modes, steps, outputs, final)


def soliton(
    x: Float[np.ndarray, " n"],
    t: float | int,
    *,
    speed: float | int,
    dispersion: float | int,
    middle: float | int = 0.0,
) -> Float[np.ndarray, " n"]:
    """Return the single wave of Korteweg and de Vries, ``3 c sech(sqrt(c / b) (x - ct) / 2)**2``.

    Of period 2 up to its exponentially small tails.
    """
    away = (x - middle - speed * t + 1) % 2 - 1
    return 3 * speed / np.cosh(np.sqrt(speed / dispersion) / 2 * away) ** 2
