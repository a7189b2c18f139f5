"""Counted costs equal costs counted by hand."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam.budget import cost, dense_narrow_sizes, dense_narrow_width
from overparam.layer_macs import path_macs
from overparam.masks import Masks
from overparam.narrow import dense_size


def mlp(sizes):
    parts = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*parts[:-1])


class ScaledLayer(nn.Module):
    """A field's layer: multiplies by its map's weight without calling the map."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.affine = nn.Linear(d_in, d_out)

    def forward(self, x):
        return torch.sin(nn.functional.linear(x, 30 * self.affine.weight, 30 * self.affine.bias))


class Siren(nn.Module):
    def __init__(self, width=8, depth=3):
        super().__init__()
        sizes = [2] + [width] * depth
        self.hidden = nn.Sequential(*(ScaledLayer(a, b) for a, b in itertools.pairwise(sizes)))
        self.readout = nn.Linear(width, 1)

    def forward(self, x):
        return self.readout(self.hidden(x))


@settings(deadline=None, max_examples=20)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    rows=st.integers(1, 5),
    density=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_a_perceptron_costs_its_weights_a_row(sizes, rows, density):
    net = mlp(sizes)
    generator = torch.Generator().manual_seed(0)
    masks = Masks(net)
    masks.install([f"{2 * k}.weight" for k in range(len(sizes) - 1)])
    for mask in masks.values():
        mask.copy_(torch.rand(mask.shape, generator=generator) < density)
    report = cost(net, torch.randn(rows, sizes[0]))
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    kept = sum(int(mask.sum()) for mask in masks.values())
    biases = sum(sizes[1:])
    assert report.macs == rows * weights and report.active_macs == rows * kept
    assert report.parameters == weights + biases == dense_size(sizes)
    assert report.active == kept + biases
    assert report.bytes == 4 * report.parameters
    bits = sum(-(-mask.numel() // 8) for mask in masks.values())
    assert report.active_bytes == 4 * report.active + bits
    assert report.macs >= report.sliced_macs and report.parameters >= report.sliced_parameters
    assert sum(layer.macs for layer in report.layers) == report.macs


def test_a_siren_is_counted_although_its_layers_do_not_call_their_maps():
    net = Siren()
    Masks(net).install(["hidden.1.affine.weight"], granularity="neuron")
    bits = Masks(net).module_of("hidden.1.affine.weight")
    bits.set_bits(torch.arange(8) < 2)
    report = cost(net, torch.rand(10, 2))
    rows = {layer.name: layer for layer in report.layers}
    assert report.macs == 10 * (2 * 8 + 8 * 8 + 8 * 8 + 8)
    assert report.active_macs == report.macs - 10 * 6 * 8
    assert rows["hidden.1.affine"].active_macs == 10 * 2 * 8
    assert report.dead_units == {"hidden.0.affine": 0, "hidden.1.affine": 6, "hidden.2.affine": 0}
    assert report.sliced_macs == 10 * (2 * 8 + 8 * 2 + 2 * 8 + 8)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 5, 7), 2 * 5 * 7 * 8 * 3 * 9),
        (nn.Conv2d(4, 8, 3, stride=2, groups=2), (1, 4, 9, 9), 4 * 4 * 8 * 2 * 9),
        (nn.Conv1d(2, 3, 4), (1, 2, 10), 7 * 3 * 2 * 4),
        (nn.ConvTranspose2d(3, 5, 2, stride=2), (1, 3, 4, 4), 16 * 3 * 5 * 4),
        (nn.GRU(3, 5, batch_first=True), (2, 4, 3), 8 * 3 * (5 * 3 + 5 * 5)),
        (nn.LSTM(3, 5, bidirectional=True), (4, 3), 4 * 2 * 4 * (5 * 3 + 5 * 5)),
        (nn.RNNCell(3, 5), (6, 3), 6 * (15 + 25)),
        (nn.LayerNorm(4), (3, 4), 0),
    ],
)
def test_layers_cost_what_a_hand_counts(layer, shape, expected):
    assert cost(layer, torch.randn(shape)).macs == expected


def test_attention_counts_projections_and_mixing():
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    q, kv = torch.randn(3, 5, 8), torch.randn(3, 7, 8)
    report = cost(layer, (q, kv, kv))
    assert report.macs == 3 * (5 * 64 + 2 * 7 * 64 + 5 * 64 + 2 * 5 * 7 * 8)
    Masks(layer).set("in_proj_weight", torch.arange(24)[:, None].expand(24, 8) < 8)  # q alone
    assert cost(layer, (q, kv, kv)).active_macs == report.macs - 3 * 2 * 7 * 64
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    one = 3 * (3 * 5 * 64 + 2 * 25 * 8 + 5 * 64) + 3 * 5 * 2 * 8 * 16
    assert cost(encoder, q).macs == one


def test_a_module_that_multiplies_in_its_own_code_is_measured():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.randn(4, 6))
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            return self.head(x @ self.matrix)

    net = Own()
    Masks(net).set("matrix", torch.arange(24).reshape(4, 6) < 6)
    report = cost(net, torch.randn(3, 4))
    assert report.macs == 3 * (24 + 12) and report.active_macs == 3 * (6 + 12)
    assert not report.notes


def test_tensor_products_cost_their_paths():
    o3 = pytest.importorskip("e3nn.o3")
    tp = o3.FullyConnectedTensorProduct("2x0e+3x1o", "1x0e+1x1o", "2x0e+3x1o")
    # scalars: one coupling a pair; 1 x 1 -> 0: three; then each weight once a component
    hand = {
        (0, 0, 0): 2 * 1 + 2 * 1 * 2,
        (0, 1, 1): 2 * 3 + 2 * 1 * 3 * 3,
        (1, 0, 1): 3 * 3 + 3 * 1 * 3 * 3,
        (1, 1, 0): 3 * 3 + 3 * 1 * 2,
    }
    assert {path[:3]: sum(path_macs(tp, path)) for path in tp.instructions} == hand
    x, y = tp.irreps_in1.randn(5, -1), tp.irreps_in2.randn(5, -1)
    report = cost(tp, (x, y))
    assert report.macs == 5 * sum(hand.values()) and report.parameters == 4 + 6 + 9 + 6
    Masks(tp).install(["weight"], granularity="path")
    Masks(tp).module_of("weight").set_bits(torch.tensor([True, False, True, False]))
    masked = cost(tp, (x, y))
    assert masked.active_macs == masked.sliced_macs == 5 * (hand[0, 0, 0] + hand[1, 0, 1])
    linear = o3.Linear("4x0e+2x1o", "3x0e+2x1o")
    assert cost(linear, linear.irreps_in.randn(5, -1)).macs == 5 * (12 + 4 * 3)


def test_radial_networks_and_graph_networks_are_counted():
    fcn = pytest.importorskip("e3nn.nn").FullyConnectedNet([3, 8, 5], torch.tanh)
    assert cost(fcn, torch.rand(4, 3)).macs == 4 * (24 + 40)
    pyg = pytest.importorskip("torch_geometric.nn")
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    for net, macs in [
        (pyg.GCN(4, 6, 2, 3), 3 * (24 + 18)),
        (pyg.GIN(4, 6, 1), 3 * (24 + 36)),
        (pyg.GraphSAGE(4, 6, 2, 3), 3 * 2 * (24 + 18)),
    ]:
        assert cost(net, (torch.randn(3, 4), edges)).macs == macs


def test_a_module_that_cannot_be_sliced_says_so():
    class Peeks(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp([3, 4, 1])

        def forward(self, x):
            return self.net(x) + self.net[:2](x).sum(-1, keepdim=True)

    net = Peeks()
    with torch.no_grad():
        net.net[2].weight[0, 1] = 0
    report = cost(net, torch.randn(5, 3))
    assert report.sliced_macs is None and "not sliced" in str(report)


def test_tied_weights_and_repeated_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(self.a(x)))

    report = cost(Twice(), torch.randn(2, 4))
    assert report.macs == 3 * 2 * 16 and report.parameters == 16 + 4 + 4


def test_the_report_reads_as_a_table_and_as_plain_data():
    net = mlp([3, 8, 2])
    Masks(net).install(["0.weight"], granularity="neuron")
    Masks(net).module_of("0.weight").set_bits(torch.arange(8) < 4)
    report = cost(net, torch.randn(5, 3), latency=5)
    text = str(report)
    assert "density" in text and "62.5%" in text and "2.00x less" in text
    assert report.latency_us > 0 and report.sliced_latency_us > 0
    assert report.as_dict()["layers"][0]["name"] == "0" and 0 < report.sparsity < 1
    sizes = cost(net)
    assert sizes.macs is None and sizes.parameters == report.parameters and str(sizes)


def test_counting_leaves_no_trace():
    net = mlp([3, 4, 2]).train()
    cost(net, torch.randn(2, 3))
    assert net.training
    for part in net.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks


@given(
    parameters=st.integers(1, 200_000),
    d_in=st.integers(1, 64),
    d_out=st.integers(1, 16),
    depth=st.integers(1, 5),
)
def test_the_narrow_width_is_the_closest(parameters, d_in, d_out, depth):
    def size(width):
        return dense_size([d_in, *[width] * depth, d_out])

    width = dense_narrow_width(parameters, d_in, d_out, depth)
    gap = abs(size(width) - parameters)
    assert gap <= abs(size(width + 1) - parameters)
    assert width == 1 or gap <= abs(size(width - 1) - parameters)


def test_narrow_sizes_keep_the_shape():
    dense = (64, 300, 100, 10)
    assert dense_narrow_sizes(dense_size(dense), dense) == dense
    narrow = dense_narrow_sizes(2000, dense)
    assert narrow[0] == 64 and narrow[-1] == 10 and narrow[1] > 2 * narrow[2]
    assert abs(dense_size(narrow) - 2000) < 100


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="at least 5 forwards"):
        cost(nn.Linear(1, 1), torch.ones(1), latency=3)
    with pytest.raises(ValueError, match="with an example"):
        cost(nn.Linear(1, 1), latency=5)
    with pytest.raises(ValueError, match="depth must be"):
        dense_narrow_width(10, 1, 1, 0)
    with pytest.raises(ValueError, match="sizes must be"):
        dense_narrow_sizes(10, (1, 2))
