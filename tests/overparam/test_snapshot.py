"""Snapshots are owned, restored bit for bit, and never alias a live weight."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam import snapshot
from overparam.masks import Masks, original, plain_state


def net(width=6):
    return nn.Sequential(
        nn.Linear(3, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
    )


def train(module, optimizer, steps=3):
    module.train()
    for _ in range(steps):
        optimizer.zero_grad()
        module(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()


@settings(deadline=None, max_examples=15)
@given(width=st.integers(2, 8), rounds=st.integers(1, 6), masked=st.booleans())
def test_every_round_rewinds_to_the_same_bits(width, rounds, masked):
    module = net(width)
    if masked:
        Masks(module).set("3.weight", torch.rand(width, width) > 0.5)
    saved = snapshot.take(module)
    bits = {name: value.clone() for name, value in saved.state.items()}
    for _ in range(rounds):
        train(module, torch.optim.Adam(module.parameters()))
        snapshot.restore(module, saved)
        for name, value in plain_state(module).items():
            assert torch.equal(value, bits[name])
            assert value.data_ptr() != saved.state[name].data_ptr()


def test_optimizer_memory_is_cleared_in_place():
    module = net()
    optimizer = torch.optim.Adam(module.parameters())
    saved = snapshot.take(module)
    train(module, optimizer)
    snapshot.restore(module, saved, optimizer)
    tensors = [v for s in optimizer.state.values() for v in s.values()]
    assert tensors
    assert all(not value.any() for value in tensors)


def test_a_cleared_optimizer_behaves_like_a_new_one():
    module, twin = net(), net()
    twin.load_state_dict(module.state_dict())
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    saved = snapshot.take(module)
    train(module, optimizer)
    snapshot.restore(module, saved, optimizer)
    for each, how in ((module, optimizer), (twin, torch.optim.AdamW(twin.parameters(), lr=0.1))):
        torch.manual_seed(5)
        train(each, how)
    for a, b in zip(module.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_signs_only_keeps_todays_magnitudes():
    module = net()
    saved = snapshot.take(module)
    with torch.no_grad():
        original(module, "0.weight").mul_(-2)
    today = original(module, "0.weight").detach().clone()
    snapshot.restore(module, saved, signs_only=True)
    now = original(module, "0.weight").detach()
    assert torch.equal(now.abs(), today.abs())
    assert torch.equal(now.sign(), saved.state["0.weight"].sign())


def test_batch_norm_statistics_can_stay():
    module = net()
    saved = snapshot.take(module)
    train(module, torch.optim.SGD(module.parameters(), lr=0.1))
    mean = module[1].running_mean.clone()
    snapshot.restore(module, saved, keep=("bn",))
    assert torch.equal(module[1].running_mean, mean)
    assert torch.equal(module[1].weight, saved.state["1.weight"])
    snapshot.restore(module, saved)
    assert torch.equal(module[1].running_mean, saved.state["1.running_mean"])


def test_other_architectures_and_words_are_refused():
    saved = snapshot.take(net(4))
    with pytest.raises(ValueError, match="must have shape"):
        snapshot.restore(net(5), saved)
    with pytest.raises(ValueError, match="same architecture"):
        snapshot.restore(nn.Linear(3, 4), saved)
    with pytest.raises(ValueError, match="keep must be"):
        snapshot.restore(net(4), saved, keep=("everything",))
