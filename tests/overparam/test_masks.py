"""What masks promise beyond the conformance matrix: the holes of parametrize, groups, the view."""

import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from overparam.mask import BlockMask, PathMask, RowMask, WeightMask, make_mask
from overparam.masks import Masks
from overparam.parametrization import bake, effective, original, set_parametrization
from overparam.plain import install_from_state, load_plain, plain_state
from overparam.prunable import prunable
from overparam.testing import laws

from .zoo import FAMILIES, ring


class Tied(nn.Module):
    """Encoder and decoder share one square matrix; the decoder has its own bias."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        return self.decoder(torch.tanh(self.encoder(x)))


def half(shape, seed=0):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    mask.view(-1)[0], mask.view(-1)[-1] = True, False
    return mask


# tied weights


@pytest.mark.parametrize("name", ["encoder.weight", "decoder.weight"])
def test_a_tied_weight_is_masked_once_for_all_owners(name):
    net, mask = Tied(), half((4, 4))
    Masks(net).set(name, mask)
    assert list(Masks(net)) == ["encoder.weight"]
    for owner in ("encoder.weight", "decoder.weight"):
        assert bool((effective(net, owner)[~mask] == 0).all())
    assert original(net, "encoder.weight") is original(net, "decoder.weight")
    assert sum(p.numel() for p in net.parameters()) == 16 + 8


@pytest.mark.parametrize(
    "law",
    [laws.assert_deepcopies, laws.assert_decays, laws.assert_resumes, laws.assert_interchanges],
)
def test_a_tied_weight_stays_tied(law):
    net = Tied()
    Masks(net).set("encoder.weight", half((4, 4)))
    law(net, (torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),))


def test_a_tied_weight_stays_tied_in_copies_and_baked():
    net = Tied()
    Masks(net).set("encoder.weight", half((4, 4)))
    clone = copy.deepcopy(net)
    assert original(clone, "encoder.weight") is original(clone, "decoder.weight")
    baked = bake(net)
    assert baked.encoder.weight is baked.decoder.weight
    Masks(net).remove()
    assert net.encoder.weight is net.decoder.weight


# lazy layers


def test_a_lazy_layer_is_refused_until_it_has_run():
    from torch_geometric.nn import GCNConv

    layer = GCNConv(-1, 4)
    with pytest.raises(ValueError, match="run one forward first"):
        prunable(layer)
    with pytest.raises(ValueError, match="run one forward"):
        Masks(layer).install()
    layer(torch.randn(6, 3), ring())
    Masks(layer).set("lin.weight", half((4, 3)))
    laws.assert_acts_like_plain(layer, (torch.randn(6, 3), ring()))


# saving and checkpoints


def test_a_masked_module_is_saved_by_its_state_not_pickled():
    with pytest.raises(RuntimeError, match="state_dict"):
        torch.save(FAMILIES["mlp"].masked(), io.BytesIO())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_state_names_what_the_plain_module_names(family):
    masked, plain = FAMILIES[family].masked(), FAMILIES[family].plain()
    state = plain_state(masked)
    assert state.keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(state[name], value)
    assert all(
        state[name].data_ptr() == original(masked, name).data_ptr()
        for name in FAMILIES[family].names
    ), "a plain state must be the live tensors, not masked copies"


@pytest.mark.parametrize("family", FAMILIES)
def test_loading_a_plain_state_in_place_keeps_masks(family):
    masked, other = FAMILIES[family].masked(), FAMILIES[family].plain(seed=5)
    live, sha = [id(p) for p in masked.parameters()], Masks(masked).sha()
    load_plain(masked, other.state_dict())
    assert [id(p) for p in masked.parameters()] == live
    assert Masks(masked).sha() == sha
    for name in FAMILIES[family].names:
        assert torch.equal(original(masked, name), original(other, name))
    laws.assert_masked_zeros(masked)


def test_loading_a_plain_state_refuses_strangers():
    masked = FAMILIES["mlp"].masked()
    state = plain_state(masked)
    with pytest.raises(ValueError, match="own keys"):
        load_plain(masked, {**state, "odd": torch.zeros(1)})
    with pytest.raises(ValueError, match="must have shape"):
        load_plain(masked, {**state, "first.weight": torch.zeros(1)})


def test_partial_plain_states_load_without_strictness():
    masked = FAMILIES["mlp"].masked()
    value = torch.full_like(original(masked, "first.weight"), 2.0)
    missing = masked.load_state_dict({"first.weight": value}, strict=False).missing_keys
    assert torch.equal(original(masked, "first.weight"), value)
    assert "parametrizations" not in " ".join(k for k in missing if k.startswith("first.weight"))


def test_installing_from_a_state_masks_only_what_was_masked():
    masked, plain = FAMILIES["conv"].masked(), FAMILIES["conv"].plain(seed=4)
    assert install_from_state(plain, masked.state_dict()) == list(FAMILIES["conv"].names)
    assert install_from_state(plain, masked.state_dict()) == []


# scripting


def test_scripting_needs_the_baked_copy():
    baked = bake(FAMILIES["mlp"].masked())
    assert not any(parametrize.is_parametrized(layer) for layer in baked.modules())
    assert all(isinstance(p, nn.Parameter) for p in baked.parameters())
    baked.load_state_dict(FAMILIES["mlp"].plain().state_dict())


# non-finite entries


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_numbers_in_pruned_entries_stay_out(bad):
    net = nn.Linear(4, 3)
    mask = half((3, 4))
    Masks(net).set("weight", mask)
    with torch.no_grad():
        original(net, "weight")[~mask] = bad
    loss = net(torch.randn(5, 4)).square().sum()
    loss.backward()
    assert loss.isfinite()
    assert original(net, "weight").grad.isfinite().all()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0, error_if_nonfinite=True)


# groups


shapes = st.lists(st.integers(1, 7), min_size=2, max_size=4)


@settings(deadline=None, max_examples=40)
@given(shape=shapes, data=st.data())
def test_groups_partition_the_weight(shape, data):
    kinds = {
        "weight": lambda: WeightMask(shape),
        "neuron": lambda: RowMask(shape, data.draw(st.integers(0, len(shape) - 1))),
        "block": lambda: BlockMask(shape, data.draw(st.integers(1, 5))),
        "path": lambda: PathMask(shape),
    }
    mask = kinds[data.draw(st.sampled_from(sorted(kinds)))]()
    sizes = mask.group_sizes
    assert int(sizes.min()) >= 1
    assert int(sizes.sum()) == mask.mask.numel()
    bits = torch.tensor(
        data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    )
    mask.set_bits(bits)
    assert torch.equal(mask.bits, bits)
    assert int(mask.mask.sum()) == int(sizes[bits].sum())
    assert torch.equal(mask.freeze().mask, mask.mask)
    scores = torch.rand(mask.mask.shape, dtype=torch.float64)
    pooled = mask.pool(scores)
    torch.testing.assert_close(pooled[bits].sum(), scores[mask.mask].sum())


def test_a_row_is_one_output_unit():
    mask = RowMask((3, 4), axis=0)
    mask.set_bits(torch.tensor([True, False, True]))
    assert mask.mask.any(1).tolist() == [True, False, True]
    columns = RowMask((3, 4), axis=1)
    columns.set_bits(torch.tensor([True, False, True, False]))
    assert columns.mask.any(0).tolist() == [True, False, True, False]


@pytest.mark.parametrize("family", ["e3nn_linear", "e3nn_product"])
def test_a_path_is_one_instruction(family):
    net = FAMILIES[family].plain()
    name = FAMILIES[family].names[0]
    spec = prunable(net, ())[name]
    layer = net.get_submodule(name.rpartition(".")[0])
    mask = make_mask(spec, "path")
    weighted = list(layer.weight_views())
    assert mask.group_sizes.tolist() == [view.numel() for view in weighted]
    set_parametrization(net, name, mask)
    for i in range(mask.groups):
        bits = torch.zeros(mask.groups, dtype=torch.bool)
        bits[i] = True
        mask.set_bits(bits)
        alive = [bool(view.ne(0).any()) for view in layer.weight_views()]
        assert alive == bits.tolist()


@pytest.mark.parametrize("family", ["e3nn_linear", "e3nn_product", "e3nn_radial"])
def test_masked_products_stay_equivariant(family):
    from overparam.testing import assert_equivariant

    net = FAMILIES[family].masked()
    assert_equivariant(net, net.irreps_in, net.irreps_out)


# the view


def test_the_view_is_live_and_counts():
    net = FAMILIES["mlp"].masked()
    masks = Masks(net)
    kept = sum(int(mask.sum()) for mask in masks.values())
    total = sum(mask.numel() for mask in masks.values())
    assert masks.sparsity() == pytest.approx(1 - kept / total)
    before = masks.sha()
    masks["first.weight"].fill_(False)
    assert masks.density("first.weight") == 0.0
    assert masks.density("last.weight") == 1.0
    assert effective(net, "first.weight").abs().sum() == 0
    assert masks.sha() != before


def test_changing_granularity_loses_no_zero():
    net = FAMILIES["mlp"].plain()
    masks = Masks(net)
    masks.install(["hidden.weight"], granularity="neuron")
    masks.module_of("hidden.weight").set_bits(torch.arange(8) % 2 == 0)
    before = masks["hidden.weight"].clone()
    masks.install(["hidden.weight"], granularity="weight")
    assert torch.equal(masks["hidden.weight"], before)
    assert masks.granularities() == {"hidden.weight": "weight"}


def test_optimizers_keep_working_through_masking_and_unmasking():
    net = FAMILIES["mlp"].plain()
    parameters = [id(p) for p in net.parameters()]
    masks = Masks(net)
    masks.install(["hidden.weight"])
    masks.set("hidden.weight", half((8, 8)))
    assert sorted(map(id, net.parameters())) == sorted(parameters)
    masks.remove()
    assert sorted(map(id, net.parameters())) == sorted(parameters)


def test_assignment_goes_to_the_trained_tensor():
    net, mask = nn.Linear(4, 3), half((3, 4))
    Masks(net).set("weight", mask)
    value = torch.randn(3, 4)
    net.weight = value
    assert torch.equal(original(net, "weight"), value)
    assert torch.equal(net.weight, value.masked_fill(~mask, 0.0))


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda m: m.install(["nowhere.weight"]), "maskable"),
        (lambda m: m.install(["hidden.weight"], granularity="atom"), "granularity"),
        (lambda m: m.install(["hidden.weight"], granularity="path"), "path"),
        (lambda m: m.set("hidden.weight", torch.ones(2, 2, dtype=torch.bool)), "shape"),
        (lambda m: m.set("nowhere", torch.ones(2, dtype=torch.bool)), "maskable"),
    ],
)
def test_nonsense_is_refused(act, match):
    with pytest.raises(ValueError, match=match):
        act(Masks(FAMILIES["mlp"].plain()))


def test_foreign_parametrizations_are_left_alone():
    net = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    with pytest.raises(ValueError, match=r"parametrization|maskable"):
        Masks(net).set("weight", half((4, 4)))
