"""A report adds up."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam.masks import Masks, bake
from overparam.report import report
from overparam.subnetwork import edge_popup, freeze


@settings(deadline=None, max_examples=20)
@given(width=st.integers(1, 12), keep=st.floats(0, 1), scalars=st.integers(1, 1000))
def test_rows_sum_to_the_totals_and_zeros_are_counted(width, keep, scalars):
    module = nn.Sequential(
        nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Linear(width, 1)
    )
    Masks(module).set("2.weight", torch.rand(width, width) < keep)
    sizes = report(module, scalars=scalars)
    assert sizes.dense == sum(p.numel() for p in module.parameters())
    assert sizes.dense == sum(row.total for row in sizes.rows)
    assert sizes.active == sum(row.active for row in sizes.rows)
    assert sizes.ratio == sizes.active / scalars
    row = next(row for row in sizes.rows if row.name == "2.weight")
    effective = bake(module)[2].weight
    assert row.active == int(effective.count_nonzero())
    assert row.dead_units == int((effective == 0).all(1).sum())
    assert sizes.bytes == 4 * sizes.dense
    assert f"active {sizes.active:,}" in str(sizes)


def test_tied_weights_are_counted_once():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    assert report(module).dense == 9 + 3 + 3
    assert report(module).dense == sum(p.numel() for p in module.parameters())


@settings(deadline=None, max_examples=10)
@given(keep=st.floats(0.05, 1.0))
def test_a_supermask_counts_as_it_will_be_frozen(keep):
    module = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4))
    edge_popup(module, keep)
    before = {row.name: row.active for row in report(module).rows if row.protected != "other"}
    freeze(module)
    assert before == {row.name: row.active for row in report(module).rows}
