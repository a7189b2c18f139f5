"""What scores and one pruning step promise, whatever the network."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam import Masks, original, prunable, score
from overparam.criteria import CRITERIA
from overparam.mask import make_mask
from overparam.pruning import choose, clear_pruned, gains, prune, rescale

NONE = ()


def mlp(widths, act=nn.ReLU, seed=0):
    torch.manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers[:-1])


def loss_on(x, y):
    return lambda module: nn.functional.mse_loss(module(x), y)


def masked(module, protect=NONE, granularity="weight", **kwargs):
    specs = {n: s for n, s in prunable(module, protect).items() if s.kind != "vector"}
    Masks(module).install(list(specs.values()), granularity, **kwargs)
    return specs


def batch(d_in, d_out, n=16):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, d_in, generator=generator), torch.randn(n, d_out, generator=generator)


# scores


def test_magnitude_is_the_size():
    module = mlp([3, 5, 2])
    found = score(module, prunable(module))
    assert all(torch.equal(found[n], original(module, n).abs()) for n in found)


def test_sensitivity_is_the_slope_of_a_gate_on_every_weight():
    module = mlp([3, 5, 2]).double()
    x, y = (t.double() for t in batch(3, 2))
    specs = prunable(module)
    found = score(module, specs, "taylor", loss=loss_on(x, y))
    name, at, step = "0.weight", (2, 1), 1e-6
    values = []
    for sign in (1, -1):
        gated = copy.deepcopy(module)
        with torch.no_grad():
            original(gated, name)[at] *= 1 + sign * step
        values.append(loss_on(x, y)(gated).item())
    assert math.isclose(found[name][at].item(), (values[0] - values[1]) / (2 * step), rel_tol=1e-5)
    snip = score(module, specs, "snip", loss=loss_on(x, y))
    assert all(torch.equal(snip[n], found[n].abs()) for n in found)


def test_sensitivity_leaves_gradients_and_pruned_entries_alone():
    module = mlp([3, 5, 2])
    specs = masked(module)
    prune(module, specs, 0.5, clear=False)
    found = score(module, specs, "snip", loss=loss_on(*batch(3, 2)))
    for name in specs:
        assert not found[name][~Masks(module)[name]].any()
        assert original(module, name).grad is None


class SineNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in ((3, 7), (7, 6), (6, 2)))
        self.norm = nn.LayerNorm(7)

    def forward(self, x):
        x = torch.sin(30 * self.norm(self.layers[0](x)))
        return self.layers[2](nn.functional.gelu(self.layers[1](x)))


@pytest.mark.parametrize("density", [1.0, 0.3])
@pytest.mark.parametrize("build", [SineNet, lambda: mlp([3, 9, 8, 7, 2])])
def test_synaptic_flow_is_conserved(build, density):
    module = build()
    specs = masked(module)
    prune(module, specs, density, criterion="synflow", example=torch.randn(4, 3))
    found = score(module, specs, "synflow", example=torch.randn(4, 3))
    assert all(value.min() >= 0 for value in found.values())
    for name, value in found.items():
        torch.testing.assert_close(value.sum().item(), 1.0, rtol=1e-9, atol=0.0)
        assert not value[~Masks(module)[name]].any()


def test_synaptic_flow_is_conserved_at_every_hidden_unit():
    module = mlp([3, 9, 8, 2])
    found = score(module, prunable(module), "synflow", example=torch.randn(1, 3))
    for name, after in (("0.weight", "2.weight"), ("2.weight", "4.weight")):
        torch.testing.assert_close(found[name].sum(1), found[after].sum(0))


def test_synaptic_flow_of_a_hundred_wide_layers_neither_vanishes_nor_overflows():
    module = mlp([64] * 101)
    found = score(module, prunable(module), "synflow", example=torch.randn(1, 64))
    sums = torch.stack([v.sum() for n, v in found.items() if n.endswith("weight") and v.ndim == 2])
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-6, atol=0.0)


def attention():
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(2, 5, 8)


def recurrent():
    return nn.GRU(3, 6, num_layers=2, bidirectional=True, batch_first=True), torch.randn(2, 5, 3)


def lstm():
    return nn.LSTM(3, 6), torch.randn(5, 2, 3)


def conv():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    return net, torch.randn(2, 1, 8, 8)


@pytest.mark.parametrize("build", [attention, recurrent, lstm, conv])
def test_flow_reaches_every_weight_of_the_layer_families(build):
    module, example = build()
    specs = masked(module)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    found = score(module, specs, "synflow", example=example)
    assert all(value.min() >= 0 and value.any() for value in found.values())
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    out = module(example)  # the linear stand-ins are gone again
    assert (out[0] if isinstance(out, tuple) else out).isfinite().all()


def test_flow_through_graph_attention():
    from tests.overparam.zoo import Graph

    module = Graph("gat")
    specs = masked(module)
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    found = score(module, specs, "synflow", example=(torch.randn(4, 4), edges))
    assert all(value.min() >= 0 and value.any() for value in found.values())


def test_synflow_refuses_signed_couplings_and_what_it_cannot_see_through():
    from e3nn import o3

    module = o3.Linear("2x0e+2x1o", "2x0e+2x1o")
    with pytest.raises(ValueError, match="Clebsch-Gordan"):
        score(module, prunable(module, NONE), "synflow", example=torch.randn(2, 8))

    class Dead(nn.Linear):
        def forward(self, x):
            return torch.zeros_like(super().forward(x))

    with pytest.raises(ValueError, match="finite positive flow"):
        score(nn.Sequential(Dead(2, 2)), {}, "synflow", example=torch.randn(1, 2))


def test_random_scores_follow_their_generator():
    module = mlp([3, 5, 2])
    draws = [
        score(module, prunable(module), "random", generator=torch.Generator().manual_seed(s))
        for s in (0, 0, 1)
    ]
    assert torch.equal(draws[0]["0.weight"], draws[1]["0.weight"])
    assert not torch.equal(draws[0]["0.weight"], draws[2]["0.weight"])


def test_half_precision_is_scored_in_float32():
    module = mlp([3, 5, 2]).to(torch.bfloat16)
    assert all(v.dtype == torch.float32 for v in score(module, prunable(module)).values())


def test_nonsense_is_refused():
    module = mlp([3, 5, 2])
    specs = prunable(module)
    with pytest.raises(ValueError, match="criterion must be among"):
        score(module, specs, "wish")
    for criterion in ("snip", "taylor"):
        with pytest.raises(ValueError, match="needs loss"):
            score(module, specs, criterion)
    with pytest.raises(ValueError, match="needs an example"):
        score(module, specs, "synflow")
    with torch.no_grad():
        module[0].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"0\.weight must be finite"):
        score(module, specs)
    module[2].weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"2\.weight must require gradients"):
        score(module, specs, "snip", loss=loss_on(*batch(3, 2)))


# choosing


@settings(deadline=None, max_examples=30)
@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    density=st.floats(0, 1),
    levels=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_the_budget_is_met_exactly_even_among_ties(widths, density, levels, seed):
    module = mlp(widths, seed=seed)
    with torch.no_grad():  # few distinct values: most entries tie
        for p in module.parameters():
            p.copy_((p.abs() * 5).floor().clamp(max=levels))
    twin = copy.deepcopy(module)
    specs = masked(module)
    total = sum(s.numel for s in specs.values())
    prune(module, specs, density, min_keep=0)
    kept = {n: Masks(module)[n] for n in specs}
    assert sum(int(m.sum()) for m in kept.values()) == round(density * total)
    alive = [original(twin, n).abs()[m] for n, m in kept.items()]
    dead = [original(twin, n).abs()[~m] for n, m in kept.items()]
    if sum(map(len, dead)) and sum(map(len, alive)):
        assert torch.cat(alive).min() >= torch.cat(dead).max()
    masked(twin)
    prune(twin, specs, density, min_keep=0)
    assert Masks(twin).sha() == Masks(module).sha()


def test_ties_go_to_the_earlier_entry():
    module = nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(2, 4, bias=False))
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(1.0)
    specs = masked(module)
    prune(module, specs, 10 / 16, min_keep=0)
    kept = torch.cat([Masks(module)[n].flatten() for n in specs])
    assert torch.equal(kept, torch.arange(16) < 10)


@settings(deadline=None, max_examples=25)
@given(
    widths=st.lists(st.integers(1, 12), min_size=2, max_size=6),
    sparsity=st.floats(0.5, 1.0),
    min_keep=st.integers(1, 3),
    criterion=st.sampled_from(CRITERIA),
    scope=st.sampled_from(["global", "layer"]),
)
def test_no_layer_collapses(widths, sparsity, min_keep, criterion, scope):
    module = mlp(widths)
    specs = masked(module)
    prune(
        module,
        specs,
        1 - sparsity,
        criterion=criterion,
        scope=scope,
        min_keep=min_keep,
        loss=loss_on(*batch(widths[0], widths[-1])),
        example=torch.randn(1, widths[0]),
    )
    for name, spec in specs.items():
        assert int(Masks(module)[name].sum()) >= min(min_keep, spec.numel)


@settings(deadline=None, max_examples=25)
@given(widths=st.lists(st.integers(1, 9), min_size=2, max_size=4), scale=st.floats(1e-6, 1e6))
def test_lamp_is_its_definition_and_knows_no_scale(widths, scale):
    module = mlp(widths)
    specs = prunable(module)
    found = score(module, specs, "lamp")
    for name in specs:
        square = module.get_parameter(name).detach().double().square().flatten()
        slow = torch.stack([s / square[square >= s].sum() for s in square])
        torch.testing.assert_close(found[name].flatten(), slow.float(), rtol=1e-4, atol=1e-7)
        assert found[name].max() == 1
    with torch.no_grad():
        module[0].weight.mul_(scale)
    again = score(module, specs, "lamp")
    for name in specs:
        torch.testing.assert_close(again[name], found[name], rtol=1e-3, atol=1e-7)


def test_without_the_guard_snip_does_collapse():
    module = mlp([16, 64, 64, 64, 4])
    with torch.no_grad():
        module[2].weight.mul_(1e-3)
    specs = masked(module)
    prune(module, specs, 0.01, criterion="magnitude", min_keep=0)
    assert not Masks(module)["2.weight"].any()


@pytest.mark.parametrize("granularity", ["weight", "neuron"])
def test_every_gate_and_every_projection_survives(granularity):
    for module, parts in ((nn.MultiheadAttention(8, 2), 3), (nn.LSTM(3, 8), 4), (nn.GRU(3, 8), 3)):
        name = next(n for n, s in prunable(module, NONE).items() if s.parts == parts)
        with torch.no_grad():  # one part is worth nothing
            original(module, name)[: len(original(module, name)) // parts] *= 1e-6
        specs = masked(module, granularity=granularity)
        prune(module, specs, 0.01, min_keep=2)
        per_part = Masks(module)[name].reshape(parts, -1).sum(1)
        assert per_part.min() >= 2


@settings(deadline=None, max_examples=20)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    density=st.floats(0.05, 0.95),
    granularity=st.sampled_from(["neuron", "block"]),
)
def test_groups_live_and_die_together_and_are_never_overpruned(shape, density, granularity):
    module = nn.Sequential(nn.Linear(shape[1], shape[0]))
    specs = masked(module, granularity=granularity, block=3)
    prune(module, specs, density, min_keep=0)
    mask = Masks(module).module_of("0.weight")
    kept, wanted = int(mask.mask.sum()), round(density * mask.mask.numel())
    assert wanted <= kept < wanted + int(mask.group_sizes.max())
    pooled = mask.pool(mask.mask.float())
    assert all(p in (0, s) for p, s in zip(pooled.tolist(), mask.group_sizes.tolist(), strict=True))


def test_taylor_pools_before_it_takes_the_size():
    module = nn.Linear(2, 2, bias=False)
    specs = masked(module, granularity="neuron")
    mask = Masks(module).module_of("weight")
    terms = torch.tensor([[5.0, -5.0], [1.0, 1.0]])  # the first row cancels
    scores = {"weight": mask.pool(terms).abs() / mask.group_sizes}
    choose({"weight": mask}, scores, specs, keep=2)
    assert mask.bits.tolist() == [False, True]


def test_tensor_product_paths_are_pruned_whole():
    from e3nn import o3

    module = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1x0e+1x1o", "4x0e+2x1o")
    specs = masked(module, granularity="path")
    prune(module, specs, 0.4, min_keep=1)
    mask = Masks(module).module_of("weight")
    sizes = specs["weight"].paths
    assert 0 < int(mask.bits.sum()) < len(sizes)
    assert int(mask.mask.sum()) == sum(s for s, b in zip(sizes, mask.bits, strict=True) if b)


@settings(deadline=None, max_examples=15)
@given(
    densities=st.lists(st.floats(0, 1), min_size=2, max_size=5),
    criterion=st.sampled_from(CRITERIA),
)
def test_what_is_pruned_stays_pruned(densities, criterion):
    module = mlp([4, 8, 3])
    specs = masked(module)
    for density in densities:
        before = Masks(module).as_dict()
        prune(
            module,
            specs,
            density,
            criterion=criterion,
            loss=loss_on(*batch(4, 3)),
            example=torch.randn(1, 4),
        )
        assert not any((Masks(module)[n] & ~before[n]).any() for n in specs)


def test_clearing_changes_no_output():
    module = mlp([4, 8, 3])
    specs = masked(module)
    prune(module, specs, 0.3, clear=False)
    x = torch.randn(5, 4)
    before = module(x)
    assert any(original(module, n)[~Masks(module)[n]].any() for n in specs)
    clear_pruned(module)
    assert torch.equal(module(x), before)
    assert not any(original(module, n)[~Masks(module)[n]].any() for n in specs)


@pytest.mark.parametrize(
    "bad", [{"density": 1.5}, {"density": -0.1}, {"scope": "town"}, {"min_keep": -1}]
)
def test_senseless_pruning_is_refused(bad):
    module = mlp([3, 4, 2])
    with pytest.raises(ValueError, match="must be"):
        prune(module, masked(module), **({"density": 0.5} | bad))


# rescaling


@settings(deadline=None, max_examples=15)
@given(density=st.floats(0.05, 0.9), target=st.one_of(st.none(), st.floats(0.5, 4.0)))
def test_rescaled_layers_have_the_wanted_gain(density, target):
    module = mlp([32, 64, 64, 8])
    specs = masked(module)
    goal = gains(module, specs)
    prune(module, specs, density, criterion="random")
    before = {n: original(module, n).detach().clone() for n in specs}
    factors = rescale(module, specs, goal if target is None else target)
    for name, now in gains(module, specs).items():
        assert math.isclose(now, goal[name] if target is None else target, rel_tol=1e-5)
        torch.testing.assert_close(original(module, name), before[name] * factors[name])


def test_a_pruned_siren_keeps_the_variance_of_its_arguments():
    from fields import Siren

    torch.manual_seed(0)
    field = Siren(2, 1, width=512, depth=4)
    x = torch.rand(2048, 2) * 2 - 1

    @torch.no_grad()
    def spread(rescaled):
        net = copy.deepcopy(field)
        specs = {n: s for n, s in prunable(net).items() if s.protected is None}
        Masks(net).install(list(specs.values()))
        before = gains(net, specs)
        prune(net, specs, 0.1, criterion="random")
        if rescaled:
            rescale(net, specs, before)
        h = net.hidden[0](x)
        layer = net.hidden[1]
        return (layer.omega * h @ layer.affine.weight.T).std().item()

    with torch.no_grad():
        layer = field.hidden[1]
        dense = (layer.omega * field.hidden[0](x) @ layer.affine.weight.T).std().item()
    assert math.isclose(spread(True), dense, rel_tol=0.05)
    assert math.isclose(spread(False), dense / math.sqrt(10), rel_tol=0.1)


def test_a_gain_must_be_positive():
    module = mlp([3, 4, 2])
    with pytest.raises(ValueError, match="positive"):
        rescale(module, masked(module), 0.0)


# depth 30


def digits():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    parts = train_test_split(
        data.data / 16, data.target, test_size=0.2, stratify=data.target, random_state=0
    )
    x, x_test = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    y, y_test = (torch.tensor(p) for p in parts[2:])
    return x, y, x_test, y_test


def deep_net_on_digits(rescaled, epochs):
    """Test accuracy of 30 tanh layers, 95 % pruned by SNIP at the edge of chaos (gain 1)."""
    x, y, x_test, y_test = digits()
    module = mlp([64, *[100] * 29, 10], nn.Tanh)
    for layer in module:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
    specs = masked(module)
    some = slice(500)
    prune(
        module,
        specs,
        0.05,
        criterion="snip",
        loss=lambda m: nn.functional.cross_entropy(m(x[some]), y[some]),
    )
    if rescaled:
        rescale(module, specs, 1.0)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return (module(x_test).argmax(1) == y_test).float().mean().item()


@pytest.mark.slow
def test_rescaling_lets_thirty_pruned_layers_train():
    assert deep_net_on_digits(True, 25) > 0.85
    assert deep_net_on_digits(False, 25) < 0.3


def test_mask_kinds_are_made_for_every_granularity():
    module = mlp([4, 4])
    spec = prunable(module, NONE)["0.weight"]
    assert {make_mask(spec, g).granularity for g in ("weight", "neuron", "block")} == {
        "weight", "neuron", "block",
    }  # fmt: skip
