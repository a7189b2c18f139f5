"""Lattices are in matrix order and reach both ends of every axis."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.lattice import lattice, unit_extent

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@settings(deadline=None, max_examples=40)
@given(shape=shapes, span=st.floats(0.1, 200))
def test_order_ends_and_single_samples(shape, span):
    x = lattice(shape, unit_extent(shape, span)).view(*shape, len(shape))
    for axis, n in enumerate(shape):
        along = x.movedim(axis, 0)[..., axis]
        if n == 1:
            assert not along.any()  # a single sample has no second end: it lies in the middle
            continue
        assert (along[1:] > along[:-1]).all()
        torch.testing.assert_close(along[0], torch.full_like(along[0], -span))
        torch.testing.assert_close(along[-1], torch.full_like(along[-1], span))


def test_any_extent():
    assert lattice([3, 2], [[0.0, 1.0], [5.0, 7.0]]).tolist() == [
        [0.0, 5.0],
        [0.0, 7.0],
        [0.5, 5.0],
        [0.5, 7.0],
        [1.0, 5.0],
        [1.0, 7.0],
    ]
