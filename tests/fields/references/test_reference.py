"""A reference evaluates at points of any kind, and says where it cannot."""

import numpy as np
import pytest
import torch

from fields.references import GridSpline, Reference, poisson_sine
from overparam.errors import InputError


def smooth(points):
    x, y = points.T
    return np.stack([np.sin(3 * x) * np.exp(y), x**2 - y], -1)


def on_grid(n):
    axes = (np.linspace(-1, 1, n), np.linspace(0, 2, n + 3))
    values = smooth(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))
    return Reference.on_grid(
        "test", "closed form", "xy", ("a", "b"), axes, values.reshape(n, n + 3, 2)
    )


def test_splines_converge_with_order_six():
    x = np.random.default_rng(0).uniform((-1, 0), (1, 2), (500, 2))
    errors = [np.abs(on_grid(n)(x) - smooth(x)).max() for n in (11, 21, 41)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 5).all(), errors
    np.testing.assert_allclose(on_grid(20)(on_grid(20).points), on_grid(20).values, atol=1e-12)


def test_derivatives_of_splines():
    axis = np.linspace(0, 1, 41)
    spline = GridSpline((axis, axis), (axis[:, None] ** 3 * axis**2)[..., None])
    x = np.random.default_rng(0).uniform(0, 1, (50, 2))
    expected = 6 * x[:, 0] * 2 * x[:, 1]
    np.testing.assert_allclose(spline.derivative(x, (2, 1))[:, 0], expected, atol=1e-9)


def test_short_axes_lower_the_degree():
    for n in (2, 3, 4, 6):
        axis = np.linspace(0, 1, n)
        spline = GridSpline((axis,), (2 * axis)[:, None])
        np.testing.assert_allclose(spline(np.array([[0.3]])), [[0.6]], atol=1e-12)


def test_tensors_are_answered_by_tensors():
    reference = on_grid(21)
    x = torch.rand(5000, 2)  # more than one chunk
    y = reference(x)
    assert y.dtype == torch.float32 and y.shape == (5000, 2)
    np.testing.assert_allclose(y.numpy(), reference(x.double().numpy()), rtol=1e-6, atol=1e-7)
    assert reference(np.empty((0, 2))).shape == (0, 2)


def test_relative_error_is_that_of_the_norms():
    reference = on_grid(11)
    assert reference.relative_l2(reference.values) == 0
    assert reference.relative_l2(1.01 * reference.values) == pytest.approx(0.01)
    moved = torch.from_numpy(reference.values.copy())
    moved[:, 1] *= 1.1
    assert reference.relative_l2(moved, 0) == 0
    assert reference.relative_l2(moved, 1) == pytest.approx(0.1)
    assert "121" not in repr(reference) and "154 points" in repr(reference)


def test_points_outside_are_refused():
    with pytest.raises(InputError, match="not known at"):
        on_grid(11)(np.array([[0.0, 3.0]]))
    with pytest.raises(ValueError, match="coordinates x, y"):
        on_grid(11)(np.zeros((2, 3)))


def test_manufactured_source_is_the_negative_laplacian():
    reference, solution = poisson_sine((1, 2, 0.5))
    x = np.random.default_rng(0).uniform(0, 1, (50, 3))
    step, total = 1e-3, 0
    for i in range(3):
        shift = step * np.eye(3)[i]
        total -= (solution(x + shift) + solution(x - shift) - 2 * solution(x)) / step**2
    np.testing.assert_allclose(solution.source(x), total, rtol=1e-4, atol=1e-4)
    assert reference.points.shape == (65**3, 3)
    with pytest.raises(ValueError, match="frequencies"):
        poisson_sine(())
