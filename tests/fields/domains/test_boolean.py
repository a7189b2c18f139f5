"""Identities of sets, and boundaries where operands touch."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.domains import Ball, Box, Domain
from overparam.errors import InputError

A, B, C = Box([0, 0], [2, 1]), Ball([1.5, 0.75], 0.6), Ball([0.4, 0.2], 0.5)
X = Box([-1, -1], [3, 2]).interior(3000, dtype=torch.float64)


def same(first: Domain, second: Domain) -> bool:
    return torch.equal(first.contains(X), second.contains(X))


def test_boolean_identities():
    assert same(A | B, B | A) and same(A & B, B & A)
    assert same((A | B) | C, A | (B | C)) and same((A & C) & A, A & (C & A))
    assert same(A & (B | C), (A & B) | (A & C))
    assert same(A | (B & C), (A | B) & (A | C))
    assert same(A - (B | C), (A - B) - C)
    assert same(A - (B & C), (A - B) | (A - C))
    assert same((A - B) | (A & B), A)


def test_inclusion_and_exclusion():
    """Measures add up, up to what counting 65,536 Sobol points leaves open."""
    union, both = A | B, A & B
    assert union.volume + both.volume == pytest.approx(A.volume + B.volume, rel=1e-3)
    assert (A - B).volume + both.volume == pytest.approx(A.volume, rel=1e-3)
    surfaces = A.boundary_measure + B.boundary_measure
    assert union.boundary_measure + both.boundary_measure == pytest.approx(surfaces, rel=1e-3)


def test_touching_boxes_join_without_a_wall():
    joined = Box([0, 0], [1, 1]) | Box([1, 0], [2, 1])
    x, _ = joined.boundary(2000, dtype=torch.float64)
    assert joined.boundary_measure == pytest.approx(6, rel=1e-3)
    assert not ((x[:, 0] == 1) & (x[:, 1] > 0) & (x[:, 1] < 1)).any()


def test_shared_faces_count_once():
    tall = Box([0, 0], [1, 2]) | Box([0, 0], [2, 1])  # an L with two common sides
    assert tall.boundary_measure == pytest.approx(8, rel=2e-3)
    x, _ = tall.boundary(4000, dtype=torch.float64)
    assert float((x[:, 0] == 0).double().mean()) == pytest.approx(2 / 8, abs=0.01)
    overlap = Box([0, 0], [1, 2]) & Box([0, 0], [2, 1])
    assert overlap.boundary_measure == pytest.approx(4, rel=2e-3)
    rest = Box([0, 0], [2, 2]) - Box([1, 0], [2, 2])
    assert rest.boundary_measure == pytest.approx(6, rel=2e-3)
    x, normals = rest.boundary(1000, part="hole0", dtype=torch.float64)
    assert (x[:, 0] == 1).all() and (normals[:, 0] == 1).all()
    apart = Box([0, 0], [1, 1]) - Box([1, 0], [2, 1])
    assert apart.boundary_measure == pytest.approx(4, rel=2e-3)


def test_holes_are_numbered_and_their_normals_point_into_them():
    plate = A - Ball([0.5, 0.5], 0.2) - Ball([1.5, 0.5], 0.3)
    for part, centre, radius in (("hole0", [0.5, 0.5], 0.2), ("hole1", [1.5, 0.5], 0.3)):
        x, normals = plate.boundary(200, part=part, dtype=torch.float64)
        inward = torch.tensor(centre) - x
        torch.testing.assert_close(normals * radius, inward, rtol=0, atol=1e-12)
        assert plate.part_measure(part) == pytest.approx(2 * math.pi * radius, rel=2e-3)


@pytest.mark.parametrize(
    "empty",
    [
        Box([0, 0], [1, 1]) - Box([-1, -1], [2, 2]),
        Box([0, 0], [1, 1]) - Box([0, 0], [1, 1]),
        Ball([0, 0], 1) & Ball([1.9, 1.9], 1),
        Ball([0, 0], 1) & Ball([5, 0], 1),
    ],
)
def test_emptiness_shows_at_sampling(empty):
    with pytest.raises(InputError, match="is empty"):
        empty.interior(10)
    with pytest.raises(InputError, match="is empty"):
        empty.quadrature(10)


def test_a_speck_is_refused_too():
    with pytest.raises(InputError, match="fills less"):
        (Box([-5, -5, -5], [5, 5, 5]) - Box([-5, -5, -5], [4.9999, 5, 5])).interior(10)


numbers = st.floats(-1, 1, allow_nan=False)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, st.floats(0.1, 1)), min_size=2, max_size=4),
    st.lists(st.sampled_from("|&-"), min_size=3, max_size=3),
)
def test_any_combination_keeps_its_signs(discs, signs):
    domain: Domain = Ball([0, 0], 1.5)
    for (a, b, r), sign in zip(discs, signs, strict=False):
        domain = {"|": Domain.__or__, "&": Domain.__and__, "-": Domain.__sub__}[sign](
            domain, Ball([a, b], r)
        )
    inside = domain.contains(X)
    assert torch.equal(inside, domain.signed_distance(X) <= 0)
    clear = domain.signed_distance(X).abs() > 1e-9
    assert torch.equal((domain.implicit(X) > 0)[clear], inside[clear])
    if inside.double().mean() > 0.02:
        points, normals = domain.boundary(200, dtype=torch.float64)
        step = 1e-6
        assert domain.signed_distance(points).abs().max() < 1e-9
        assert domain.contains(points - step * normals).double().mean() > 0.95
        assert domain.contains(points + step * normals).double().mean() < 0.05
