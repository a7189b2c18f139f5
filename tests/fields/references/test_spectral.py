"""Burgers, Allen-Cahn, KdV and KS: orders, conserved quantities and independent answers."""

import numpy as np
import pytest

from fields.references import (
    ETDRK4,
    PeriodicEquation,
    allen_cahn,
    burgers,
    korteweg_de_vries,
    kuramoto_sivashinsky,
    soliton,
)
from overparam.errors import InputError

rng = np.random.default_rng(0)


def order(errors):
    """Observed order of convergence when each run has half the step of the one before."""
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_burgers_satisfies_its_equation():
    """Fourth-order differences of the formula, in a flow with nothing steep."""
    nu = 0.1
    u = burgers(nu, x=3, t=3).evaluate
    points = rng.uniform((-0.9, 0.1), (0.9, 0.9), (200, 2))
    h = 1e-2

    def shifted(axis):
        return [u(points + k * h * np.eye(2)[axis])[:, 0] for k in (-2, -1, 0, 1, 2)]

    def slope(v):
        return (v[0] - 8 * v[1] + 8 * v[3] - v[4]) / (12 * h)

    along = shifted(0)
    curve = (-along[0] + 16 * along[1] - 30 * along[2] + 16 * along[3] - along[4]) / (12 * h**2)
    residual = slope(shifted(1)) + along[2] * slope(along) - nu * curve
    assert np.abs(residual).max() < 1e-5  # h**4 times fifth derivatives near 100


def test_burgers_keeps_start_walls_and_symmetry():
    reference = burgers()
    assert reference.error_estimate < 1e-12
    x = np.linspace(-1, 1, 50)
    start = reference(np.stack([x, np.zeros(50)], -1))[:, 0]
    np.testing.assert_allclose(start, -np.sin(np.pi * x), atol=1e-15)
    t = np.linspace(0, 1, 20)
    for wall in (-1, 0, 1):
        assert np.abs(reference(np.stack([np.full(20, wall), t], -1))).max() < 1e-12
    points = rng.uniform((-1, 0), (1, 1), (100, 2))
    np.testing.assert_allclose(reference(points), -reference(points * [-1, 1]), atol=1e-13)


def test_burgers_agrees_with_a_spectral_solution():
    """ETDRK4 on the circle of period 2 knows nothing of Cole and Hopf."""
    nu = 0.02
    spectral = PeriodicEquation(
        "Burgers", -1.0, 2.0, lambda x: -np.sin(np.pi * x), lambda ik: (nu * ik**2).real + 0j,
        advection=1.0,
    ).reference(512, 2000, 100, 1.0)  # fmt: skip
    points = rng.uniform((-1, 0.05), (1, 1), (300, 2))
    np.testing.assert_allclose(burgers(nu, x=3, t=3)(points), spectral(points), atol=1e-8)


def test_etdrk4_is_exact_for_linear_equations():
    linear = np.array([-3.0, 0.0, 2j, -1 + 5j])
    v = np.array([1.0, 2.0, 3.0, 4.0], dtype=complex)
    after = ETDRK4(linear, np.zeros_like, 0.7).run(v, 3, 3)[-1]
    np.testing.assert_allclose(after, v * np.exp(2.1 * linear), rtol=1e-12)


def test_etdrk4_has_order_four_on_a_stiff_equation():
    """``y' = -c y + y**2``, c from gentle to stiff: the logistic curve in closed form."""
    c = np.array([1e-12, 0.1, 1.0, 3.0])
    exact = c * 0.5 * np.exp(-c) / (c + 0.5 * np.expm1(-c))
    errors = []
    for steps in (10, 20, 40):
        run = ETDRK4(-c, lambda v: v**2, 1 / steps).run(np.full(4, 0.5 + 0j), steps, steps)
        errors.append(np.abs(run[-1] - exact).max())
    assert (np.abs(order(errors) - 4) < 0.3).all(), errors


EQUATIONS = {
    "allen_cahn": (
        PeriodicEquation(
            "", -1, 2, lambda x: 0.5 * np.cos(np.pi * x) ** 3,
            lambda ik: (1e-2 * ik**2).real + 5 + 0j, reaction=lambda u: -5 * u**3,
        ), 128, 1.0,
    ),
    "kdv": (
        PeriodicEquation(
            "", -1, 2, lambda x: np.cos(np.pi * x), lambda ik: -0.0025 * ik**3, advection=1.0
        ), 128, 0.5,
    ),
    "ks": (
        PeriodicEquation(
            "", 0, 32 * np.pi, lambda x: np.cos(x / 16) * (1 + np.sin(x / 16)),
            lambda ik: (-(ik**2) - ik**4).real + 0j, advection=1.0,
        ), 128, 20.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "first"), [("allen_cahn", 200), ("kdv", 800), ("ks", 800)])
def test_time_steps_converge_with_order_four(name, first):
    """Short waves turn or decay so fast in KdV and KS that small steps are needed to see it."""
    equation, modes, final = EQUATIONS[name]
    steps = (first, 2 * first, 8 * first)
    ends = [equation.solve(modes, n, 10, final)[1][-1] for n in steps]
    errors = [np.abs(end - ends[-1]).max() for end in ends[:2]]
    assert 3.7 < order(errors)[0] < 4.3, errors


@pytest.mark.parametrize("name", EQUATIONS)
def test_modes_converge_faster_than_powers(name):
    equation, modes, final = EQUATIONS[name]
    ends = [equation.solve(m, 800, 10, final)[1][-1] for m in (modes // 4, modes // 2, modes)]
    keep = modes // 12
    errors = [np.abs(end[:keep] - ends[-1][:keep]).max() for end in ends[:2]]
    assert errors[1] < errors[0] / 50, errors


def test_allen_cahn_stays_between_its_wells_and_even():
    reference = allen_cahn(modes=1024, steps=400, outputs=100)
    values = reference.values.reshape([len(axis) for axis in reference.axes])
    assert np.abs(values).max() < 1 + 1e-3  # the kink of the start rings a little
    np.testing.assert_allclose(values, values[::-1], atol=1e-9)
    x = np.linspace(-1, 1, 40)
    start = reference(np.stack([x, np.zeros(40)], -1))[:, 0]
    np.testing.assert_allclose(start, x**2 * np.cos(np.pi * x), atol=1e-15)
    # what one run expects of itself holds against a finer one
    finer = allen_cahn(modes=2048, steps=800, outputs=100)
    points = rng.uniform((-1, 0.03), (1, 1), (300, 2))
    gap = np.abs(reference(points) - finer(points)).max()
    assert gap < reference.error_estimate and finer.error_estimate < reference.error_estimate


def test_a_soliton_travels_unchanged():
    """Closed form; its tails at the end of the period are below 1e-9."""
    b, c = 5e-4, 0.5
    reference = korteweg_de_vries(
        b, initial=lambda x: soliton(x, 0, speed=c, dispersion=b), steps=4000, outputs=200
    )
    x = np.linspace(-1, 1, 200)
    for t in (0.25, 0.9987):
        exact = soliton(x, t, speed=c, dispersion=b)
        found = reference(np.stack([x, np.full(200, t)], -1))[:, 0]
        assert np.abs(found - exact).max() < 2e-8 * exact.max()


def test_kdv_conserves_mass_momentum_and_energy():
    b = 0.0025
    reference = korteweg_de_vries(b, modes=256, steps=2000, outputs=100)
    equation = PeriodicEquation(
        "", -1, 2, lambda x: np.cos(np.pi * x), lambda ik: -b * ik**3, advection=1.0
    )
    _, rows = equation.solve(256, 2000, 100, 1.0)
    modes = np.arange(rows.shape[1])
    u = np.fft.irfft(rows * 256, 256)
    slope = np.fft.irfft(1j * np.pi * modes * rows * 256, 256)
    for integral in (u.mean(1), (u**2).mean(1), (u**3 / 3 - b * slope**2).mean(1)):
        assert np.ptp(integral) < 1e-8
    assert reference.error_estimate < 1e-4


def test_kuramoto_sivashinsky_tells_its_chaos():
    early = kuramoto_sivashinsky(steps=800, final=20)
    late = kuramoto_sivashinsky(steps=800, final=90)
    assert early.error_estimate < 1e-4 < late.error_estimate
    assert abs(early.values.reshape(-1, 201)[:-1].mean(0)).max() < 1e-10  # mass is conserved


def test_too_large_steps_and_bad_counts_are_refused():
    equation = EQUATIONS["allen_cahn"][0]
    for numbers in ((4, 100, 10, 1.0), (64, 95, 10, 1.0), (64, 100, 2, 1.0), (64, 100, 10, -1.0)):
        with pytest.raises(ValueError, match="modes must"):
            equation.solve(*numbers)
    wild = PeriodicEquation(
        "", 0, 1, lambda x: 1e3 * np.cos(2 * np.pi * x), lambda ik: 0 * ik, lambda u: u**3
    )
    with pytest.raises(FloatingPointError, match="blow-up"), np.errstate(all="ignore"):
        wild.solve(32, 20, 10, 1.0)
    with pytest.raises(ValueError, match="nu"):
        burgers(-1)
    with pytest.raises(ValueError, match="dt"):
        ETDRK4(np.zeros(3), np.zeros_like, 0.0)
    with pytest.raises(InputError, match="not known"):
        korteweg_de_vries(modes=64, steps=100, outputs=10)(np.array([[0.0, 2.0]]))
