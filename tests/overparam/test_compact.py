"""Compacting never changes a function; slicing keeps the law of a fresh one."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam.compact import compact, dead_units, shrink
from overparam.compact_e3nn import shrink_o3_linear, shrink_tp, shrink_weighted_tp
from overparam.compact_mlp import slice_chain
from overparam.masks import Masks, prunable
from overparam.slicing import siren_fan_in_rescale, slice_neurons

e3nn_o3 = pytest.importorskip("e3nn.o3")

ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "prelu": lambda: nn.PReLU(init=0.3),
}


class Sine(nn.Module):
    """An activation the package has never heard of."""

    def forward(self, x):
        return torch.sin(7.0 * x + 0.3)


ACTIVATIONS["sine"] = Sine


class Layer(nn.Module):
    """A layer of a field: the affine map, then more than the activation alone."""

    def __init__(self, d_in, d_out, omega=30.0):
        super().__init__()
        self.affine = nn.Linear(d_in, d_out)
        self.omega = omega
        bound = math.sqrt(6 / d_in) / omega
        nn.init.uniform_(self.affine.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.affine(x))


class Field(nn.Module):
    def __init__(self, width=16, depth=3, out=2):
        super().__init__()
        self.width = width
        sizes = [2] + [width] * depth
        self.hidden = nn.Sequential(*(Layer(a, b) for a, b in itertools.pairwise(sizes)))
        self.readout = nn.Linear(width, out)

    def forward(self, x):
        return self.readout(self.hidden(x))


def mlp(sizes, activation="tanh", dtype=torch.float64):
    parts = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), ACTIVATIONS[activation]()]
    return nn.Sequential(*parts[:-1]).to(dtype)


def mask_at_random(module, density, seed=0, granularity="weight", protect=()):
    generator = torch.Generator().manual_seed(seed)
    masks = Masks(module)
    specs = prunable(module, protect=("norm", "bias", *protect))
    masks.install([s for s in specs.values() if s.protected is None], granularity=granularity)
    for name in masks:
        one = masks.module_of(name)
        one.set_bits(torch.rand(one.groups, generator=generator) < density)
    return module


def numel(module):
    return sum(p.numel() for p in module.parameters())


@settings(deadline=None, max_examples=40)
@given(
    widths=st.lists(st.integers(1, 9), min_size=3, max_size=5),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    density=st.sampled_from([0.0, 0.1, 0.3, 0.6, 1.0]),
    seed=st.integers(0, 9),
)
def test_any_masked_chain_keeps_its_function(widths, activation, density, seed):
    torch.manual_seed(seed)
    net = mask_at_random(mlp(widths, activation), density, seed)
    x = torch.randn(7, widths[0], dtype=torch.float64)
    small = compact(net, x)
    torch.testing.assert_close(small(x), net(x), rtol=1e-10, atol=1e-12)
    assert numel(small) <= numel(net)
    assert not any(dead_units(small).values())


@settings(deadline=None, max_examples=15)
@given(density=st.sampled_from([0.02, 0.1, 0.5]), seed=st.integers(0, 5))
def test_fields_keep_their_function_and_note_their_widths(density, seed):
    torch.manual_seed(seed)
    net = mask_at_random(Field(), density, seed, protect=("first", "last"))
    x = torch.rand(9, 2) * 2 - 1
    small = compact(net, x)
    torch.testing.assert_close(small(x), net(x), rtol=1e-5, atol=1e-5)
    widths = [layer.affine.out_features for layer in small.hidden]
    assert small.width == (widths[0] if len(set(widths)) == 1 else widths)
    assert numel(small) <= numel(net)


def test_the_original_is_untouched_and_flags_survive():
    net = mask_at_random(mlp([3, 8, 8, 2], dtype=torch.float32), 0.2).train()
    net[2].weight_frozen = True
    net[0].parametrizations.weight.original.requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    small = compact(net, torch.randn(4, 3))
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert small.training and all(part.training for part in small.modules())
    assert not small[0].weight.requires_grad and small[2].weight.requires_grad
    assert small[0].weight.dtype == torch.float32
    assert net[0].out_features == 8


def test_a_dead_unit_goes_and_a_constant_is_folded():
    net = mlp([2, 4, 3], "tanh")
    with torch.no_grad():
        net[2].weight[:, 0] = 0  # nobody reads unit 0
        net[0].weight[1] = 0  # unit 1 reads nothing
    x = torch.randn(5, 2, dtype=torch.float64)
    small = compact(net, x)
    assert small[0].weight.shape == (2, 2) and small[2].weight.shape == (3, 2)
    expected = net[2].bias + net[2].weight[:, 1] * torch.tanh(net[0].bias[1])
    torch.testing.assert_close(small[2].bias, expected)


def test_folding_goes_on_until_nothing_changes():
    net = mlp([2, 3, 3, 3, 1], "sine")
    with torch.no_grad():
        net[6].weight[0, 1:] = 0  # two units of the last layer die, and with them what they read
        net[4].weight[0, 1:] = 0
        net[2].weight[0, 1:] = 0
    small = compact(net, torch.randn(5, 2, dtype=torch.float64))
    assert [part.weight.shape[0] for part in small if isinstance(part, nn.Linear)] == [1, 1, 1, 1]
    assert dead_units(net) == {"0": 2, "2": 2, "4": 2}


def test_layers_without_bias_get_one_when_a_constant_needs_it():
    net = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1, bias=False)).double()
    with torch.no_grad():
        net[0].weight[0] = 0
    small = compact(net, torch.randn(5, 2, dtype=torch.float64))
    assert small[2].bias is not None and small[0].out_features == 2


def test_batch_norm_prelu_dropout_and_nesting_are_sliced_along():
    net = nn.Sequential(
        nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.PReLU(6)),
        nn.Dropout(0.5),
        nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.GELU(), nn.Linear(5, 2))),
    )
    net(torch.randn(20, 3))  # running statistics
    mask_at_random(net, 0.25, seed=3)
    x = torch.randn(4, 3)
    small = compact(net.eval(), x)
    assert small[0][1].num_features == small[0][2].num_parameters == small[0][0].out_features < 6
    torch.testing.assert_close(small(x), net(x))


def test_tied_layers_and_layers_that_mix_units_stay():
    shared = nn.Linear(4, 4)
    tied = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), nn.Linear(4, 1))
    mixed = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 1))
    strange = nn.Sequential(nn.Linear(4, 6), nn.Softmax(-1), nn.Linear(6, 1))
    with torch.no_grad():
        shared.weight[:, 0] = 0
        mixed[2].weight[:, 0] = 0
        strange[2].weight[:, 0] = 0
    for net in (tied, mixed, strange):
        assert numel(compact(net, torch.randn(3, 4))) == numel(net)


def test_a_module_may_shrink_itself_and_slice_chain_helps():
    class Skip(nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x):
            return x + self.second(torch.sin(self.first(x)))

        def compacted(self):
            return Skip(*slice_chain([self.first, self.second], [torch.sin]))

    net = nn.Sequential(
        Skip(nn.Linear(3, 9), nn.Linear(9, 3)), Skip(nn.Linear(3, 9), nn.Linear(9, 3))
    )
    mask_at_random(net, 0.1)
    small = compact(net.eval(), torch.randn(5, 3))
    assert numel(small) < numel(net) and not small[0].training
    with pytest.raises(ValueError, match="after must have 1"):
        slice_chain([nn.Linear(2, 2), nn.Linear(2, 2)], [])


def test_a_module_that_looks_inside_is_reported_not_broken_silently():
    class Peeks(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

        def forward(self, x):
            return self.net(x) + self.net[:2](x).sum(-1, keepdim=True)

    net = Peeks()
    with torch.no_grad():
        net.net[2].weight[0, 1] = 0
    with pytest.raises(RuntimeError, match="compact must not change outputs"):
        compact(net, torch.randn(5, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_kept(dtype):
    net = mask_at_random(mlp([3, 16, 16, 2], dtype=dtype), 0.1)
    small = compact(net, torch.randn(4, 3, dtype=dtype))
    assert {p.dtype for p in small.parameters()} == {dtype} and numel(small) < numel(net)


# Slicing and the SIREN law ------------------------------------------------------------------


def preactivation_std(net, x, layer):
    with torch.no_grad():
        for part in net.hidden[:layer]:
            x = part(x)
        return (net.hidden[layer].omega * x @ net.hidden[layer].affine.weight.T).std().item()


def test_masking_a_siren_with_rescale_keeps_the_spread_and_without_loses_sqrt_ten():
    torch.manual_seed(0)
    dense = Field(width=512, depth=4)
    x = torch.rand(2048, 2) * 2 - 1
    masked = copy.deepcopy(dense)
    Masks(masked).install(["hidden.3.affine.weight"])
    generator = torch.Generator().manual_seed(1)
    Masks(masked)["hidden.3.affine.weight"].copy_(torch.rand(512, 512, generator=generator) < 0.1)
    reference = preactivation_std(dense, x, 3)
    assert math.isclose(preactivation_std(masked, x, 3), reference / math.sqrt(10), rel_tol=0.05)
    siren_fan_in_rescale(masked)
    assert math.isclose(preactivation_std(masked, x, 3), reference, rel_tol=0.05)


# The strongest units are a little stronger than the average one, so the norm gets more room.
@pytest.mark.parametrize(("score", "tolerance"), [("norm", 0.1), ("random", 0.05)])
def test_slicing_a_fresh_siren_with_rescale_keeps_its_law(score, tolerance):
    torch.manual_seed(0)
    x = torch.rand(1024, 2) * 2 - 1
    generator = torch.Generator().manual_seed(1)
    ratios = []
    for _ in range(6):  # few units, each with its own frequency: one draw scatters by 5 %
        dense = Field(width=384, depth=4)
        small = slice_neurons(dense, 0.25, score=score, rescale=True, generator=generator)
        assert small.hidden[3].affine.weight.shape == (96, 96) and small.width == 96
        spread = [
            preactivation_std(small, x, k) / preactivation_std(dense, x, k) for k in (1, 2, 3)
        ]
        ratios.append(spread)
    assert torch.tensor(ratios).mean(0).sub(1).abs().max() < tolerance
    plain = slice_neurons(dense, 0.25, score=score, generator=generator)
    assert preactivation_std(plain, x, 1) < 0.6 * preactivation_std(dense, x, 1)


def test_slicing_keeps_the_strongest_units_in_order():
    net = mlp([2, 4, 1], "relu")
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0], [9, 0], [2, 0], [3, 0]]))
        net[2].weight.copy_(torch.tensor([[1.0, 1, 9, 2]]))  # 1, 9, 18, 6
    small = slice_neurons(net, 2)
    assert small[0].weight[:, 0].tolist() == [9, 2]
    assert [slice_neurons(net, k)[0].out_features for k in (0.5, 3, [4])] == [2, 3, 4]
    assert slice_neurons(net, 1, multiple=2)[0].out_features == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.0}, "keep must be in"),
        ({"keep": 1.5}, "keep must be in"),
        ({"keep": 0}, "at least 1 unit"),
        ({"keep": [1, 2]}, "one width for each of 1"),
        ({"score": "luck"}, "score must be"),
        ({"multiple": 0}, "multiple must be"),
    ],
)
def test_slicing_refuses_nonsense(arguments, message):
    with pytest.raises(ValueError, match=message):
        slice_neurons(mlp([2, 3, 1]), **arguments)
    with pytest.raises(ValueError, match="hidden units"):
        slice_neurons(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="masked linear layers"):
        siren_fan_in_rescale(mlp([2, 3, 1]))


# e3nn ---------------------------------------------------------------------------------------

IRREPS = "8x0e+4x1o+2x2e"


def equivariance_error(module, irreps_in, irreps_out, *extra):
    rotation = e3nn_o3.rand_matrix()
    inputs = [e3nn_o3.Irreps(i).randn(20, -1) for i in irreps_in]
    turned = [
        x @ e3nn_o3.Irreps(i).D_from_matrix(rotation).T
        for x, i in zip(inputs, irreps_in, strict=True)
    ]
    after = module(*inputs, *extra) @ e3nn_o3.Irreps(irreps_out).D_from_matrix(rotation).T
    return (module(*turned, *extra) - after).abs().max().item()


@pytest.mark.parametrize("normalization", ["element", "path"])
@pytest.mark.parametrize("fuse", [False, True])
def test_a_product_with_half_the_paths_is_equal_and_equivariant(normalization, fuse):
    torch.manual_seed(0)
    tp = e3nn_o3.FullyConnectedTensorProduct(
        IRREPS, "1x0e+1x1o", IRREPS, path_normalization=normalization
    )
    Masks(tp).install(["weight"], granularity="path")
    mask = Masks(tp).module_of("weight")
    mask.set_bits(torch.arange(mask.groups) % 2 == 0)
    x, y = tp.irreps_in1.randn(30, -1), tp.irreps_in2.randn(30, -1)
    small = compact(tp, (x, y)) if fuse else shrink_tp(tp, mask.bits, fuse=False)
    assert (tp.weight_numel, small.weight_numel) == (164, 96)
    torch.testing.assert_close(small(x, y), tp(x, y), rtol=1e-5, atol=1e-5)
    assert equivariance_error(small, [IRREPS, "1x0e+1x1o"], IRREPS) < 1e-4


@pytest.mark.parametrize("mode", ["uvw", "uvu", "uvv", "uuw", "uuu", "uvuv"])
@pytest.mark.parametrize("has_weight", [True, False])
def test_every_connection_mode_survives_shrinking_and_fusing(mode, has_weight):
    if not has_weight and mode in ("uvw", "uuw"):
        pytest.skip("e3nn defines no such path")
    n = 3
    mul_out = n * n if mode == "uvuv" else n
    second = (0, 0, 0, mode, True, 2.0) if mode != "uvw" else (0, 0, 0, "uvw", True)
    torch.manual_seed(0)
    tp = e3nn_o3.TensorProduct(
        f"{n}x1o",
        f"{n}x1o",
        f"{mul_out}x0e+{mul_out}x1e+{mul_out}x2e",
        [second, (0, 0, 1, mode, has_weight), (0, 0, 2, mode, True)],
    )
    with torch.no_grad():
        next(iter(tp.weight_views())).zero_()
    x, y = torch.randn(8, 3 * n), torch.randn(8, 3 * n)
    for fuse in (False, True):
        small = shrink_tp(tp, fuse=fuse)
        assert len(small.instructions) == 2
        torch.testing.assert_close(small(x, y), tp(x, y), rtol=1e-5, atol=1e-5)


def test_gradients_flow_through_a_fused_product_and_deep_copies_work():
    torch.manual_seed(0)
    tp = e3nn_o3.FullyConnectedTensorProduct("2x0e+1x1o", "1x0e+1x1o", "2x0e+1x1o")
    x, y = torch.randn(6, 5), torch.randn(6, 4)
    plain, fused = shrink_tp(tp, fuse=False), copy.deepcopy(shrink_tp(tp, fuse=True))
    for product in (plain, fused):
        product(x, y).square().sum().backward()
    torch.testing.assert_close(plain.weight.grad, fused.weight.grad, rtol=1e-4, atol=1e-5)
    assert shrink_tp(tp.double(), fuse=True)(x.double(), y.double()).dtype == torch.float64


def test_a_product_with_no_path_left_gives_zeros():
    tp = e3nn_o3.FullyConnectedTensorProduct("2x0e", "1x0e", "2x0e")
    with torch.no_grad():
        tp.weight.zero_()
    small = compact(tp, (torch.randn(3, 2), torch.randn(3, 1)))
    assert small.weight_numel == 0 and not small(torch.randn(3, 2), torch.randn(3, 1)).any()


@pytest.mark.parametrize("biases", [True, False])
def test_an_equivariant_linear_map_loses_its_dead_paths(biases):
    torch.manual_seed(0)
    irreps = "4x0e+3x0e+2x1o"
    linear = e3nn_o3.Linear(irreps, irreps, biases=biases)
    with torch.no_grad():
        linear.weight[16:28].zero_()  # the second path, 4x0e -> 3x0e
        if biases:
            linear.bias.normal_()
    x = e3nn_o3.Irreps(irreps).randn(10, -1)
    small = compact(linear, x)
    assert small.weight_numel == linear.weight_numel - 12
    torch.testing.assert_close(small(x), linear(x))
    channels = e3nn_o3.Linear("2x0e+2x0e", "2x0e", f_in=3, f_out=4)
    x = torch.randn(5, 3, 4)
    kept = shrink_o3_linear(channels, [True, False])
    with torch.no_grad():
        channels.weight[..., 4:] = 0
    torch.testing.assert_close(kept(x), channels(x))


class Convolution(nn.Module):
    """A product whose weights come from the radial network beside it."""

    def __init__(self, radial):
        super().__init__()
        self.tp = e3nn_o3.FullyConnectedTensorProduct(
            "4x0e+2x1o", "1x0e+1x1o", "4x0e+2x1o", shared_weights=False
        )
        self.fc = radial(self.tp.weight_numel)

    def forward(self, x, y, r):
        return self.tp(x, y, self.fc(r))


def radial_net(outputs):
    from e3nn.nn import FullyConnectedNet

    return FullyConnectedNet([3, 16, 16, outputs], torch.nn.functional.silu)


def radial_mlp(outputs):
    return nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, outputs))


@pytest.mark.parametrize("radial", [radial_net, radial_mlp])
def test_external_weights_are_pruned_together_with_the_columns_that_make_them(radial):
    torch.manual_seed(0)
    net = Convolution(radial)
    sizes = [math.prod(path.path_shape) for path in net.tp.instructions]
    keep = torch.arange(len(sizes)) % 2 == 0
    columns = torch.repeat_interleave(keep, torch.tensor(sizes))
    with torch.no_grad():
        last = list(net.fc.children())[-1]
        if isinstance(last, nn.Linear):
            last.weight[~columns] = 0
            last.bias[~columns] = 0
        else:
            last.weight[:, ~columns] = 0
            last.weight[::2] = 0  # and half of the radial units die with their columns
    x, y, r = torch.randn(7, 10), torch.randn(7, 4), torch.rand(7, 3)
    small = compact(net, (x, y, r))
    assert small.tp.weight_numel == int(columns.sum()) < net.tp.weight_numel
    torch.testing.assert_close(small(x, y, r), net(x, y, r), rtol=1e-5, atol=1e-5)
    if radial is radial_net:
        assert small.fc.hs == [3, 16, 8, int(columns.sum())]
    tp, fc = shrink_weighted_tp(net.tp, net.fc)
    torch.testing.assert_close(tp(x, y, fc(r)), net(x, y, r), rtol=1e-5, atol=1e-5)


def test_a_radial_network_loses_its_dead_units_without_changing_scale():
    torch.manual_seed(0)
    net = radial_net(5)
    mask_at_random(net, 0.3)
    r = torch.rand(9, 3)
    small = compact(net, r)
    assert numel(small) < numel(net)
    assert small.hs == [3, *(layer.weight.shape[1] for layer in small.children())]


def test_a_linear_radial_network_is_sliced_too():
    from e3nn.nn import FullyConnectedNet

    net = mask_at_random(FullyConnectedNet([3, 16, 4]), 0.2)
    assert compact(net, torch.rand(5, 3)).hs[1] < 16


def test_products_refuse_flags_and_networks_that_do_not_fit():
    tp = e3nn_o3.FullyConnectedTensorProduct("1x0e", "1x0e", "1x0e", shared_weights=False)
    with pytest.raises(ValueError, match="keep must have 1 flags"):
        shrink_tp(tp, [True, True])
    with pytest.raises(ValueError, match="internal_weights must be True"):
        shrink_tp(tp)
    with pytest.raises(ValueError, match="weight_numel = 1 outputs"):
        shrink_weighted_tp(tp, nn.Linear(2, 2))
    with pytest.raises(ValueError, match="must end in a linear"):
        shrink_weighted_tp(tp, nn.Sequential(nn.Linear(2, 1), nn.ReLU()))


# torch_geometric ----------------------------------------------------------------------------

EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2, 5], [1, 0, 3, 2, 0, 4, 5, 2]])  # node 6 is alone


def graph_network(kind, **options):
    from torch_geometric import nn as pyg

    torch.manual_seed(0)
    sizes = {"in_channels": 4, "hidden_channels": 12, "num_layers": 3, "out_channels": 3}
    net = getattr(pyg, kind)(**sizes, **options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.double().eval()


@pytest.mark.parametrize("kind", ["GCN", "GraphSAGE", "GIN"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"jk": "cat"},
        {"jk": "last"},
        {"norm": "batch_norm"},
        {"act": "tanh"},
        {"act_first": True},
    ],
    ids=str,
)
def test_graph_networks_keep_their_function(kind, options):
    net = mask_at_random(graph_network(kind, **options), 0.12, seed=1)
    x = torch.randn(7, 4, dtype=torch.float64)
    small = compact(net, (x, EDGES))
    torch.testing.assert_close(small(x, EDGES), net(x, EDGES), rtol=1e-9, atol=1e-9)
    assert numel(small) < numel(net)


def test_a_constant_behind_an_aggregation_stays_unless_it_is_zero():
    net = graph_network("GCN", act="tanh")
    with torch.no_grad():
        net.convs[0].lin.weight[:2] = 0  # two constant units ...
        net.convs[0].bias.fill_(0.5)
        net.convs[0].bias[0] = 0  # ... one of them tanh(0) = 0
    x = torch.randn(7, 4, dtype=torch.float64)
    assert compact(net, (x, EDGES)).convs[0].lin.weight.shape[0] == 11


def test_a_perceptron_of_torch_geometric_is_sliced():
    from torch_geometric.nn import MLP

    torch.manual_seed(0)
    net = mask_at_random(MLP([4, 16, 16, 2]).eval(), 0.1)
    x = torch.randn(6, 4)
    small = compact(net, x)
    assert small.channel_list == [4, *(lin.out_channels for lin in small.lins)]
    assert numel(small) < numel(net)
    torch.testing.assert_close(small(x), net(x))


def test_lazy_layers_are_refused_with_a_remedy():
    for lazy in (nn.Sequential(nn.LazyLinear(3)), graph_lazy()):
        with pytest.raises(ValueError, match="run one forward first"):
            shrink(lazy)


def graph_lazy():
    from torch_geometric.nn import GCN

    return GCN(-1, 4, 2)
