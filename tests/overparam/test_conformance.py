"""Masks work wherever the unmasked module works: every law on every module family.

One cell per (law, family). Five cells are out of reach for torch or PyG with or without masks;
there the test demands that the plain module fails, and the masked one in the same way. The day
a newer torch or PyG can do it the cell turns red, and its row below has to go:

=================  ======  ==============================================================
law                family  what fails, masked or not
=================  ======  ==============================================================
vmap               gru     torch has no batching rule for ``aten::gru.input``
compile            gru     Dynamo does not trace recurrent layers
script             gcn     a scripted ``GCNConv`` is written but cannot be read back
script             gat     PyG's ``GATConv.forward`` is not TorchScript
compile, inductor  gat     Inductor loses the number of edges left by the first of two layers
                           that replace self-loops; the default backend of the slow tests only
=================  ======  ==============================================================
"""

import json
from pathlib import Path

import pytest

from overparam.masks import Masks
from overparam.parametrization import bake
from overparam.testing import laws, ranks, transforms

from .zoo import FAMILIES

LAWS = {
    "acts_like_plain": laws.assert_acts_like_plain,
    "deepcopy": laws.assert_deepcopies,
    "average": laws.assert_averages,
    "adamw": laws.assert_decays,
    "resume": laws.assert_resumes,
    "checkpoints": laws.assert_interchanges,
    "nan": laws.assert_ignores_pruned,
    "vmap": transforms.assert_stacks,
    "jacrev": transforms.assert_parameter_jacobian,
    "double_backward": transforms.assert_differentiates_twice,
    "compile": transforms.assert_compiles,
    "export": transforms.assert_exports,
    "script": transforms.assert_scripts,
    "hypernetwork": transforms.assert_hypernetwork,
}

OUTSIDE = {
    ("vmap", "gru"): "Batching rule not implemented for aten::gru.input",
    ("compile", "gru"): "Dynamo does not support RNN, GRU, or LSTM",
    ("script", "gcn"): "Type mismatch: edge_index",
    ("inductor", "gat"): "to have been codegen-ed",
    # TorchScript keeps the half-compiled class: from the second try on it complains of that
    ("script", "gat"): "Could not cast value of type Optional|Can't redefine method",
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("law", LAWS)
def test_masked_works_wherever_plain_works(law, family):
    module, inputs = FAMILIES[family].masked(), FAMILIES[family].inputs()
    reason = OUTSIDE.get((law, family))
    if reason is None:
        LAWS[law](module, inputs)
        return
    with pytest.raises(Exception, match=reason) as plain:
        LAWS[law](bake(module), inputs)
    with pytest.raises(plain.type, match=reason):
        LAWS[law](module, inputs)


@pytest.fixture(scope="module")
def rank_reports(tmp_path_factory):
    """Two gloo processes train every family once."""
    folder = tmp_path_factory.mktemp("ranks")
    ranks.spawn([str(Path(__file__).with_name("zoo.py")), str(folder)])
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_keep_masks_and_weights_equal(family, rank_reports):
    ranks.assert_ranks_agree([report[family] for report in rank_reports])


def test_a_rank_with_another_mask_is_noticed(rank_reports):
    left, right = (dict(report["mlp"]) for report in rank_reports)
    with pytest.raises(AssertionError, match="other masks"):
        ranks.assert_ranks_agree([left, right | {"masks": "0"}])


@pytest.mark.slow
@pytest.mark.parametrize("family", [f for f in FAMILIES if ("compile", f) not in OUTSIDE])
def test_compiles_by_the_default_backend(family):
    module, inputs = FAMILIES[family].masked(), FAMILIES[family].inputs()
    reason = OUTSIDE.get(("inductor", family))
    if reason is None:
        transforms.assert_compiles(module, inputs, "inductor")
        return
    for each in (bake(module), module):
        with pytest.raises(Exception, match=reason):
            transforms.assert_compiles(each, inputs, "inductor")


@pytest.mark.parametrize(
    ("law", "forward"),
    [
        ("nan", lambda mask, weight: weight * mask),
        ("adamw", lambda mask, weight: weight + 0 * mask),
        ("hypernetwork", lambda mask, weight: weight * (0.5 + 0.5 * mask)),
        ("jacrev", lambda mask, weight: weight + (weight * mask - weight).detach()),
        ("double_backward", lambda mask, weight: weight + (weight * mask - weight).detach()),
        ("compile", lambda mask, weight: weight[:, : int(mask.sum())] @ weight.new_ones(1)),
    ],
)
def test_a_law_notices_a_broken_mask(law, forward):
    """A law that cannot fail proves nothing."""
    module, inputs = FAMILIES["mlp"].masked(), FAMILIES["mlp"].inputs()
    for name in FAMILIES["mlp"].names:
        mask = Masks(module).module_of(name)
        mask.forward = lambda weight, mask=mask: forward(mask.mask, weight)
    with pytest.raises((AssertionError, RuntimeError)):
        LAWS[law](module, inputs)
