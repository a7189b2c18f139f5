"""What a schedule does to masks and weights, round by round."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam import (
    COLT,
    IMP,
    LRR,
    Gradual,
    Masks,
    OneShot,
    RandomSearch,
    effective,
    find_ticket,
    original,
)
from overparam.plain import plain_state
from overparam.search import Search

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randn(24, 2, generator=torch.Generator().manual_seed(1))


def net(seed=0, width=8):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Linear(width, 2)
    )


def mse(module, rows=slice(None)):
    return nn.functional.mse_loss(module(X[rows]), Y[rows])


class Fit:
    """Trains a few steps, and remembers what it was given and what it left."""

    def __init__(self, steps=4, kind=torch.optim.Adam, **options):
        self.steps, self.kind, self.options = steps, kind, options or {"lr": 0.02}
        self.began, self.ended, self.masks, self.splits = [], [], [], []

    def __call__(self, module, split=None):
        self.began.append({k: v.clone() for k, v in plain_state(module).items()})
        self.masks.append(Masks(module).as_dict())
        self.splits.append(split)
        rows = slice(None) if split is None else slice(split[0], None, split[1])
        optimizer = self.kind(module.parameters(), **self.options)
        for _ in range(self.steps):
            optimizer.zero_grad()
            mse(module, rows).backward()
            optimizer.step()
        self.ended.append({k: v.clone() for k, v in plain_state(module).items()})
        return mse(module)


ALL = {"protect": ("bias",)}


@settings(deadline=None, max_examples=6)
@given(
    rounds=st.integers(5, 7),
    rate=st.floats(0.05, 0.4),
    kind=st.sampled_from([torch.optim.Adam, torch.optim.SGD, torch.optim.AdamW]),
    scope=st.sampled_from(["global", "layer"]),
)
def test_imp_rewinds_every_round_to_the_bits_of_initialisation(rounds, rate, kind, scope):
    module, fit = net(), Fit(kind=kind, lr=0.05)
    start = {k: v.clone() for k, v in plain_state(module).items()}
    find_ticket(module, fit, IMP(rate, rounds), scope=scope, **ALL)
    assert len(fit.began) == rounds + 1
    for state, masks in zip(fit.began, fit.masks, strict=True):
        for name, value in state.items():
            mask = masks.get(name, torch.ones_like(value, dtype=torch.bool))
            assert torch.equal(value[mask], start[name][mask])
    for state, masks in zip(fit.ended, fit.masks, strict=True):
        assert any(not torch.equal(state[n][m], start[n][m]) for n, m in masks.items())


@settings(deadline=None, max_examples=10)
@given(rate=st.floats(0.05, 0.5), rounds=st.integers(1, 8), schedule=st.sampled_from([LRR, IMP]))
def test_sparsity_follows_the_law_exactly_and_masks_only_shrink(rate, rounds, schedule):
    module, fit = net(), Fit(1)
    ticket = find_ticket(module, fit, schedule(rate, rounds), min_keep=0, **ALL)
    total = ticket.total
    for index, masks in enumerate(fit.masks):
        assert sum(int(m.sum()) for m in masks.values()) == round((1 - rate) ** index * total)
        if index:
            assert not any((m & ~fit.masks[index - 1][n]).any() for n, m in masks.items())
    assert [e["kept"] for e in ticket.history] == [
        sum(int(m.sum()) for m in masks.values()) for masks in fit.masks
    ]
    assert math.isclose(ticket.sparsity, 1 - (1 - rate) ** rounds, abs_tol=0.5 / total)


def test_lrr_keeps_the_trained_weights():
    module, fit = net(), Fit()
    find_ticket(module, fit, LRR(0.3, 5), **ALL)
    for before, after, masks in zip(fit.ended, fit.began[1:], fit.masks[1:], strict=False):
        for name, value in after.items():
            mask = masks.get(name, torch.ones_like(value, dtype=torch.bool))
            assert torch.equal(value[mask], before[name][mask])


def test_default_is_lrr_of_ten_rounds():
    fit = Fit(1)
    ticket = find_ticket(net(width=32), fit)
    assert (len(fit.began), ticket.schedule["name"]) == (11, "LRR")
    assert math.isclose(ticket.sparsity, 1 - 0.8**10, abs_tol=1e-3)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_no_optimizer_moves_pruned_entries(kind):
    module = net()
    fit = Fit(kind=kind, lr=0.05, weight_decay=0.5)
    find_ticket(module, fit, LRR(0.5, 3), **ALL)
    for name, mask in Masks(module).items():
        assert not effective(module, name)[~mask].any()
        assert not original(module, name)[~mask].any()


# late rewinding


@settings(deadline=None, max_examples=8)
@given(step=st.integers(1, 4))
def test_late_rewinding_goes_back_to_that_step(step):
    module, fit = net(), Fit(4)
    ticket = find_ticket(module, fit, IMP(0.3, 3, rewind_step=step), **ALL)
    twin = net()
    Fit(step)(twin)
    for state, masks in zip(fit.began[1:], fit.masks[1:], strict=True):
        for name, value in state.items():
            mask = masks.get(name, torch.ones_like(value, dtype=torch.bool))
            assert torch.equal(value[mask], plain_state(twin)[name][mask])
    assert torch.equal(ticket.snapshot.state["0.weight"], plain_state(twin)["0.weight"])


def test_steps_are_counted_once_when_an_optimizer_holds_others():
    from overparam import MuonAdam

    module = net()
    ticket = find_ticket(module, Fit(3, MuonAdam, lr=0.01), LRR(0.3, 1), **ALL)
    assert [e["steps"] for e in ticket.history] == [3, 3]


def test_a_fit_that_never_reaches_the_rewind_step_is_told():
    with pytest.raises(ValueError, match=r"fit must reach rewind_step 9 .* took 4"):
        find_ticket(net(), Fit(4), IMP(0.3, 2, rewind_step=9), **ALL)


# colt


def test_colt_keeps_what_all_parts_keep():
    module, fit = net(width=16), Fit(6)
    start = {k: v.clone() for k, v in plain_state(module).items()}
    seen = []
    close = Search.close_part

    def record(self):
        seen.append(self.bits())
        close(self)

    Search.close_part = record
    try:
        ticket = find_ticket(module, fit, COLT(0.2, 3, splits=3), **ALL)
    finally:
        Search.close_part = close
    assert fit.splits == [(0, 3), (1, 3), (2, 3)] * 3 + [None]
    for number in range(3):
        parts = seen[3 * number : 3 * number + 3]
        assert parts[0].keys() == fit.masks[0].keys()
        after = fit.masks[3 * number + 3]
        for name, mask in after.items():
            assert torch.equal(mask, parts[0][name] & parts[1][name] & parts[2][name])
    assert any(not torch.equal(seen[0][n], seen[1][n]) for n in seen[0])
    for state, masks in zip(fit.began, fit.masks, strict=True):
        for name, value in state.items():
            mask = masks.get(name, torch.ones_like(value, dtype=torch.bool))
            assert torch.equal(value[mask], start[name][mask])
    assert ticket.sparsity > 1 - 0.8**3


def test_colt_stops_when_sparse_enough():
    fit = Fit(3)
    ticket = find_ticket(net(width=16), fit, COLT(0.3, 9, sparsity=0.6), **ALL)
    assert ticket.sparsity >= 0.6
    assert fit.splits[-1] is None
    assert len(fit.splits) < 9 * 2 + 1


def test_colt_never_empties_a_layer():
    module = net()
    ticket = find_ticket(module, Fit(8, lr=0.3), COLT(0.6, 3, splits=4), min_keep=2, **ALL)
    assert all(int(mask.sum()) >= 2 for mask in ticket.masks.values())


def test_colt_needs_a_fit_that_splits():
    with pytest.raises(ValueError, match="fit takes no split"):
        find_ticket(net(), lambda module: None, COLT(), **ALL)


# the others


@pytest.mark.parametrize("rewind", [True, False])
def test_one_shot_after_training(rewind):
    module, fit = net(), Fit()
    start = {k: v.clone() for k, v in plain_state(module).items()}
    ticket = find_ticket(module, fit, OneShot(0.7, rewind=rewind), **ALL)
    assert math.isclose(ticket.sparsity, 0.7, abs_tol=0.5 / ticket.total)
    then = start if rewind else fit.ended[0]
    mask = fit.masks[1]["0.weight"]
    assert torch.equal(fit.began[1]["0.weight"][mask], then["0.weight"][mask])


@pytest.mark.parametrize(
    ("criterion", "iterations"), [("snip", 1), ("synflow", 20), ("random", 1), ("taylor", 2)]
)
def test_one_shot_before_training(criterion, iterations):
    module, fit = net(width=16), Fit()
    ticket = find_ticket(
        module,
        fit,
        OneShot(0.8, when="init", iterations=iterations, rescale=True),
        criterion=criterion,
        loss=mse,
        example=X[:1],
        **ALL,
    )
    assert len(fit.began) == 1
    assert math.isclose(ticket.sparsity, 0.8, abs_tol=0.5 / ticket.total)
    ticket.rewind(module)  # to the pruned and rescaled network
    for name, value in plain_state(module).items():
        assert torch.equal(value, fit.began[0][name])


def test_gradual_pruning_is_cubic_and_stops_at_three_quarters():
    schedule = Gradual(0.8, every=1, steps=40)
    module, seen = net(width=16), []

    def fit(module):
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        for _ in range(40):
            optimizer.zero_grad()
            mse(module).backward()
            optimizer.step()
            seen.append(Masks(module).sparsity())

    ticket = find_ticket(module, fit, schedule, min_keep=0, **ALL)
    for step, sparsity in enumerate(seen, start=1):
        wanted = 0.8 * (1 - (1 - min(step / 30, 1)) ** 3)
        assert math.isclose(sparsity, wanted, abs_tol=0.51 / ticket.total)
    assert seen[29] == seen[-1] == ticket.sparsity


def test_gradual_pruning_must_know_the_steps():
    with pytest.raises(ValueError, match="needs steps"):
        find_ticket(net(), Fit(), Gradual(0.5), **ALL)
    with pytest.raises(ValueError, match="a round takes 4"):
        find_ticket(net(), Fit(4), Gradual(0.5, steps=100), **ALL)


def test_random_search_keeps_the_best_candidate():
    module, fit, losses = net(), Fit(), []

    def loss(module):
        losses.append(mse(module).item())
        return mse(module)

    find_ticket(module, fit, RandomSearch(12, 0.5), loss=loss, **ALL)
    assert len(losses) == 12
    module.load_state_dict(fit.began[0])
    assert mse(module).item() == min(losses)


def test_random_search_follows_its_seed():
    shas = [
        find_ticket(net(), Fit(), RandomSearch(3), loss=mse, seed=s, **ALL).sha for s in (0, 0, 1)
    ]
    assert shas[0] == shas[1] != shas[2]


def test_sign_flips_are_counted():
    module = net()

    def fit(module):
        with torch.no_grad():
            for p in module.parameters():
                p.neg_()

    ticket = find_ticket(module, fit, LRR(0.3, 2), **ALL)
    assert [e["sign_flips_init"] for e in ticket.history] == [1.0, 0.0, 1.0]
    assert [e.get("sign_flips_round") for e in ticket.history] == [None, 1.0, 1.0]


def test_pruning_starts_from_masks_already_worn():
    module = net()
    find_ticket(module, Fit(1), OneShot(0.5, when="init"), **ALL)
    ticket = find_ticket(module, Fit(1), LRR(0.5, 1), **ALL)
    assert math.isclose(ticket.sparsity, 0.75, abs_tol=1 / ticket.total)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LRR(0.0),
        lambda: LRR(1.0),
        lambda: IMP(rounds=0),
        lambda: IMP(rewind_step=-1),
        lambda: COLT(splits=1),
        lambda: COLT(sparsity=1.0),
        lambda: OneShot(1.0),
        lambda: OneShot(when="later"),
        lambda: OneShot(rescale=True),
        lambda: OneShot(when="init", rescale=-1.0),
        lambda: OneShot(iterations=0),
        lambda: Gradual(0.5, stop=0.0),
        lambda: Gradual(0.5, every=0),
        lambda: RandomSearch(0),
    ],
)
def test_senseless_schedules_are_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_schedules_say_what_they_are():
    assert repr(IMP(0.2, 5, 3)) == "IMP(rate=0.2, rounds=5, rewind_step=3, keep_statistics=False)"
    assert LRR(0.2, 5) == LRR(0.2, 5) != IMP(0.2, 5)
    assert LRR(0.2, 10).goal == 1 - 0.8**10
