"""The table of maskable weights names each family for what it is."""

import pytest
import torch
from torch import nn

from overparam.masks import BlockMask, PathMask, RowMask, make_mask, prunable


def kinds(module, **options):
    return {name: spec.kind for name, spec in prunable(module, **options).items()}


def test_first_last_norm_and_bias_are_protected_by_default():
    module = nn.Sequential(
        nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)
    )
    why = {name: spec.protected for name, spec in prunable(module).items()}
    assert why == {
        "0.weight": "first", "0.bias": "bias", "1.weight": "norm", "1.bias": "norm",
        "2.weight": None, "2.bias": "bias", "4.weight": "last", "4.bias": "bias",
    }  # fmt: skip
    free = prunable(module, protect=("norm", "bias"))
    assert [n for n, s in free.items() if s.protected is None] == [
        "0.weight",
        "2.weight",
        "4.weight",
    ]


def test_packed_matrices_say_how_many_parts_they_hold():
    attention = prunable(nn.MultiheadAttention(8, 2))["in_proj_weight"]
    assert (attention.kind, attention.parts) == ("attention", 3)
    assert prunable(nn.GRU(3, 4))["weight_hh_l0"].parts == 3
    assert prunable(nn.LSTM(3, 4))["weight_ih_l0"].parts == 4
    assert prunable(nn.RNN(3, 4))["weight_ih_l0"].parts == 1


def test_convolutions_count_units_along_their_output_axis():
    assert prunable(nn.Conv2d(3, 5, 3))["weight"].unit_axis == 0
    assert prunable(nn.ConvTranspose2d(3, 5, 3))["weight"].unit_axis == 1


def test_equivariant_weights_are_lists_of_paths():
    from e3nn import nn as enn
    from e3nn import o3

    product = o3.FullyConnectedTensorProduct("4x0e+2x1o", "1x0e+1x1o", "4x0e+2x1o")
    spec = prunable(product)["weight"]
    assert spec.kind == "tp_path"
    assert sum(spec.paths) == product.weight_numel
    assert len(spec.paths) == len(product.instructions)
    linear = prunable(o3.Linear("4x0e+2x1o", "3x0e+2x1o", biases=True))
    assert linear["weight"].paths == (12, 4)
    assert linear["bias"].protected == "bias"
    radial = prunable(enn.FullyConnectedNet([4, 8, 8, 6], torch.relu), protect=())
    assert {(s.kind, s.unit_axis) for s in radial.values()} == {("dense", 1)}


def test_graph_layers_keep_their_attention_vectors_whole():
    from torch_geometric.nn import GATConv, GCNConv

    assert set(kinds(GATConv(4, 3, heads=2)).values()) == {"gnn", "vector"}
    assert kinds(GCNConv(4, 3))["lin.weight"] == "gnn"


def test_lazy_layers_are_refused_with_what_to_do():
    from torch_geometric.nn import GCNConv

    with pytest.raises(ValueError, match="run one forward first"):
        prunable(GCNConv(-1, 3))


def test_tied_weights_are_listed_once_with_every_owner():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    specs = prunable(module)
    assert specs["0.weight"].owners == ("0.weight", "1.weight")
    assert "1.weight" not in specs


@pytest.mark.parametrize(
    ("name", "granularity", "match"),
    [
        ("weight", "path", "needs a tensor product"),
        ("weight", "column", "must be among"),
    ],
)
def test_granularities_that_do_not_fit_are_refused(name, granularity, match):
    spec = prunable(nn.Linear(3, 4))[name]
    with pytest.raises(ValueError, match=match):
        make_mask(spec, granularity)


@pytest.mark.parametrize(
    "mask",
    [RowMask((5, 4), 0), RowMask((5, 4), 1), BlockMask((5, 4, 3), 2), PathMask((3, 1, 4))],
    ids=["rows", "columns", "blocks", "paths"],
)
def test_bits_and_entries_agree(mask):
    bits = torch.rand(mask.groups) > 0.5
    mask.set_bits(bits)
    assert torch.equal(mask.bits, bits)
    assert int(mask.mask.sum()) == int(mask.group_sizes[bits].sum())
    assert int(mask.group_sizes.sum()) == mask.mask.numel()
    scores = torch.rand(mask.mask.shape, dtype=torch.float64)
    torch.testing.assert_close(mask.pool(scores).sum(), scores.sum())
    assert torch.equal(mask.freeze().mask, mask.mask)
