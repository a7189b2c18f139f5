"""What rotations, their grids and rigid motions promise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.rotation import (
    RigidMotion,
    cubic_grid,
    cubic_orbits,
    cubic_rotations,
    healpix_centers,
    hopf_children,
    hopf_grid,
    matrix_to_quaternion,
    quaternion_to_matrix,
    rotation_angle,
    uniform_rotations,
)

seeds = st.integers(0, 2**31 - 1)
few = settings(deadline=None, max_examples=20)


def draw(count, seed):
    return uniform_rotations(count, generator=torch.Generator().manual_seed(seed))


def nearest_angle(grid, count=4000):
    """Angles from random rotations to the nearest of ``grid``, degrees."""
    a = matrix_to_quaternion(draw(count, 0))
    b = matrix_to_quaternion(grid)
    overlap = (a @ b.T).abs().amax(1).clamp(max=1)
    return torch.rad2deg(2 * torch.acos(overlap))


def pair_key(rotations):
    """Rows that are equal for equal rotations, sorted."""
    rounded = (rotations.flatten(1) * 1e6).round().long()
    return {tuple(row) for row in rounded.tolist()}


@few
@given(seed=seeds)
def test_quaternions_and_matrices_are_the_same_rotations(seed):
    rotation = torch.cat([draw(20, seed), cubic_rotations()])
    torch.testing.assert_close(quaternion_to_matrix(matrix_to_quaternion(rotation)), rotation)
    identity = torch.eye(3, dtype=torch.float64).expand_as(rotation)
    torch.testing.assert_close(rotation @ rotation.mT, identity)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(len(rotation)).double())


def test_uniform_rotations_have_the_haar_law_of_angles():
    angle = rotation_angle(torch.eye(3).double().expand(20000, 3, 3), draw(20000, 0))
    # The density of the angle is (1 - cos) / pi: mean pi/2 + 2/pi, standard error 0.0046.
    assert abs(angle.mean().item() - (math.pi / 2 + 2 / math.pi)) < 0.02


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_healpix_pixels_balance_and_keep_apart(level):
    z, azimuth = healpix_centers(level)
    radius = (1 - z**2) ** 0.5
    points = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)
    points = torch.from_numpy(points)
    assert len(points) == 12 * 4**level
    assert points.mean(0).abs().max() < 1e-12
    # Equal areas: the second moment of the sphere up to the grid's own coarseness.
    second = points.T @ points / len(points)
    assert (second - torch.eye(3) / 3).abs().max() < 0.2 / 4**level
    apart = torch.cdist(points, points).fill_diagonal_(9.0).amin()
    assert apart > 0.55 * math.sqrt(4 * math.pi / len(points))


@pytest.mark.parametrize(("level", "mean", "worst"), [(0, 29, 56), (1, 14.5, 28), (2, 7.3, 14)])
def test_hopf_grid_covers_evenly(level, mean, worst):
    grid = hopf_grid(level)
    angle = nearest_angle(grid)
    assert len(grid) == 72 * 8**level
    assert angle.mean() < mean
    assert angle.max() < worst


def test_hopf_children_surround_their_parent_once():
    parent, child = hopf_grid(1), hopf_grid(2)
    index = hopf_children(torch.arange(len(parent)), 1)
    assert torch.equal(index.flatten().sort()[0], torch.arange(len(child)))
    angle = torch.rad2deg(rotation_angle(parent[:, None], child[index]))
    assert angle.max() < 30


def test_cubic_rotations_are_a_group():
    group = cubic_rotations()
    assert len(pair_key(group)) == 24
    products = (group[:, None] @ group).flatten(0, 1)
    assert pair_key(products) == pair_key(group)
    assert torch.equal(group[0], torch.eye(3).double())


@pytest.mark.parametrize(("count", "mean", "worst"), [(576, 14.5, 26), (4608, 7.3, 14)])
def test_cubic_grid_is_closed_and_as_even_as_the_hopf_grid(count, mean, worst):
    grid = cubic_grid(count)
    assert 0.8 * count < len(grid) < 1.2 * count
    turned = cubic_rotations()[7] @ grid
    assert pair_key(turned) == pair_key(grid)
    assert len(cubic_orbits(grid).base) == len(grid) // 24
    angle = nearest_angle(grid)
    assert angle.mean() < mean
    assert angle.max() < worst


@few
@given(seed=seeds)
def test_orbits_rebuild_any_rotations(seed):
    some = draw(5, seed)
    related = cubic_rotations()[[3, 11, 3]] @ some[:3]
    rotations = torch.cat([some, related, some[:1]])
    orbits = cubic_orbits(rotations)
    rebuilt = cubic_rotations()[orbits.turn_of] @ orbits.base[orbits.base_of]
    torch.testing.assert_close(rebuilt, rotations)
    assert len(orbits.base) == 5


def test_hopf_orbits_have_eight_members():
    assert len(cubic_orbits(hopf_grid(1)).base) == 576 // 8


@few
@given(seed=seeds)
def test_rigid_motions_compose_and_invert(seed):
    generator = torch.Generator().manual_seed(seed)
    x, t = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (4, 2))
    a, b = (RigidMotion(r, s) for r, s in zip(draw(2, seed), t, strict=True))
    torch.testing.assert_close(a.after(b)(x), a(b(x)))
    torch.testing.assert_close(a.inverse()(a(x)), x)
    torch.testing.assert_close(a(x), x @ a.rotation.T + a.translation)


@pytest.mark.parametrize(
    "call",
    [
        lambda: uniform_rotations(0),
        lambda: hopf_grid(-1),
        lambda: cubic_grid(3),
        lambda: RigidMotion(torch.zeros(3), torch.zeros(3)),
    ],
)
def test_refuses_nonsense(call):
    with pytest.raises(ValueError, match="must be"):
        call()
