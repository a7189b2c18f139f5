"""What every multilayer field promises."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fields import (
    Finer,
    Gauss,
    GaussianFourier,
    HashGrid,
    Identity,
    MLPField,
    Positional,
    Relu,
    Siren,
    Softplus,
    Tanh,
    Wire,
)
from overparam import compact
from overparam.recipe import build, recipe

FIELDS = [
    lambda: Siren(2, 1, width=8, depth=2),
    lambda: Siren(2, 3, width=[4, 7, 5], omega=10.0, first_omega=30.0),
    lambda: Siren(2, 1, width=8, encoding=GaussianFourier(2, features=6, sigma=2.0, seed=3)),
    lambda: MLPField(2, 1, width=8, activation=Relu(), encoding=Positional(2, samples=64)),
    lambda: MLPField(3, 2, width=8, activation=Tanh(), encoding=Identity(3)),
    lambda: MLPField(2, 1, width=8, activation=Finer(k=7.0)),
    lambda: MLPField(2, 1, width=8, activation=Gauss(), first_activation=Wire()),
    lambda: MLPField(
        3, 1, width=8, activation=Softplus(), encoding=HashGrid(3, levels=3, log2_table=6)
    ),
]


@pytest.mark.parametrize("make", FIELDS)
def test_rebuilds_from_its_recipe_and_state(make):
    field = make()
    other = build(recipe(field))
    assert type(other) is type(field)
    other.load_state_dict(field.state_dict())
    x = torch.rand(5, field.in_features) * 2 - 1
    assert torch.equal(other(x), field(x))
    assert recipe(other) == recipe(field)


@settings(deadline=None, max_examples=20)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    batch=st.lists(st.integers(1, 3), max_size=2),
)
def test_widths_are_what_was_asked_for(widths, batch):
    field = MLPField(2, 3, width=widths)
    assert list(field.widths) == widths
    assert field.depth == len(widths)
    assert field(torch.rand(*batch, 2)).shape == (*batch, 3)


def test_depth_counts_hidden_layers():
    assert len(MLPField(2, 1, width=4, depth=3).hidden) == 3
    assert len(MLPField(2, 1, width=4).hidden) == 4


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"depth": 0}, "depth"),
        ({"width": 0}, "width"),
        ({"width": [3, 0]}, "width"),
        ({"width": [3, 4], "depth": 3}, "width"),
        ({"in_features": 0}, "in_features"),
        ({"out_features": 0}, "out_features"),
        ({"encoding": Identity(3)}, "in_features"),
    ],
)
def test_rejects_senseless_sizes(wrong, named):
    with pytest.raises(ValueError, match=named):
        MLPField(**({"in_features": 2, "out_features": 1} | wrong))


@pytest.mark.parametrize("make", FIELDS)
def test_shows_its_sizes(make):
    assert "in_features" in repr(make())


@pytest.mark.parametrize("make", FIELDS)
def test_shrinks_to_what_is_used_and_rebuilds(make):
    torch.manual_seed(0)
    field = make()
    layer, above = field.hidden[0], [*field.hidden[1:], field.readout][0]
    with torch.no_grad():
        above_weight = getattr(above, "affine", above).weight
        above_weight[:, 0] = 0  # nobody reads unit 0
        layer.affine.weight[1] = 0  # unit 1 reads nothing
    x = torch.rand(6, field.in_features) * 2 - 1
    small = compact(field, x)
    assert small.widths[0] == field.widths[0] - 2
    assert type(small) is type(field)
    again = build(recipe(small))
    again.load_state_dict(small.state_dict())
    torch.testing.assert_close(again(x), field(x))
