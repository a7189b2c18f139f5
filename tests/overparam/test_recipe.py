"""A recipe rebuilds an equal object, or says why it cannot."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam.recipe import NoRecipeError, build, locate, recipe

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.text().filter(lambda key: key != "class_path")
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
    max_leaves=8,
)


class Pair(nn.Module):
    def __init__(self, first: int, second: nn.Module, kind: type = int) -> None:
        super().__init__()
        self.first, self.second, self.kind = first, second, kind


class Forgetful(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


@given(plain)
def test_plain_data_is_its_own_recipe(value):
    assert build(recipe(value)) == value


@settings(deadline=None)
@given(a=st.integers(1, 9), b=st.integers(1, 9), bias=st.booleans())
def test_torch_layers_come_back_with_their_sizes(a, b, bias):
    written = {"class_path": "torch.nn.modules.linear.Linear"}
    layer = nn.Linear(a, b, bias=bias)
    arguments = {"in_features": a, "out_features": b, "bias": bias}
    rebuilt = build(written | {"init_args": arguments})
    assert rebuilt.weight.shape == layer.weight.shape
    assert (rebuilt.bias is None) == (layer.bias is None)


def test_layers_without_arguments_are_written_too():
    assert isinstance(build(recipe(nn.Tanh())), nn.Tanh)


def test_factories_are_written_with_their_settings():
    written = recipe(partial(torch.optim.SGD, lr=0.5))
    assert written == {"class_path": "torch.optim.sgd.SGD", "init_args": {"lr": 0.5}}
    assert recipe(torch.optim.Adam) == "torch.optim.adam.Adam"


@pytest.mark.parametrize(
    "bad",
    [Forgetful(2), lambda x: x, partial(torch.optim.SGD, [1]), nn.Sequential(nn.ReLU())],
    ids=["argument not kept", "lambda", "positional partial", "variadic"],
)
def test_what_cannot_be_written_says_so(bad):
    with pytest.raises(NoRecipeError, match="must"):
        recipe(bad)


@pytest.mark.parametrize("path", ["no.such.thing", "torch.nn.NoSuchLayer", "nodots"])
def test_unknown_paths_are_refused(path):
    with pytest.raises(ValueError, match="class_path must name"):
        locate(path)
