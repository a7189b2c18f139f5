"""What supermasks promise: exact counts, frozen weights, honest gradients, seeded sampling."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from overparam.gate import gumbel_gate, straight_through, top_k_mask
from overparam.masks import Masks
from overparam.parametrization import effective, original
from overparam.subnetwork import anneal, budget_loss, edge_popup, freeze, gumbel, supermasks
from overparam.supermask import EdgePopup, GumbelMask
from overparam.testing import laws, transforms

from .zoo import FAMILIES

KINDS = {"edge_popup": edge_popup, "gumbel": gumbel}


def net(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def batch():
    return (torch.randn(8, 6, generator=torch.Generator().manual_seed(1)),)


# pure functions


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.integers(-3, 3), min_size=1, max_size=20), data=st.data()
)  # few values: many ties
def test_top_k_is_exact_and_takes_the_first_of_equals(values, data):
    count = data.draw(st.integers(0, len(values)))
    scores = torch.tensor(values, dtype=torch.float32)
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    expected = torch.zeros(len(values), dtype=torch.bool)
    expected[order[:count]] = True
    assert torch.equal(top_k_mask(scores, count), expected)


def test_top_k_refuses_impossible_counts():
    with pytest.raises(ValueError, match=r"count must be in \[0, 4\], got 5"):
        top_k_mask(torch.zeros(2, 2), 5)


def test_straight_through_is_exactly_hard_with_soft_derivatives():
    soft = torch.rand(1000).mul_(1e3).requires_grad_()
    hard = (soft.detach() > 500).float()
    y = straight_through(hard, soft.square())
    assert torch.equal(y, hard)
    y.sum().backward()
    assert torch.equal(soft.grad, 2 * soft.detach())


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_gates_open_with_the_probability_of_their_logit(temperature):
    logits = torch.linspace(-3, 3, 7).repeat(20_000, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gates = gumbel_gate(logits, temperature)
    assert set(gates.unique().tolist()) == {0.0, 1.0}
    # four standard errors of 20 000 coins, at any temperature
    assert (gates.mean(0) - torch.sigmoid(logits[0])).abs().max() < 4 * 0.5 / math.sqrt(20_000)


def test_gate_gradient_is_that_of_the_relaxed_gate():
    noise = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    logits = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    gumbel_gate(logits, 0.5, noise).sum().backward()
    soft = torch.sigmoid((logits.detach() + torch.logit(noise)) / 0.5)
    torch.testing.assert_close(logits.grad, soft * (1 - soft) / 0.5)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_gates_survive_the_ends_of_the_noise(edge):
    logits = torch.zeros(3, requires_grad=True)
    gumbel_gate(logits, 0.1, torch.full((3,), edge)).sum().backward()
    assert logits.grad.isfinite().all()


# edge-popup


@pytest.mark.parametrize("keep", [0.01, 0.3, 0.5, 1.0])
def test_edge_popup_keeps_exactly_the_share(keep):
    module = net()
    edge_popup(module, keep)
    for name in ("0.weight", "2.weight"):
        weight = effective(module, name)
        assert int(weight.ne(0).sum()) == max(1, round(keep * weight.numel()))


def test_edge_popup_weights_are_scaled_signed_constants():
    module, before = net(), net()
    edge_popup(module, 0.5)
    for name, fan_in in (("0.weight", 6), ("2.weight", 16)):
        weight = original(module, name)
        size = math.sqrt(2 / fan_in) / math.sqrt(0.5)
        torch.testing.assert_close(weight.abs(), torch.full_like(weight, size))
        assert torch.equal(weight.sign(), original(before, name).sign())
        scores = supermasks(module)[name].scores
        assert scores.abs().max() <= 1 / math.sqrt(fan_in)


def test_edge_popup_gradient_is_the_weight_times_the_gradient_of_what_it_shows():
    """Straight through ``m = |s|``: dL/ds = dL/d(w m) * w * sign(s), pruned scores included."""
    module = nn.Linear(5, 4, bias=False).double()
    (scores,) = edge_popup(module, 0.5)
    x = torch.randn(7, 5, dtype=torch.float64)
    y = module(x)
    (slope,) = torch.autograd.grad(y.square().sum(), scores)
    upstream = (2 * y).T.detach() @ x
    torch.testing.assert_close(slope, upstream * original(module, "weight") * scores.sign())


def test_rms_constants_keep_the_scale_of_any_initialisation():
    module, before = net(), net()
    edge_popup(module, 0.25, weights="rms")
    rms = float(original(before, "0.weight").detach().square().mean().sqrt())
    shown = effective(module, "0.weight")
    assert float(shown.detach().square().mean().sqrt()) == pytest.approx(rms, rel=1e-5)
    kept = net()
    edge_popup(kept, 0.25, weights="keep")
    assert torch.equal(original(kept, "0.weight"), original(before, "0.weight"))


# Gumbel


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.5, 0.8, 1.0])
def test_sampled_density_starts_at_the_target(density):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mask = GumbelMask((400, 500), density)
        sampled = float(mask(torch.ones(400, 500)).ne(0).float().mean())
    assert sampled == pytest.approx(density, abs=0.005)
    assert float(mask.density().detach()) == pytest.approx(density, abs=0.005)


def test_gumbel_follows_the_global_seed_in_training_only():
    module = net()
    gumbel(module, 0.5)
    x = batch()[0]

    def run(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return module(x)

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    module.eval()
    assert torch.equal(run(1), run(2))
    for name, mask in supermasks(module).items():
        assert torch.equal(effective(module, name).ne(0), mask.scores > 0)


def test_budget_loss_pulls_the_density_to_its_target():
    module = net()
    parameters = gumbel(module, 0.5)
    for mask in supermasks(module).values():
        mask.keep = 0.2
    optimizer = torch.optim.Adam(parameters, lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        budget_loss(module).backward()
        optimizer.step()
    assert budget_loss(module).detach().sqrt() < 0.01


def test_annealing_is_geometric_and_clamped():
    module = net()
    gumbel(module)
    assert anneal(module, 0.5) == pytest.approx(math.sqrt(0.1))
    assert anneal(module, 7.0) == pytest.approx(0.1)
    for mask in supermasks(module).values():
        assert float(mask.tau) == pytest.approx(0.1)


# both


@pytest.mark.parametrize("kind", KINDS)
def test_only_scores_train_and_weights_never_move(kind):
    module = net()
    parameters = KINDS[kind](module)
    assert {id(p) for p in module.parameters() if p.requires_grad} == set(map(id, parameters))
    assert sum(p.numel() for p in parameters) - 144 in (0, 2)  # scores, two factors for Gumbel
    weights = {n: original(module, n).clone() for n in ("0.weight", "2.weight", "0.bias")}
    scores = [p.clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        module(*batch()).square().mean().backward()
        optimizer.step()
    assert all(torch.equal(original(module, n), w) for n, w in weights.items())
    assert all(not torch.equal(p, s) for p, s in zip(parameters, scores, strict=True))


LAWS = {
    "deepcopy": laws.assert_deepcopies,
    "resume": laws.assert_resumes,
    "compile": transforms.assert_compiles,
    "export": transforms.assert_exports,
    "script": transforms.assert_scripts,
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", KINDS)
def test_supermasks_obey_the_mask_laws(kind, law):
    module = net()
    KINDS[kind](module)
    # sampling differs between a compiled and an eager call; all else is tested as it trains
    LAWS[law](module if law in ("deepcopy", "resume") else module.eval(), batch())


@pytest.mark.parametrize("kind", KINDS)
def test_supermasks_stack_under_vmap(kind):
    members = [net(seed) for seed in range(3)]
    for member in members:
        KINDS[kind](member)
        member.eval()
    parameters, buffers = stack_module_state(members)
    x = batch()
    y = vmap(lambda p, b: functional_call(members[0], (p, b), x))(parameters, buffers)
    torch.testing.assert_close(y, torch.stack([member(*x) for member in members]))


def test_sampling_members_of_a_population_differ():
    members = [net() for _ in range(3)]
    for member in members:
        gumbel(member, generator=torch.Generator().manual_seed(0))
    parameters, buffers = stack_module_state(members)
    run = vmap(lambda p, b: functional_call(members[0], (p, b), batch()), randomness="different")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        y = run(parameters, buffers)
    assert not torch.equal(y[0], y[1])


@pytest.mark.parametrize("kind", KINDS)
def test_freezing_keeps_the_evaluated_outputs(kind):
    module = net()
    parameters = KINDS[kind](module)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.1 * torch.randn_like(parameter))
    module.eval()
    before = module(*batch())
    chosen = {name: mask.hard() for name, mask in supermasks(module).items()}
    assert freeze(module) == ["0.weight", "2.weight"]
    torch.testing.assert_close(module(*batch()), before)
    assert not supermasks(module)
    for name, mask in Masks(module).items():
        assert torch.equal(mask, chosen[name])
    module.requires_grad_(True)
    laws.assert_decays(module, batch())


@pytest.mark.parametrize("kind", KINDS)
def test_plain_weights_load_under_supermasks(kind):
    module, other = net(), net(seed=3)
    KINDS[kind](module)
    scores = [m.scores.clone() for m in supermasks(module).values()]
    module.load_state_dict(other.state_dict())
    assert torch.equal(original(module, "0.weight"), other[0].weight)
    for mask, before in zip(supermasks(module).values(), scores, strict=True):
        assert torch.equal(mask.scores, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_a_subnetwork(kind, family):
    module = FAMILIES[family].plain()
    inputs = FAMILIES[family].inputs()
    parameters = KINDS[kind](module, 0.5, names=FAMILIES[family].names, weights="rms")
    copy.deepcopy(module)(*inputs).square().mean().backward()
    module(*inputs).square().mean().backward()
    slopes = [p.grad for p in parameters if p.dim()]
    assert all(g is not None and g.isfinite().all() and g.abs().sum() > 0 for g in slopes)


def test_a_tied_weight_has_one_supermask():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    assert len(edge_popup(module)) == 1
    assert list(supermasks(module)) == ["0.weight"]
    assert torch.equal(module[0].weight, module[1].weight)
    assert freeze(module) == ["0.weight"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_decides_the_scores(kind):
    first, second = net(), net()
    for module in (first, second):
        KINDS[kind](module, generator=torch.Generator().manual_seed(5))
    laws.assert_same_state(first, second)


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda: edge_popup(net(), 0.0), r"\(0, 1\], got 0.0"),
        (lambda: gumbel(net(), 1.5), r"\(0, 1\], got 1.5"),
        (lambda: edge_popup(net(), weights="zeros"), "among kaiming, rms, keep, got 'zeros'"),
        (lambda: edge_popup(net(), names=["nowhere"]), "got nowhere"),
        (lambda: edge_popup(nn.ReLU()), "must have a weight"),
        (lambda: edge_popup(FAMILIES["e3nn_product"].plain()), "must be 'rms'"),
        (lambda: edge_popup(FAMILIES["e3nn_radial"].plain()), "must be 'rms'"),
        (lambda: gumbel(net(), temperature=0.0), "temperature must be positive, got 0.0"),
        (lambda: gumbel(net(), spread=-1.0), "spread must be at least 0, got -1.0"),
        (lambda: anneal(net(), 0.5), "must have a GumbelMask"),
        (lambda: budget_loss(net()), "must have a GumbelMask"),
        (lambda: anneal(net(), 0.5, end=0.0), "must be positive"),
        (lambda: EdgePopup((0, 3)), "at least 1"),
        (lambda: EdgePopup((2, 3), fan_in=0), "fan_in must be at least 1"),
    ],
)
def test_nonsense_is_refused(act, match):
    with pytest.raises(ValueError, match=match):
        act()


def test_a_refused_call_changes_nothing():
    module = FAMILIES["e3nn_radial"].plain()
    with pytest.raises(ValueError, match="rms"):
        edge_popup(module, names=["radial.layer0.weight"])
    assert all(p.requires_grad for p in module.parameters())
    assert not supermasks(module)
