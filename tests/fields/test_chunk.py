"""Chunks change memory and speed, never the numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fields import Siren, chunked_mean
from fields.chunk import chunked


def setting(n, seed=0):
    torch.manual_seed(seed)
    field = Siren(2, 2, width=7, depth=2).double()
    return field, torch.rand(n, 2).double(), torch.rand(n, 2).double()


def mse_of(field):
    return lambda x, y: nn.functional.mse_loss(field(x), y)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 40), chunk=st.integers(1, 45), scale=st.floats(-3, 3))
def test_value_and_gradient_are_those_of_one_pass(n, chunk, scale):
    field, x, y = setting(n)
    parameters = list(field.parameters())
    whole = mse_of(field)(x, y)
    parts = chunked_mean(mse_of(field), parameters, (x, y), chunk)
    torch.testing.assert_close(parts, whole)
    ours = torch.autograd.grad(scale * parts, parameters)
    theirs = torch.autograd.grad(scale * whole, parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_frozen_and_unused_parameters_are_left_alone():
    field, x, y = setting(9)
    field.hidden[0].affine.weight.requires_grad_(False)
    unused = nn.Parameter(torch.zeros(3))
    chunked_mean(mse_of(field), [*field.parameters(), unused], (x, y), 2).backward()
    assert unused.grad is None
    assert field.hidden[0].affine.weight.grad is None
    assert field.readout.weight.grad is not None


def test_without_gradients_only_the_value_is_computed():
    field, x, y = setting(9)
    with torch.no_grad():
        parts = chunked_mean(mse_of(field), field.parameters(), (x, y), 2)
    assert not parts.requires_grad
    torch.testing.assert_close(parts, mse_of(field)(x, y).detach())


def test_accumulation_hooks_fire_once_with_the_sum():
    # distributed averaging hangs on these; hooks on the tensor itself see every chunk
    field, x, y = setting(9)
    weight, seen = field.readout.weight, []
    weight.register_post_accumulate_grad_hook(lambda tensor: seen.append(tensor.grad.clone()))
    chunked_mean(mse_of(field), field.parameters(), (x, y), 2).backward()
    (theirs,) = torch.autograd.grad(mse_of(field)(x, y), [weight])
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], theirs)


def test_one_chunks_graph_at_a_time():
    held = []

    class Probe(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            held.append(len(x))
            return x * 1.0

        @staticmethod
        def backward(ctx, gradient):
            held.remove(len(ctx.saved_tensors[0]))
            return gradient

    weight = nn.Parameter(torch.ones(1))

    def loss(x):
        value = Probe.apply(x * weight).mean()
        assert len(held) == 1
        return value

    chunked_mean(loss, [weight], (torch.rand(20),), 3).backward()
    assert not held


def test_second_derivatives_are_refused():
    field, x, y = setting(9)
    parts = chunked_mean(mse_of(field), field.parameters(), (x, y), 2)
    (first,) = torch.autograd.grad(parts, [field.readout.weight], create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        first.sum().backward()


@pytest.mark.parametrize(
    ("tensors", "chunk", "named"),
    [
        ((torch.rand(3, 2), torch.rand(4, 2)), None, "length"),
        ((torch.rand(0, 2), torch.rand(0, 2)), None, "length"),
        ((torch.rand(3, 2), torch.rand(3, 2)), 0, "chunk"),
        ((torch.rand(3, 2, requires_grad=True), torch.rand(3, 2)), None, "gradients"),
    ],
)
def test_rejects_senseless_data(tensors, chunk, named):
    field = Siren(2, 2, width=3, depth=1)
    with pytest.raises(ValueError, match=named):
        chunked_mean(mse_of(field), field.parameters(), tensors, chunk)


def test_a_pointwise_map_is_the_same_in_chunks():
    field, x, _ = setting(11)
    torch.testing.assert_close(chunked(field, x, 3), field(x))
