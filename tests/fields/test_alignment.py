"""An alignment takes away exactly the freedom it names."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields import Siren
from fields.alignment import Aligned, Alignment, align
from fields.calculus import gradient

factors = st.floats(-3, 3).filter(lambda a: abs(a) > 0.1)


@settings(deadline=None, max_examples=30)
@given(scale=factors, offset=st.floats(-5, 5), seed=st.integers(0, 99), c=st.integers(1, 3))
def test_what_was_moved_within_the_freedom_comes_back(scale, offset, seed, c):
    torch.manual_seed(seed)
    y = torch.rand(20, c, dtype=torch.float64)
    per_channel = torch.linspace(1, 2, c, dtype=torch.float64)
    moved = y + offset * per_channel
    torch.testing.assert_close(align(moved, y, "offset")(moved), y)
    moved = scale * per_channel * y + offset
    torch.testing.assert_close(align(moved, y, "affine")(moved), y)


@settings(deadline=None, max_examples=30)
@given(scale=factors, offset=st.floats(-5, 5), seed=st.integers(0, 99))
def test_scores_after_alignment_do_not_see_the_freedom(scale, offset, seed):
    torch.manual_seed(seed)
    y, fitted = torch.rand(2, 30, 2, dtype=torch.float64)
    first = align(fitted, y, "offset")(fitted)
    torch.testing.assert_close(align(fitted + offset, y, "offset")(fitted + offset), first)
    first = align(fitted, y, "affine")(fitted)
    moved = scale * fitted + offset
    torch.testing.assert_close(align(moved, y, "affine")(moved), first)


def test_it_is_the_nearest_of_its_kind():
    torch.manual_seed(0)
    y, fitted = torch.rand(2, 40, 1, dtype=torch.float64)

    def error(alignment):
        return (alignment(fitted) - y).square().mean().item()

    for freedom in ("offset", "affine"):
        best = align(fitted, y, freedom)
        for da, db in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
            if freedom == "offset" and da:
                continue
            other = Alignment((best.scale[0] + da,), (best.offset[0] + db,))
            assert error(other) > error(best)
    assert error(align(fitted, y, "affine")) <= error(align(fitted, y, "offset"))


def test_a_constant_is_moved_to_the_mean():
    y = torch.rand(10, 1)
    for freedom in ("offset", "affine"):
        flat = torch.full((10, 1), 7.0)
        torch.testing.assert_close(align(flat, y, freedom)(flat), y.mean().expand(10, 1))


def test_an_aligned_field_has_aligned_derivatives():
    field = Siren(2, 1, width=5, depth=2).double()
    x = torch.rand(4, 2, dtype=torch.float64)
    aligned = Aligned(field, Alignment((2.0,), (5.0,)))
    torch.testing.assert_close(aligned(x), 2 * field(x) + 5)
    torch.testing.assert_close(gradient(aligned, x), 2 * gradient(field, x))
