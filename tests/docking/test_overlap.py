"""Overlap of a ligand's own atoms is the repulsion of its movable pairs and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.search.overlap import STRIDE, overlap, own_pairs
from docking.terms import TERMS, VINA, VINARDO, pair_terms


def laid_out(seed, n, function):
    """Atoms in a ball so small that many overlap, some of their pairs, and their types."""
    generator = np.random.default_rng(seed)
    kinds = generator.integers(0, 19, n)
    pairs = np.argwhere(np.triu(generator.random((n, n)) < 0.5, 1))
    pairs = np.where(generator.random((len(pairs), 1)) < 0.5, pairs, pairs[:, ::-1])
    return generator.normal(size=(n, 3)) * 2.0, kinds, pairs, own_pairs(kinds, pairs, function)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), vinardo=st.booleans())
def test_it_is_the_repulsion_of_the_pairs_and_its_slope(seed, n, vinardo):
    function = VINARDO if vinardo else VINA
    x, kinds, pairs, own = laid_out(seed, n, function)
    g = np.ones((n, 3))
    found = overlap(own, own.packed.copy(), x, g)
    y = torch.tensor(x, requires_grad=True)
    i, j = torch.as_tensor(pairs).T
    r = (y[i] - y[j]).norm(dim=-1)
    types = torch.as_tensor(kinds)
    term = TERMS.index("repulsion")
    slow = pair_terms(r, types[i], types[j], function=function)[:, term] * function.weights[term]
    total = slow.sum()
    total.backward()
    # Single precision, of sums of up to a thousand pairs.
    assert found == pytest.approx(total.item(), rel=1e-4, abs=1e-4)
    gradient = np.zeros((n, 3)) if y.grad is None else y.grad.numpy()
    np.testing.assert_allclose(g - 1.0, gradient, rtol=1e-3, atol=1e-3)


def test_work_arrays_carry_nothing_over():
    x, _, _, own = laid_out(0, 30, VINA)
    packed = own.packed.copy()
    first = [overlap(own, packed, x, np.zeros((30, 3))) for _ in range(2)]
    assert first[0] == first[1]
    far = overlap(own, packed, 100.0 * x, np.zeros((30, 3)))
    assert far == 0.0


def test_a_ligand_too_large_for_it_has_no_pairs_here():
    _, _, pairs, own = laid_out(0, 300, VINA)
    assert len(pairs) and own.counts.shape == (300, STRIDE)
    assert not own.counts.any() and (own.first == 300).all()
