"""What a periodic grid and its half sphere of wave vectors promise."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.grid import BLOCK, Grid, HalfSphere
from docking.rotation import cubic_rotations

few = settings(deadline=None, max_examples=25)
grids = st.builds(
    Grid,
    st.integers(4, 13),
    st.floats(0.2, 3.0),
    st.tuples(*[st.floats(-50, 50)] * 3),
)


@few
@given(grid=grids, seed=st.integers(0, 999))
def test_voxels_and_world_are_inverse(grid, seed):
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(grid.to_world(grid.to_voxel(x)), x)
    positions = grid.positions()
    torch.testing.assert_close(
        grid.to_voxel(positions[1, 2, 3]), torch.tensor([1.0, 2.0, 3.0]).double()
    )
    half = grid.points // 2
    torch.testing.assert_close(positions[half, half, half], torch.tensor(grid.center).double())


@few
@given(grid=grids)
def test_shifts_wrap_into_half_the_extent(grid):
    index = torch.arange(grid.points)[:, None].expand(-1, 3)
    shift = grid.shift(index)
    assert shift.abs().max() <= grid.extent / 2 + 1e-9
    whole = (shift / grid.spacing).round().long().remainder(grid.points)
    assert torch.equal(whole, index)


@few
@given(points=st.integers(4, 14), share=st.floats(0.3, 1.0))
def test_half_sphere_has_every_vector_or_its_negative(points, share):
    grid = Grid(points, 0.7)
    k_max = share * grid.nyquist
    sphere = HalfSphere(grid, k_max)
    axis = torch.arange(-((points - 1) // 2), (points - 1) // 2 + 1)
    full = torch.cartesian_prod(axis, axis, axis)
    inside = full[(full**2).sum(1).double() * grid.k_step**2 <= k_max**2 * (1 + 1e-9)]
    have = {tuple(v) for v in sphere.index.tolist()}
    assert have == {tuple(v) for v in inside.tolist() if v[2] >= 0}
    # Blocks hold one length each, and slots lead back to their vectors.
    length = sphere.vectors.norm(dim=1).unflatten(0, (-1, BLOCK))
    assert (length - length[:, :1]).abs().max() < 1e-9
    distinct, which = sphere.shells
    torch.testing.assert_close(distinct[which], length[:, 0])
    assert torch.equal(sphere.source[sphere.slot_of], torch.arange(sphere.count))


@few
@given(points=st.integers(5, 12))
def test_turned_slots_are_the_turned_vectors(points):
    sphere = HalfSphere(Grid(points, 1.0))
    slot, sign = sphere.turned
    image = sphere.vectors[slot] * sign[..., None]
    expected = torch.einsum("gij,kj->gki", cubic_rotations(), sphere.vectors)
    torch.testing.assert_close(image, expected)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Grid(3, 1.0),
        lambda: Grid(8, 0.0),
        lambda: Grid(8, 1.0, (0.0, float("nan"), 0.0)),
        lambda: HalfSphere(Grid(8, 1.0), 3.2),
        lambda: HalfSphere(Grid(8, 1.0), 0.0),
    ],
)
def test_refuses_nonsense(call):
    with pytest.raises(ValueError, match="must"):
        call()
