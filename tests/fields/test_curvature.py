"""Every curvature is a symmetric bilinear form, and knows its own gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.curvature import (
    AxisCurvature,
    Curvature,
    PairCurvature,
    SumCurvature,
    WeightedCurvature,
)

MAKERS = {
    "axes": AxisCurvature,
    "sum": lambda k: SumCurvature(),
    "shared weights": lambda k: WeightedCurvature(torch.randn(2, k, 1).double()),
    "weights by point": lambda k: WeightedCurvature(torch.randn(2, k, 5).double()),
    "pairs": PairCurvature,
}


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None, max_examples=10)
@given(k=st.integers(1, 4), broadcast=st.booleans())
def test_is_bilinear_symmetric_and_pulls_back_its_gradient(name, k, broadcast):
    curvature = MAKERS[name](k)
    p, q, r = (torch.randn(k, 5, 3).double() for _ in range(3))
    if broadcast:
        p = p[:, :1]
    form = curvature.bilinear
    assert form(p, q).shape == (curvature.count, 5, 3)
    torch.testing.assert_close(form(p, q), form(q, p))
    torch.testing.assert_close(form(p, 2 * q - r), 2 * form(p, q) - form(p, r))

    weight = torch.randn(curvature.count, 5, 3).double()
    free = p.expand(k, 5, 3).clone().requires_grad_()
    (theirs,) = torch.autograd.grad((weight * form(free, free)).sum(), free)
    total = q.clone()
    curvature.add_pull(total, p, weight)
    torch.testing.assert_close(total, q + theirs)


@pytest.mark.parametrize("name", MAKERS)
def test_a_range_of_points_is_cut_out(name):
    curvature = MAKERS[name](3)
    p = torch.randn(3, 5, 2).double()
    part = curvature.at(1, 4).bilinear(p[:, 1:4], p[:, 1:4])
    torch.testing.assert_close(part, curvature.bilinear(p, p)[:, 1:4])


def test_pairs_find_their_place():
    curvature = PairCurvature(3)
    p = torch.randn(3, 5, 1).double()
    table = curvature.bilinear(p, p)[curvature.place]
    torch.testing.assert_close(table, p[:, None] * p[None])


def test_none_carries_nothing():
    assert Curvature().count == 0
