"""Hankel functions and absorbing layers: two ways to the same waves."""

import numpy as np
import pytest
from scipy.special import hankel2

from fields.references import GaussianSource, helmholtz_free, helmholtz_medium, stretched
from fields.references.pml import MEDIA, LayeredSquare
from overparam.errors import InputError

K = 20.0
rng = np.random.default_rng(0)


def residual(u, points, h, k=K):
    """``Laplace u + k**2 u`` by differences of order six in both axes."""
    weights = np.array([1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90]) / h**2
    total = k**2 * u(points)
    for axis in range(2):
        for weight, j in zip(weights, range(-3, 4), strict=True):
            total = total + weight * u(points + j * h * np.eye(2)[axis])
    return total


def test_free_waves_solve_the_equation_inside_and_outside_of_the_source():
    source = GaussianSource((0.1, -0.05))

    def u(points):
        return source.wave(source.distance(points), K)

    away = rng.uniform(-0.5, 0.5, (200, 2))
    away = away[source.distance(away) > source.radius + 0.02]
    assert np.abs(residual(u, away, 0.005)).max() < 1e-4 * K**2
    within = np.array([0.1, -0.05]) + rng.normal(size=(200, 2)) * 0.012
    within = within[source.distance(within) < source.radius - 0.004]
    gap = np.abs(residual(u, within, 1e-3) - source(within))
    assert gap.max() < 1e-4 * np.abs(source.strength) * source.peak


def test_the_wave_is_smooth_where_the_source_ends():
    source = GaussianSource(variance=1e-3, cutoff=1.0)  # cut off early: a visible step in s
    r = source.radius + np.array([-1e-9, 1e-9])
    u = source.wave(r, K)
    assert abs(u[0] - u[1]) < 1e-6 * abs(u[0])


def test_convolution_by_brute_force():
    """The kernel summed over the source on a fine grid, as if nothing were known of symmetry."""
    source = GaussianSource()
    h = 1e-3
    line = np.arange(-65, 66) * h
    mesh = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    mass = source(mesh) * h**2
    points = np.array([[0.1, 0.2], [-0.4, 0.3], [0.07, 0.0]])
    gaps = np.linalg.norm(points[:, None] - mesh, axis=-1)
    direct = 0.25j * hankel2(0, K * gaps) @ mass
    np.testing.assert_allclose(source.wave(source.distance(points), K), direct, rtol=1e-6)


def test_waves_run_outwards():
    """``exp(-i k r) / sqrt(r)`` far away: the time factor is ``exp(+i omega t)``."""
    source = GaussianSource(strength=1.0)
    r = np.array([3.0, 3.01])
    u = source.wave(r, K)
    assert np.angle(u[1] / u[0]) == pytest.approx(-K * 0.01, rel=1e-3)
    # Sommerfeld: u_r + i k u falls off faster than u
    slope = (u[1] - u[0]) / 0.01
    assert abs(slope + 1j * K * u.mean()) < 0.02 * K * abs(u[0])


def test_layers_agree_with_hankel_functions_and_converge():
    """Order 4 differences converge so; between the layers and in them, where waves decay."""
    source = GaussianSource()
    errors = []
    for side in (65, 129):
        grid = LayeredSquare(side, order=4)
        u = grid.solve(MEDIA["uniform"], source, K)
        z = stretched(grid.axis)
        r = np.sqrt(z[:, None] ** 2 + z**2)
        exact = 0.25j * source.moment(K) * hankel2(0, K * r)
        away = np.abs(r) > 0.1
        errors.append(np.linalg.norm((u - exact)[away]) / np.linalg.norm(exact[away]))
        rim = np.abs(u[1, :]).max()
        assert rim < 1e-5 * np.abs(u).max()
    assert errors[1] < 4e-4 and np.log2(errors[0] / errors[1]) > 3.7, errors


def test_higher_orders_are_better():
    source = GaussianSource()
    axis = np.linspace(-1, 1, 101)
    errors = []
    for order in (2, 4, 8):
        u = LayeredSquare(101, order=order).solve(MEDIA["uniform"], source, K)
        r = np.hypot(axis[:, None], axis)
        free = (r > 0.1) & (np.maximum(np.abs(axis[:, None]), np.abs(axis)) <= 0.5)
        exact = source.wave(r[free], K)
        errors.append(np.linalg.norm(u[free] - exact) / np.linalg.norm(exact))
    assert errors[1] < errors[0] / 10 and errors[2] < errors[1] / 10 and errors[2] < 1e-4


@pytest.mark.parametrize("medium", ["square", "circle"])
def test_media_are_solved_to_second_order(medium):
    source = GaussianSource((-0.35, 0.0))
    fine, middle, coarse = (
        LayeredSquare(side).solve(MEDIA[medium], source, K)[
            :: (side - 1) // 40, :: (side - 1) // 40
        ]
        for side in (161, 81, 41)
    )
    axis = np.linspace(-1, 1, 41)
    away = np.hypot(axis[:, None] + 0.35, axis) > 0.1
    away &= np.maximum(np.abs(axis[:, None]), np.abs(axis)) <= 0.5
    assert np.linalg.norm((middle - fine)[away]) < np.linalg.norm((coarse - fine)[away]) / 3


def test_reciprocity():
    """Source and receiver may be exchanged, whatever lies between them."""
    grid = LayeredSquare(81)
    spots = [(-0.35, 0.0), (0.2, 0.3)]
    index = [tuple(round((c + 1) / grid.spacing) for c in spot) for spot in spots]
    # a wide source so that its transpose, the receiver, is no question of the grid
    first, second = (
        grid.solve(MEDIA["square"], GaussianSource(spot, variance=1e-4), K) for spot in spots
    )
    a, b = first[index[1]], second[index[0]]
    # a receiver is a point and a source a Gaussian, seen weaker the larger k is around it
    outside, inside = (np.exp(-(k**2) * 1e-4 / 2) for k in (K, K / 2))
    assert abs(a / outside - b / inside) < 0.03 * abs(a)


def test_reference_of_a_medium():
    free, layered = helmholtz_free(counts=21), helmholtz_medium("uniform", side=129)
    away = np.hypot(*free.points.T) > 0.1
    gap = np.abs(layered(free.points) - free.values)[away].max()
    assert gap < layered.error_estimate < 1e-2 * np.abs(free.values).max()
    assert free.error_estimate < 1e-10 and free.components == ("re", "im")


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="one of uniform, square, circle"):
        helmholtz_medium("triangle")
    with pytest.raises(InputError, match="4 points per wave"):
        helmholtz_medium("uniform", k=500, side=65)
    with pytest.raises(ValueError, match="4 n"):
        LayeredSquare(100)
    with pytest.raises(ValueError, match="even"):
        LayeredSquare(101, order=3)
    with pytest.raises(ValueError, match="variance"):
        GaussianSource(variance=-1)
    with pytest.raises(ValueError, match="cutoff"):
        GaussianSource(cutoff=1e9)
    for call in (helmholtz_free, helmholtz_medium):
        with pytest.raises(ValueError, match="k must"):
            call(k=-1)
