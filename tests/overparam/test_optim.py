"""Schedules reach what they promise; MuonAdam is Muon and Adam, each where it belongs."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import Adam, Muon

from overparam import CosineDecay, MuonAdam


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 1)
    )


def learn(net: nn.Module, *optimizers: torch.optim.Optimizer, steps: int = 4) -> None:
    x = torch.linspace(-1, 1, 10).view(5, 2)
    for _ in range(steps):
        net.zero_grad()
        net(x).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()


def rates(total, warmup=0.0, floor=0.0, base=0.5) -> list[float]:
    optimizer = Adam([nn.Parameter(torch.ones(1))], lr=base)
    decay = CosineDecay(optimizer, total, warmup=warmup, floor=floor)
    found = []
    for _ in range(total + 3):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        decay.step()
    return found


@settings(deadline=None, max_examples=30)
@given(total=st.integers(1, 60), warmup=st.floats(0, 0.9), floor=st.floats(0, 1))
def test_cosine_decay_rises_then_falls_to_the_floor(total, warmup, floor):
    found = rates(total, warmup, floor)
    warm = round(warmup * total)
    rising, falling = found[: warm + 1], found[warm:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(rate == pytest.approx(0.5 * floor, abs=1e-9) for rate in found[total:])
    if warm < total:
        assert found[warm] == pytest.approx(0.5)


def test_cosine_decay_agrees_with_torch_without_warmup():
    optimizer = Adam([nn.Parameter(torch.ones(1))], lr=0.5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.05)
    for rate in rates(20, floor=0.1)[:20]:
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()


def test_the_length_may_come_later():
    optimizer = Adam([nn.Parameter(torch.ones(1))], lr=0.5)
    decay = CosineDecay(optimizer, warmup=0.5)
    assert decay.total_steps is None
    assert optimizer.param_groups[0]["lr"] == 0.5
    decay.total_steps = 10
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 / 6)
    assert decay.get_last_lr() == [optimizer.param_groups[0]["lr"]]


def test_cosine_decay_goes_on_from_its_state():
    def fresh():
        optimizer = Adam([nn.Parameter(torch.ones(1))], lr=0.5)
        return optimizer, CosineDecay(optimizer, 10)

    optimizer, decay = fresh()
    for _ in range(4):
        optimizer.step()
        decay.step()
    other, resumed = fresh()
    resumed.load_state_dict(decay.state_dict())
    other.load_state_dict(optimizer.state_dict())
    other.step()
    resumed.step()
    assert resumed.get_last_lr() == [pytest.approx(0.25 * (1 + math.cos(math.pi * 0.5)))]


@pytest.mark.parametrize("bad", [{"warmup": 1.0}, {"floor": -0.1}, {"total_steps": 0}])
def test_cosine_decay_refuses_nonsense(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        CosineDecay(Adam([nn.Parameter(torch.ones(1))]), **bad)


def test_muon_adam_is_both_of_them():
    ours, theirs = network(), network()
    learn(ours, MuonAdam(ours.parameters(), lr=0.02, adam_lr=0.003))
    hidden = [theirs[2].weight, theirs[4].weight]
    rest = [p for p in theirs.parameters() if all(p is not h for h in hidden)]
    learn(theirs, Muon(hidden, lr=0.02, weight_decay=0.0), Adam(rest, lr=0.003))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("copied", ["state", "deepcopy", "pickle"])
def test_muon_adam_goes_on_from_its_state(copied):
    net = network()
    optimizer = MuonAdam(net.parameters())
    learn(net, optimizer)
    if copied == "state":
        twin = copy.deepcopy(net)
        resumed = MuonAdam(twin.parameters())
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    else:
        both = (net, optimizer)
        twin, resumed = (
            copy.deepcopy(both) if copied == "deepcopy" else pickle.loads(pickle.dumps(both))
        )
    learn(net, optimizer)
    learn(twin, resumed)
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_schedule_moves_both_rates():
    optimizer = MuonAdam(network().parameters(), lr=0.02, adam_lr=0.004)
    decay = CosineDecay(optimizer, 10)
    for _ in range(5):
        optimizer.step()
        decay.step()
    found = [group["lr"] for group in optimizer.param_groups]
    assert found == [pytest.approx(0.01), pytest.approx(0.002)]


def test_without_hidden_matrices_it_is_adam():
    net, twin = nn.Linear(2, 1), nn.Linear(2, 1)
    twin.load_state_dict(net.state_dict())
    learn(net, MuonAdam(net.parameters(), adam_lr=0.01))
    learn(twin, Adam(twin.parameters(), lr=0.01))
    assert torch.equal(net.weight, twin.weight)


def test_the_closure_is_evaluated_once():
    net = network()
    optimizer = MuonAdam(net.parameters())
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        return net(torch.ones(1, 2)).sum()

    assert isinstance(optimizer.step(closure), torch.Tensor)
    assert calls == [True]


@pytest.mark.parametrize(
    "bad", [{"lr": -1.0}, {"adam_lr": -1.0}, {"weight_decay": -1.0}, {"params": []}]
)
def test_muon_adam_refuses_nonsense(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        MuonAdam(**({"params": network().parameters()} | bad))
