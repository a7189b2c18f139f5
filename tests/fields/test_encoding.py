"""What every encoding promises, and what each adds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields import GaussianFourier, HashGrid, Identity, Positional
from fields.curvature import PairCurvature
from fields.taylor import Taylor

ENCODINGS = [
    Identity(2),
    Identity(3),
    Positional(1),
    Positional(2, frequencies=3),
    Positional(3, samples=512),
    GaussianFourier(2, features=5, sigma=3.0),
    GaussianFourier(3, features=4, sigma=0.5, seed=7),
    HashGrid(2, levels=4, log2_table=5, coarsest=2, finest=16),
    HashGrid(3, levels=3, features=3, log2_table=9, coarsest=2, finest=8, smooth=False),
]


@pytest.mark.parametrize("encoding", ENCODINGS, ids=repr)
@settings(deadline=None, max_examples=10)
@given(batch=st.lists(st.integers(1, 3), max_size=3))
def test_shape_is_the_promised_one(encoding, batch):
    x = torch.rand(*batch, encoding.in_features) * 2 - 1
    assert encoding(x).shape == (*batch, encoding.out_features)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=repr)
def test_jacobian_matches_central_differences(encoding):
    encoding = encoding.double()
    torch.manual_seed(0)
    x = torch.rand(encoding.in_features, dtype=torch.float64) * 1.8 - 0.9
    ours = torch.autograd.functional.jacobian(encoding, x)
    h = 1e-6
    steps = h * torch.eye(len(x), dtype=torch.float64)
    theirs = torch.stack([(encoding(x + s) - encoding(x - s)) / (2 * h) for s in steps], -1)
    # curvature up to (2**7 pi)**3 h**2 / 6 ~ 1e-5 relative to slopes of 4e2
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=repr)
def test_expansions_are_those_of_nested_differentiation(encoding):
    encoding = encoding.double()
    if isinstance(encoding, HashGrid):
        torch.nn.init.normal_(encoding.table.weight)
    d = encoding.in_features
    x = torch.rand(6, d, dtype=torch.float64) * 2.4 - 1.2  # partly beyond a grid's edge
    slopes = torch.func.jacrev(lambda point: encoding(point))
    directions = torch.randn(3, 1, d, dtype=torch.float64)
    curvature = PairCurvature(3)
    t = encoding.taylor(Taylor(x, directions, None, curvature))
    torch.testing.assert_close(t.value, encoding(x))
    first = torch.stack([slopes(point) for point in x])
    along = torch.einsum("nei,kji->kne", first, directions)
    torch.testing.assert_close(t.slopes.expand_as(along), along)
    full = torch.stack([torch.func.jacfwd(slopes)(point) for point in x])
    both = torch.einsum("neij,kai,lbj->klne", full, directions, directions)
    second = torch.zeros(curvature.count, *t.value.shape) if t.second is None else t.second
    torch.testing.assert_close(second[curvature.place], both, check_dtype=False)


@given(shift=st.integers(-3, 3))
@settings(deadline=None, max_examples=10)
def test_positional_waves_have_period_two(shift):
    x = torch.rand(4, 2, dtype=torch.float64)
    encoding = Positional(2, frequencies=5).double()
    ours, moved = encoding(x), encoding(x + 2 * shift)
    torch.testing.assert_close(ours[:, 2:], moved[:, 2:])
    torch.testing.assert_close(moved[:, :2], x + 2 * shift)


@pytest.mark.parametrize(("samples", "octaves"), [(512, 7), (256, 6), (16, 2), (2, 1)])
def test_positional_stays_below_the_sampling_limit(samples, octaves):
    encoding = Positional(2, samples=samples)
    assert encoding.out_features == 2 * (1 + 2 * octaves)


def test_gaussian_features_are_seeded_unit_pairs():
    one, two = (GaussianFourier(2, features=64, sigma=4.0, seed=s) for s in (1, 2))
    again = GaussianFourier(2, features=64, sigma=4.0, seed=1)
    x = torch.rand(9, 2)
    assert torch.equal(one(x), again(x))
    assert not torch.equal(one(x), two(x))
    sine, cosine = one(x).chunk(2, dim=-1)
    torch.testing.assert_close(sine**2 + cosine**2, torch.ones(9, 64))
    spread = (GaussianFourier(2, features=5000, sigma=4.0).phases / (2 * math.pi)).std()
    assert math.isclose(spread.item(), 4.0, rel_tol=0.03)  # 10,000 draws: 0.7 % each


def test_gaussian_features_do_not_disturb_the_global_generator():
    torch.manual_seed(0)
    before = torch.rand(3)
    torch.manual_seed(0)
    GaussianFourier(2)
    assert torch.equal(torch.rand(3), before)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("d", [2, 3])
def test_hash_grid_meets_its_table_at_the_corners_and_is_continuous(smooth, d):
    grid = HashGrid(d, levels=1, coarsest=4, finest=4, log2_table=10, smooth=smooth).double()
    torch.nn.init.normal_(grid.table.weight)
    corners = torch.cartesian_prod(*[torch.linspace(-1, 1, 5, dtype=torch.float64)] * d)
    index = ((corners + 1) * 2).round().long()
    rows = (index * torch.tensor([5**axis for axis in range(d)])).sum(-1)
    torch.testing.assert_close(grid(corners), grid.table.weight[rows])
    near = (corners * (1 - 1e-9)).clamp(-1, 1)
    torch.testing.assert_close(grid(near), grid(corners), rtol=0, atol=1e-6)


def test_hash_grid_blends_a_plane_exactly_when_linear():
    grid = HashGrid(2, levels=1, features=1, coarsest=4, finest=4, log2_table=10, smooth=False)
    axis = torch.linspace(-1, 1, 5)
    plane = 3 * axis[None, :] - 2 * axis[:, None] + 1  # rows are numbered with axis 0 fastest
    with torch.no_grad():
        grid.table.weight.copy_(plane.reshape(-1, 1))
    x = torch.rand(50, 2) * 2 - 1
    torch.testing.assert_close(grid(x)[:, 0], 3 * x[:, 0] - 2 * x[:, 1] + 1)


def test_hash_grid_outside_takes_the_edge_value():
    grid = HashGrid(2, levels=2, coarsest=2, finest=4)
    outside = torch.tensor([[1.5, 0.2], [-3.0, 4.0]])
    torch.testing.assert_close(grid(outside), grid(outside.clamp(-1, 1)))


def test_hash_grid_rows_stay_inside_their_level():
    grid = HashGrid(3, levels=6, coarsest=2, finest=64, log2_table=6)
    assert grid.table.num_embeddings == sum(grid.rows)
    grid(torch.rand(500, 3) * 2 - 1).sum().backward()
    assert torch.isfinite(grid.table.weight.grad).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: Identity(0), "in_features"),
        (lambda: Positional(2, frequencies=0), "frequencies"),
        (lambda: Positional(2, samples=1), "samples"),
        (lambda: Positional(2, frequencies=3, samples=64), "not both"),
        (lambda: GaussianFourier(2, features=0), "features"),
        (lambda: GaussianFourier(2, sigma=0.0), "sigma"),
        (lambda: HashGrid(4), "2 or 3"),
        (lambda: HashGrid(2, levels=0), "levels"),
        (lambda: HashGrid(2, finest=2), "finest"),
        (lambda: HashGrid(2, log2_table=40), "log2_table"),
    ],
)
def test_rejects_senseless_sizes(wrong, named):
    with pytest.raises(ValueError, match=named):
        wrong()
