"""Poisson, Laplace and the cavity: closed forms, bounds, orders and rival methods."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from fields.domains import Polygon
from fields.references import (
    Cavity,
    LightningLaplace,
    cavity,
    laplace_circles,
    poisson_lshape,
    poisson_polygon,
    poisson_square,
)
from overparam.errors import InputError

rng = np.random.default_rng(0)


def differences(inside, h):
    """Five-point solution of ``-Laplace u = 1`` on a mask of inner grid points."""
    index = -np.ones(inside.shape, dtype=int)
    index[inside] = np.arange(inside.sum())
    rows, columns = [], []
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        neighbour = np.roll(index, shift, axis)[inside]
        rows.append(index[inside][neighbour >= 0])
        columns.append(neighbour[neighbour >= 0])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    n = int(inside.sum())
    matrix = 4 * sparse.eye_array(n) - sparse.coo_array(
        (np.ones(len(rows)), (rows, columns)), (n, n)
    )
    u = np.zeros(inside.shape)
    u[inside] = spsolve(matrix.tocsc(), np.full(n, h**2))
    return u


def test_square_series_is_the_rational_solution():
    series = poisson_square()
    polygon = poisson_polygon(Polygon([[-1, -1], [1, -1], [1, 1], [-1, 1]]), counts=31, poles=20)
    assert np.abs(series(polygon.points) - polygon.values).max() < 1e-9
    assert series.error_estimate < 1e-10
    # the torsion constant 4 int u of a square bar of side 2 (Timoshenko and Goodier)
    x, w = np.polynomial.legendre.leggauss(24)
    points = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    torsion = 4 * np.outer(w, w).ravel() @ series(points)[:, 0]
    assert torsion / 2**4 == pytest.approx(0.1406, abs=5e-5)
    scaled = poisson_square(0.5)
    np.testing.assert_allclose(scaled(points / 2), series(points) / 4, atol=1e-14)


def test_square_series_has_zero_boundary():
    edge = np.stack([rng.uniform(-1, 1, 200), np.full(200, -1.0)], -1)
    reference = poisson_square()
    for points in (edge, edge[:, ::-1].copy(), -edge):
        assert np.abs(reference(points)).max() < 1e-8
    with pytest.raises(InputError, match="not known"):
        reference(np.array([[1.1, 0.0]]))
    with pytest.raises(ValueError, match="half_side"):
        poisson_square(-1)


def test_equilateral_triangle_is_a_cubic():
    """With side 2: the product of the distances from the sides, over their sum."""
    corners = np.array([[0, 0], [2, 0], [1, np.sqrt(3)]])
    reference = poisson_polygon(Polygon(corners.tolist()), counts=41, poles=12)
    product = np.ones(len(reference.points))
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normal = np.array([a[1] - b[1], b[0] - a[0]]) / 2
        product *= (reference.points - a) @ normal
    np.testing.assert_allclose(reference.values[:, 0], product / np.sqrt(3), atol=1e-10)


def test_lightning_finds_a_known_harmonic_function_with_a_corner():
    """``Re z**(2/3)`` in the L, singular at the inward corner: root-exponential convergence."""
    corners = np.array([0, 1j, -1 + 1j, -1 - 1j, 1 - 1j, 1])

    def exact(points):
        z = points[:, 0] + 1j * points[:, 1]
        return ((z * np.exp(0.75j * np.pi)) ** (2 / 3)).real

    points = rng.uniform(-1, 1, (500, 2))
    points = points[~(points > 0).all(1)]
    errors = []
    for poles in (10, 20, 40):
        fit = LightningLaplace(corners, exact, poles)
        error = np.abs(fit(points) - exact(points)).max()
        assert error <= 1.5 * fit.boundary_error  # a sample of the boundary stands for all of it
        errors.append(error)
    # sqrt of the poles: the exponent grows by sqrt 2 each time
    assert errors[1] < errors[0] / 8 and errors[2] < errors[1] / 30, errors
    with pytest.raises(ValueError, match="poles"):
        LightningLaplace(corners, exact, 2)


def test_lshape_against_differences():
    """The five-point scheme errs as h**(2/3) next to the inward corner and h**(4/3) elsewhere."""
    reference = poisson_lshape(counts=21)
    assert reference.error_estimate < 1e-7
    near, far = [], []
    for n in (40, 80, 160):
        axis = np.linspace(-1, 1, n + 1)
        x, y = np.meshgrid(axis, axis, indexing="ij")
        e = 1e-9
        inside = (np.maximum(abs(x), abs(y)) < 1 - e) & ~((x > -e) & (y > -e))
        u = differences(inside, 2 / n)
        points = np.stack([x[inside], y[inside]], -1)
        gap = np.abs(u[inside] - reference(points)[:, 0])
        near.append(gap.max())
        far.append(gap[np.linalg.norm(points, axis=-1) > 0.5].max())
    for errors, rate in ((near, 2 / 3), (far, 4 / 3)):
        found = np.log2(np.array(errors[:-1]) / errors[1:])
        assert (np.abs(found - rate) < 0.15).all(), errors
    assert far[-1] < 2e-4


def test_lshape_has_its_corner_power():
    reference = poisson_lshape(counts=21, poles=80)
    r = np.array([1e-4, 1e-3])
    along = np.stack([-r, -r], -1) / np.sqrt(2)
    u = reference(along)[:, 0]
    assert np.log(u[1] / u[0]) / np.log(10) == pytest.approx(2 / 3, abs=1e-3)
    # twice as large a domain: u scales with the square
    twice = poisson_lshape((-2, -2), (2, 2), counts=21)
    np.testing.assert_allclose(twice.values, 4 * poisson_lshape(counts=21).values, atol=1e-7)


def test_one_circle_in_a_square_and_the_bound():
    """Refinement stays within the bound that the coarser series gave."""
    coarse, fine = (laplace_circles(terms=n, counts=41) for n in (20, 60))
    gap = np.abs(coarse(fine.points) - fine.values).max()
    assert gap <= coarse.error_estimate + fine.error_estimate and fine.error_estimate < 1e-6
    assert fine.values.min() > -1e-6 and fine.values.max() < 1 + 1e-6  # the maximum principle
    points = rng.uniform(-0.5, 0.5, (200, 2))
    centers = np.array([[0.3, 0.3], [-0.3, 0.3], [0.3, -0.3], [-0.3, -0.3]])
    points = points[(np.linalg.norm(points[:, None] - centers, axis=-1) > 0.11).all(1)]
    np.testing.assert_allclose(fine(points), fine(points[:, ::-1].copy()), atol=1e-7)
    # no holes: the constant
    assert np.abs(laplace_circles((), counts=11, outer=3).values - 3).max() < 1e-10


def test_many_holes_far_from_the_rim_act_as_logarithms():
    """Small hole in the middle: the annulus solution, the square's conformal radius at hand.

    Far from the rim ``u = 1 - log(R / r) / log(R / a)``, R = 1.0787 half sides: the conformal
    radius of a square of half side 1 is ``8 sqrt(pi) / Gamma(1/4)**2``.
    """
    from scipy.special import gamma

    radius, a = 0.5 * 8 * np.sqrt(np.pi) / gamma(0.25) ** 2, 0.01
    reference = laplace_circles([(0, 0)], a, counts=11)
    r = np.array([0.02, 0.04])
    u = reference(np.stack([r, 0 * r], -1))[:, 0]
    np.testing.assert_allclose(u, np.log(r / a) / np.log(radius / a), atol=2e-5)


@pytest.mark.parametrize(
    ("centers", "radius"), [([(0, 0)], 0.5), ([(0, 0)], -0.1), ([(0, 0), (0.1, 0)], 0.06)]
)
def test_bad_holes_are_refused(centers, radius):
    with pytest.raises(InputError, match="holes"):
        laplace_circles(centers, radius)


# --- the cavity ------------------------------------------------------------------------------


def test_discrete_flow_conserves_mass_and_balances_momentum():
    flow = Cavity(24).solve()
    n, h = 24, 1 / 24
    u, v = flow.velocity
    across = np.pad(u.reshape(n - 1, n), ((1, 1), (0, 0)))
    upward = np.pad(v.reshape(n, n - 1), ((0, 0), (1, 1)))
    divergence = np.diff(across, axis=0) / h + np.diff(upward, axis=1) / h
    assert np.abs(divergence).max() < 1e-12
    # the pressure found afterwards closes the momentum equation on every face
    p = flow.pressure()
    along_x, along_y = flow.momentum()
    assert np.abs(along_x.reshape(n - 1, n) + np.diff(p, axis=0) / h).max() < 1e-9
    assert np.abs(along_y.reshape(n, n - 1) + np.diff(p, axis=1) / h).max() < 1e-9


def test_stokes_flow_is_symmetric():
    """Without inertia the flow mirrors in x: u is even, v odd, about the middle."""
    flow = Cavity(32, reynolds=1e-6).solve()
    u, v = flow.velocity
    u, v = u.reshape(31, 32), v.reshape(32, 31)
    np.testing.assert_allclose(u, u[::-1], atol=1e-6)
    np.testing.assert_allclose(v, -v[::-1], atol=1e-6)


def test_velocities_converge_with_order_two():
    """For a lid at rest in the corners with its slope, so that the flow is smooth enough."""

    def lid(x):
        return 16 * x**2 * (1 - x) ** 2

    points = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 9), np.linspace(0.1, 0.9, 9)), -1)
    points = points.reshape(-1, 2)
    runs = [Cavity(n, 100.0, lid).solve().splines() for n in (16, 32, 64)]
    u = [np.concatenate([s(points) for s in run[:2]], -1) for run in runs]
    rate = np.log2(np.linalg.norm(u[0] - u[1]) / np.linalg.norm(u[1] - u[2]))
    assert 1.7 < rate < 2.5, rate


def test_cavity_reference_keeps_its_walls_and_its_estimate():
    coarse, fine = cavity(n=32, counts=33), cavity(n=96, counts=33)
    gap = np.abs(coarse(fine.points) - fine.values)[:, :2].max()
    assert gap < coarse.error_estimate and fine.error_estimate < coarse.error_estimate / 2
    x = np.linspace(0, 1, 20)
    for wall in (0 * x, 1 + 0 * x):
        assert np.abs(fine(np.stack([wall, x], -1))[:, :2]).max() < 1e-12
    lid = fine(np.stack([x, 1 + 0 * x], -1))
    np.testing.assert_allclose(lid[:, 0], 4 * x * (1 - x), atol=1e-6)
    assert fine(np.zeros((1, 2)))[0, 2] == pytest.approx(0, abs=1e-12)
    for options in ({"n": 30}, {"n": 16}, {"counts": 1}):
        with pytest.raises(ValueError, match="n must be"):
            cavity(**options)
    with pytest.raises(ValueError, match="reynolds"):
        Cavity(16, -1.0)
