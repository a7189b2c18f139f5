"""A ticket survives its file, fits only what it fits, and rewinds to the bit."""

import copy
import json
import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam import IMP, LRR, Masks, Ticket, find_ticket, original, plain_state
from overparam.errors import InputError
from overparam.snapshot import Snapshot, take
from overparam.ticket_file import pack, unpack

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
ALL = {"protect": ("bias",)}


def net(width=8, seed=0, last=2):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, last)
    )


def fit(module, steps=3):
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        module(X).square().mean().backward()
        optimizer.step()


def found(schedule=None, module=None, **kwargs):
    module = net() if module is None else module
    return module, find_ticket(module, fit, schedule or IMP(0.3, 2), **(ALL | kwargs))


def assert_equal_tickets(one, other):
    assert one.sha == other.sha
    assert {n: m.tolist() for n, m in one.masks.items()} == {
        n: m.tolist() for n, m in other.masks.items()
    }
    for name in ("specs", "granularity", "block", "seed", "criterion"):
        assert getattr(one, name) == getattr(other, name)
    assert dict(one.schedule) == dict(other.schedule)
    assert list(one.history) == list(other.history)
    assert dict(one.versions) == dict(other.versions)
    assert (one.snapshot is None) == (other.snapshot is None)
    if one.snapshot is not None:
        assert one.snapshot.state.keys() == other.snapshot.state.keys()
        for name, value in one.snapshot.state.items():
            assert torch.equal(value, other.snapshot.state[name])


# files


@settings(deadline=None, max_examples=25)
@given(
    shapes=st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=4), min_size=1, max_size=4),
    density=st.floats(0, 1),
    stored=st.booleans(),
)
def test_any_ticket_comes_back_from_its_file(tmp_path_factory, shapes, density, stored):
    path = tmp_path_factory.mktemp("tickets") / "deep" / "a.ticket"
    masks = {f"layer.{i}.weight": torch.rand(shape) < density for i, shape in enumerate(shapes)}
    state = {name: torch.randn(mask.shape) for name, mask in masks.items()}
    ticket = Ticket(
        masks=masks,
        snapshot=Snapshot(state) if stored else None,
        schedule=LRR().describe(),
        history=({"round": 0, "sparsity": 0.5},),
        seed=3,
    )
    ticket.save(path)
    assert_equal_tickets(ticket, Ticket.load(path))
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.ticket", "a.ticket.json"]


@given(bits=st.lists(st.booleans(), min_size=1, max_size=40))
def test_packing_takes_a_bit_each(bits):
    mask = torch.tensor(bits)
    assert pack(mask).numel() == -(-len(bits) // 8)
    assert torch.equal(unpack(pack(mask), (len(bits),)), mask)


def test_a_found_ticket_comes_back_and_is_plain_data(tmp_path):
    module, ticket = found()
    ticket.save(tmp_path / "t.ticket")
    assert_equal_tickets(ticket, Ticket.load(tmp_path / "t.ticket"))
    assert isinstance(torch.load(tmp_path / "t.ticket", weights_only=True), dict)
    words = json.loads((tmp_path / "t.ticket.json").read_text())
    assert words["sha"] == Masks(module).sha()
    assert words["layers"]["2.weight"]["kept"] == int(Masks(module)["2.weight"].sum())
    assert words["schedule"] == {
        "name": "IMP", "rate": 0.3, "rounds": 2, "rewind_step": 0, "keep_statistics": False,
    }  # fmt: skip
    assert len(words["history"]) == 3
    assert words["versions"]["torch"] == torch.__version__


def test_masks_alone_take_a_bit_per_weight(tmp_path):
    module = nn.Sequential(nn.Linear(1000, 1000), nn.Linear(1000, 2))
    ticket = find_ticket(module, lambda m: None, LRR(0.2, 1), protect=())
    ticket.save(tmp_path / "t", snapshot=False)
    assert (tmp_path / "t").stat().st_size < 1002 * 1000 / 8 + 10_000
    with pytest.raises(InputError, match="masks only"):
        Ticket.load(tmp_path / "t").rewind(module)


def test_an_overwritten_ticket_is_never_half_there(tmp_path, monkeypatch):
    _, ticket = found()
    ticket.save(tmp_path / "t")
    before = (tmp_path / "t").read_bytes()

    def fail(data, file):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(InputError, match="No space left"):
        ticket.save(tmp_path / "t")
    assert (tmp_path / "t").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "t.json"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "existing file"),
        (b"", "corrupt"),
        (b"not a ticket", "plain data|corrupt"),
        ({"state_dict": {}}, "no ticket"),
        ({"format": "overparam.ticket", "version": 99}, "version 1, got 99"),
        ({"format": "overparam.ticket", "version": 1}, "damaged"),
    ],
)
def test_what_is_no_ticket_is_refused_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "t"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=complaint) as caught:
        Ticket.load(path)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=25)
@given(cut=st.floats(0, 0.99))
def test_a_ticket_cut_short_is_refused(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "t"
    found()[1].save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(InputError):
        Ticket.load(path)


def test_flipped_bits_and_missing_bytes_are_noticed(tmp_path):
    found()[1].save(tmp_path / "t")
    data = torch.load(tmp_path / "t", weights_only=True)
    data["masks"]["2.weight"][0] ^= 1
    torch.save(data, tmp_path / "t")
    with pytest.raises(InputError, match="do not match their hash"):
        Ticket.load(tmp_path / "t")
    data["masks"]["2.weight"] = data["masks"]["2.weight"][:-1]
    torch.save(data, tmp_path / "t")
    with pytest.raises(InputError, match="must have 8 bytes"):
        Ticket.load(tmp_path / "t")


class Hostile:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    torch.save({"format": "overparam.ticket", "bad": Hostile()}, tmp_path / "t")
    with pytest.raises(InputError, match="not plain data"):
        Ticket.load(tmp_path / "t")
    assert "executed" not in capsys.readouterr().out


# use


def test_apply_and_rewind_give_the_network_the_ticket_was_found_on():
    trained, ticket = found()
    start = plain_state(net())
    other = net(seed=9)
    ticket.apply(other)
    assert Masks(other).sha() == Masks(trained).sha()
    assert torch.equal(original(other, "0.weight"), plain_state(net(seed=9))["0.weight"])
    ticket.rewind(other)
    for name, value in plain_state(other).items():
        mask = ticket.masks.get(name, torch.ones_like(value, dtype=torch.bool))
        assert torch.equal(value[mask], start[name][mask])
        assert not value[~mask].any()


def test_the_search_leaves_masks_and_trained_weights():
    module, ticket = found()
    twin = net()
    ticket.apply(twin)
    ticket.rewind(twin)
    fit(twin)
    for name, value in plain_state(module).items():
        assert torch.equal(value, plain_state(twin)[name])


def test_rewinding_forgets_the_optimizer():
    module, ticket = found()
    optimizer = torch.optim.Adam(module.parameters())
    module(X).sum().backward()
    optimizer.step()
    ticket.rewind(module, optimizer)
    assert not optimizer.state


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (net(width=9), r"0\.weight has shape \(9, 4\) there and \(8, 4\)"),
        (nn.Linear(4, 2), "no weight 0.weight"),
    ],
)
def test_another_architecture_is_refused_untouched(other, complaint):
    _, ticket = found()
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(InputError, match=complaint):
        ticket.apply(other)
    with pytest.raises(InputError, match="must fit the module"):
        ticket.rewind(other)
    assert other.state_dict().keys() == before.keys()
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_transfer_goes_by_name_then_by_shape_and_tells_the_rest(caplog):
    _, ticket = found()

    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 5)

    other = Other()
    with caplog.at_level(logging.WARNING):
        report = ticket.transfer(other, protect=("bias",))
    assert report.matched == {"0.weight": "a.weight", "2.weight": "b.weight"}
    assert (report.unmatched, report.bare) == (("4.weight",), ("c.weight",))
    assert "4.weight found no weight of shape (2, 8)" in caplog.text
    assert torch.equal(Masks(other)["b.weight"], ticket.masks["2.weight"])
    same = net(last=3)
    assert ticket.transfer(same).matched == {n: n for n in ("0.weight", "2.weight")}
    with pytest.raises(InputError, match="share a name or shape"):
        ticket.transfer(nn.Linear(3, 3))


def test_shape_transfer_spares_protected_weights():
    ticket = Ticket(masks={"x": torch.rand(8, 4) > 0.5, "y": torch.rand(8, 8) > 0.5})
    assert ticket.transfer(net()).matched == {"y": "2.weight"}


@pytest.mark.parametrize("granularity", ["weight", "neuron", "block"])
def test_granularity_is_worn_again(tmp_path, granularity):
    _, ticket = found(granularity=granularity, block=3)
    ticket.save(tmp_path / "t")
    other = net()
    Ticket.load(tmp_path / "t").apply(other)
    assert set(Masks(other).granularities().values()) == {granularity}
    assert Masks(other).sha() == ticket.sha


def test_tied_weights_are_one_weight():
    module = net()
    module[4] = nn.Linear(8, 8)
    module[4].weight = module[2].weight
    _, ticket = found(LRR(0.5, 1), module)
    assert list(ticket.masks) == ["0.weight", "2.weight"]
    assert torch.equal(module[4].weight, module[2].weight)
    assert ticket.total == 32 + 64


def test_protected_layers_are_never_touched():
    module = net()
    _, ticket = found(LRR(0.9, 3), module, protect=("first", "last", "norm", "bias"))
    assert list(ticket.masks) == ["2.weight"]
    for name in ("0.weight", "4.weight", "0.bias", "2.bias"):
        assert name in dict(module.named_parameters())


def test_an_overparameterized_module_keeps_the_snapshots():
    from overparam import OverparameterizedModule

    class Model(OverparameterizedModule):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x)

    module = Model()
    start = {k: v.clone() for k, v in plain_state(module).items()}

    def own(module):
        fit(module, 2)
        if not module.masks.sparsity():
            module.snapshot("rewind")
        fit(module, 3)

    ticket = find_ticket(module, own, IMP(0.3, 2, rewind_step=1), **ALL)
    twin = Model()
    twin.load_state_dict(start)
    fit(twin, 2)  # fit's own snapshot, at step 2, wins over the one at step 1
    for name, value in plain_state(twin).items():
        assert torch.equal(ticket.snapshot.state[name], value)
    module.rewind("init")
    assert torch.equal(original(module, "net.0.weight"), start["net.0.weight"])


# refusals of the search


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"criterion": "wish"}, "criterion must be among"),
        ({"scope": "town"}, "scope must be among"),
        ({"granularity": "atom"}, "granularity must be among"),
        ({"granularity": "path"}, "weight to prune by path"),
        ({"min_keep": -1}, "min_keep must be"),
        ({"protect": ("second",)}, "protect must be among"),
    ],
)
def test_senseless_searches_are_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        found(**change)


def test_nothing_to_prune_is_refused():
    with pytest.raises(ValueError, match="with all of them protected"):
        find_ticket(nn.Linear(3, 3), fit)


def test_lazy_layers_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="run one forward first"):
        find_ticket(nn.Sequential(nn.LazyLinear(3), nn.LazyLinear(3), nn.LazyLinear(3)), fit)


def test_divergence_and_meddling_are_noticed():
    def diverge(module):
        with torch.no_grad():
            original(module, "2.weight").fill_(float("nan"))

    with pytest.raises(ValueError, match=r"magnitude score of 2\.weight must be finite"):
        find_ticket(net(), diverge, **ALL)

    def meddle(module):
        Masks(module)["2.weight"].fill_(False)

    with pytest.raises(RuntimeError, match="leave the masks alone"):
        find_ticket(net(), meddle, **ALL)


def test_a_false_rewind_is_noticed():
    from overparam.search import check_rewound

    module, ticket = found()
    with pytest.raises(RuntimeError, match="bit for bit"):
        check_rewound(module, ticket.snapshot)


@pytest.mark.parametrize("masks", [{}, {"a": torch.ones(2)}])
def test_senseless_tickets_are_refused(masks):
    with pytest.raises(ValueError, match="must"):
        Ticket(masks=masks)


# controls


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 99), granularity=st.sampled_from(["weight", "neuron"]))
def test_controls_forget_what_they_say_and_no_more(seed, granularity):
    _, ticket = found(module=net(16), granularity=granularity)
    counts = {n: int(m.sum()) for n, m in ticket.masks.items()}
    shuffled = ticket.shuffled(seed)
    assert {n: int(m.sum()) for n, m in shuffled.masks.items()} == counts
    assert shuffled.sha != ticket.sha
    if granularity == "neuron":
        assert all(set(m.float().mean(1).tolist()) <= {0.0, 1.0} for m in shuffled.masks.values())
    assert {n: int(m.sum()) for n, m in ticket.random_like(seed).masks.items()} == counts
    uniform = ticket.random_like(seed, scope="global")
    assert uniform.kept == ticket.kept
    fresh = ticket.reinitialised(seed)
    assert fresh.sha == ticket.sha
    for name, value in fresh.snapshot.state.items():
        then = ticket.snapshot.state[name]
        assert torch.equal(value.flatten().sort().values, then.flatten().sort().values)
    assert not torch.equal(fresh.snapshot.state["2.weight"], ticket.snapshot.state["2.weight"])
    assert ticket.shuffled(seed).sha == shuffled.sha
    assert shuffled.schedule["control"] == "shuffled"
    for control in (shuffled, uniform, fresh):
        module = net(16)
        control.apply(module)
        control.rewind(module)
    with pytest.raises(ValueError, match="scope must be"):
        ticket.random_like(seed, scope="moon")


def test_shuffling_keeps_the_density_of_every_projection():
    module = nn.Sequential(nn.MultiheadAttention(8, 2))
    ticket = find_ticket(module, lambda m: None, LRR(0.6, 1), protect=("bias",))
    per_part = ticket.masks["0.in_proj_weight"].reshape(3, -1).sum(1)
    assert torch.equal(ticket.shuffled().masks["0.in_proj_weight"].reshape(3, -1).sum(1), per_part)


def test_the_repr_says_the_sizes():
    _, ticket = found()
    text = repr(ticket)
    assert "IMP rate=0.3 rounds=2" in text
    assert f"{ticket.kept:,} of {ticket.total:,} kept (51.0" in text or "% sparse" in text
    assert ticket.sha[:12] in text


def test_a_ticket_owns_its_tensors():
    module, ticket = found()
    before = {k: v.clone() for k, v in ticket.snapshot.state.items()}
    sha = ticket.sha
    with torch.no_grad():
        for p in module.parameters():
            p.add_(1.0)
        Masks(module)["2.weight"].fill_(True)
    assert ticket.sha == sha
    assert all(torch.equal(v, before[k]) for k, v in ticket.snapshot.state.items())
    clone = copy.deepcopy(ticket)
    assert clone.sha == sha
    assert take(module).state.keys() == before.keys()
