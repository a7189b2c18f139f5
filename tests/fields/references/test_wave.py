"""Waves: a closed form, a Fourier series and the classical scheme agree."""

import numpy as np
import pytest

from fields.references import GaussianPulse, SpectralWave, wave


def order(errors):
    """Observed order of convergence when each run has half the step of the one before."""
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_pulse_in_closed_form_is_the_spectral_one():
    pulse = GaussianPulse(center=(0.1, -0.2))
    spectral = SpectralWave(pulse.start, side=192)
    grid = np.stack(np.meshgrid(spectral.axis, spectral.axis, indexing="ij"), -1).reshape(-1, 2)
    for t in (0.05, 0.4):
        exact = pulse(np.column_stack([grid, np.full(len(grid), t)]))[:, 0]
        # 192 points resolve the pulse to exp(-v k**2 / 2) at the last wave number
        assert np.abs(spectral.at(t)[0].ravel() - exact).max() < 1e-8 * pulse.peak


def test_energy_is_conserved_and_is_that_of_the_start():
    pulse = GaussianPulse()
    spectral = SpectralWave(pulse.start, lambda p: p[:, 0] * pulse.start(p), side=96)
    energies = [spectral.energy(t) for t in (0, 0.1, 0.33, 2.5)]
    np.testing.assert_allclose(energies, energies[0], rtol=1e-12)
    still = SpectralWave(pulse.start, side=192)
    # int |grad u|**2 / 2 = pi peak**2 / 2 for a Gaussian at rest, whatever its width
    assert still.energy(0) == pytest.approx(np.pi * pulse.peak**2 / 2, rel=1e-9)


def test_leapfrog_converges_to_it_with_order_two_and_keeps_its_energy():
    """The classical scheme as the slow rival, in a box too large for echoes."""
    pulse, final = GaussianPulse(variance=0.01, peak=1.0), 0.3
    errors = []
    for n in (40, 80, 160):
        axis = np.linspace(-1, 1, n, endpoint=False)
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
        h = 2 / n
        steps = int(np.ceil(final / (0.5 * h)))
        dt = final / steps

        def laplace(u, h=h):
            return sum(np.roll(u, s, a) for s in (1, -1) for a in (0, 1)) / h**2 - 4 * u / h**2

        u0 = pulse.start(grid.reshape(-1, 2)).reshape(n, n)
        u1 = u0 + dt**2 / 2 * laplace(u0)
        energies = []
        for _ in range(steps - 1):
            u0, u1 = u1, 2 * u1 - u0 + dt**2 * laplace(u1)
            energies.append((((u1 - u0) / dt) ** 2).sum() - (u1 * laplace(u0)).sum())
        assert np.ptp(energies) < 1e-9 * energies[0]
        exact = pulse(np.column_stack([grid.reshape(-1, 2), np.full(n * n, final)]))[:, 0]
        errors.append(np.abs(u1.ravel() - exact).max())
    assert (np.abs(order(errors) - 2) < 0.2).all(), errors


def test_waves_are_causal_and_start_right():
    reference = wave(counts=33)
    assert reference.error_estimate < 1e-14
    points = np.array([[0.5, 0.0, 0.1], [0.0, -0.9, 0.3], [0.0, 0.0, 1.0]])
    values = reference(points)[:, 0]
    assert np.abs(values[:2]).max() < 1e-15
    assert values[2] < 0  # in the plane a wake stays behind the front
    for options in ({"counts": 1}, {"times": ()}):
        with pytest.raises(ValueError, match="counts"):
            wave(**options)
    with pytest.raises(ValueError, match="variance"):
        GaussianPulse(variance=0)
    with pytest.raises(ValueError, match="side"):
        SpectralWave(GaussianPulse().start, side=4)
