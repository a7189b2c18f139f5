"""A population is a serial loop, only faster: same losses, gradients, steps and survivors."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from overparam.masks import Masks
from overparam.population import Population


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(5 * x)


ACTIVATIONS = [nn.Tanh, nn.ReLU, nn.Softplus, Sine]


def network(width=6, activation=nn.Tanh, masked=False, depth=2, density=0.5):
    parts = [nn.Linear(3, width), activation()]
    for _ in range(depth - 1):
        parts += [nn.Linear(width, width), activation()]
    net = nn.Sequential(*parts, nn.Linear(width, 2))
    if masked:
        Masks(net).install()
        for mask in Masks(net).values():
            mask.copy_(torch.rand(mask.shape) < density)
    return net


def family(n, *, seed=0, **options):
    torch.manual_seed(seed)
    return [network(**options) for _ in range(n)]


def mse(member, x, y):
    return (member(x) - y).square().mean()


def data(n=None, rows=7):
    generator = torch.Generator().manual_seed(3)
    lead = () if n is None else (n,)
    return torch.randn(*lead, rows, 3, generator=generator), torch.randn(
        *lead, rows, 2, generator=generator
    )


def grads(population, index):
    named = dict(population.member(index).named_parameters())
    return {name: population.stacked[name.replace(".", "/")].grad[index] for name in named}


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 5),
    width=st.integers(1, 9),
    activation=st.sampled_from(ACTIVATIONS),
    masked=st.booleans(),
    per_member=st.booleans(),
    chunk_size=st.sampled_from([None, 1, 2]),
    vectorize=st.booleans(),
)
def test_losses_and_gradients_are_those_of_the_loop(
    n, width, activation, masked, per_member, chunk_size, vectorize
):
    members = family(n, width=width, activation=activation, masked=masked)
    population = Population(members, chunk_size=chunk_size, vectorize=vectorize)
    x, y = data(n if per_member else None)
    losses = population.losses(mse, x, y, per_member=per_member)
    population.backward(losses)
    for index, member in enumerate(members):
        own = (x[index], y[index]) if per_member else (x, y)
        loss = mse(member, *own)
        loss.backward()
        torch.testing.assert_close(losses[index], loss, rtol=1e-5, atol=1e-6)
        for name, parameter in member.named_parameters():
            torch.testing.assert_close(
                grads(population, index)[name], parameter.grad, rtol=1e-5, atol=1e-6
            )


@settings(deadline=None, max_examples=6)
@given(
    n=st.integers(2, 4), masked=st.booleans(), optimizer=st.sampled_from(["Adam", "AdamW", "SGD"])
)
def test_ten_steps_are_those_of_separate_optimizers(n, masked, optimizer):
    make = {
        "Adam": lambda p: torch.optim.Adam(p, 1e-2),
        "AdamW": lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.1),
        "SGD": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9),
    }[optimizer]
    members = family(n, masked=masked)
    population = Population(members)
    x, y = data()
    step(population, make(population.parameters()), x, y, 10)
    for index, member in enumerate(members):
        one = make(member.parameters())
        for _ in range(10):
            one.zero_grad()
            mse(member, x, y).backward()
            one.step()
        torch.testing.assert_close(population.member(index)(x), member(x), rtol=1e-5, atol=1e-5)


def step(population, optimizer, x, y, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        population.backward(population.losses(mse, x, y))
        optimizer.step()


def test_members_keep_their_own_masks_and_come_out_as_they_went_in():
    members = family(3, masked=True)
    population = Population(members)
    for index, member in enumerate(members):
        out = population.member(index)
        assert Masks(out).sha() == Masks(member).sha()
        assert all(
            torch.equal(a, b) for a, b in zip(out.parameters(), member.parameters(), strict=True)
        )
    x, _ = data()
    torch.testing.assert_close(population(x), torch.stack([m(x) for m in members]))
    assert torch.equal(population.member(-1)(x), members[-1](x)) and len(list(population)) == 3


def test_a_factory_gives_one_member_a_seed_and_leaves_the_random_state_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    population = Population(network, seeds=[7, 8, 7])
    assert torch.equal(torch.get_rng_state(), state)
    x, _ = data()
    first, other, again = population(x)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_successive_halving_goes_on_as_if_the_others_had_never_been():
    members = family(4)
    x, y = data()
    population = Population(members)
    optimizer = torch.optim.Adam(population.parameters(), 1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    step(population, optimizer, x, y, 3)
    scheduler.step()
    best = population.select([2, 0], optimizer)
    step(best, optimizer, x, y, 4)
    assert len(best) == 2 and len(population) == 4
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {
        id(p) for p in best.parameters()
    }
    alone = Population([members[2], members[0]])
    optimizer = torch.optim.Adam(alone.parameters(), 1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    step(alone, optimizer, x, y, 3)
    scheduler.step()
    step(alone, optimizer, x, y, 4)
    torch.testing.assert_close(best(x), alone(x))


def test_a_diverged_member_is_quarantined_and_poisons_nobody():
    members = family(3)
    x, y = data()
    broken = copy.deepcopy(members)
    with torch.no_grad():
        broken[1][0].weight.fill_(float("nan"))
    told = []
    sick = Population(broken, on_quarantine=lambda _, indices: told.append(indices))
    well = Population(members)
    sick_optimizer = torch.optim.Adam(sick.parameters(), 1e-2)
    well_optimizer = torch.optim.Adam(well.parameters(), 1e-2)
    for _ in range(3):
        for population, optimizer in ((sick, sick_optimizer), (well, well_optimizer)):
            optimizer.zero_grad()
            alive = population.backward(population.losses(mse, x, y))
            population.clip_gradients(0.1)
            optimizer.step()
        assert sick.alive.tolist() == [True, False, True] and alive.all()
    assert told == [[1]]
    assert torch.equal(sick(x)[[0, 2]], well(x)[[0, 2]])
    assert sick.evaluate(mse, x, y)[1] == float("inf")
    sick.set_member(1, members[1])
    assert sick.alive.all() and sick.evaluate(mse, x, y).isfinite().all()


def test_a_member_whose_gradient_alone_diverges_is_quarantined_too():
    class Root(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = nn.Parameter(torch.tensor([value]))

        def forward(self, x):
            return self.value.sqrt().sum() + 0 * x.sum()

    population = Population([Root(1.0), Root(0.0)])
    population.backward(population.losses(lambda member, x: member(x), torch.ones(1)))
    assert population.alive.tolist() == [True, False]
    assert next(population.parameters()).grad.tolist() == [[0.5], [0.0]]


def test_clipping_is_the_serial_rule():
    members = family(3)
    x, y = data()
    population = Population(members)
    population.backward(population.losses(mse, x, y))
    norms = population.clip_gradients(0.05)
    for index, member in enumerate(members):
        mse(member, x, y).backward()
        norm = torch.nn.utils.clip_grad_norm_(member.parameters(), 0.05)
        torch.testing.assert_close(norms[index], norm)
        for name, parameter in member.named_parameters():
            torch.testing.assert_close(grads(population, index)[name], parameter.grad)


def test_state_dicts_resume_exactly():
    x, y = data()
    population = Population(family(3, masked=True))
    optimizer = torch.optim.Adam(population.parameters(), 1e-2)
    step(population, optimizer, x, y, 3)
    saved = copy.deepcopy((population.state_dict(), optimizer.state_dict()))
    step(population, optimizer, x, y, 2)
    other = Population(family(3, seed=9, masked=True))
    other.load_state_dict(saved[0])
    optimizer = torch.optim.Adam(other.parameters(), 1e-2)
    optimizer.load_state_dict(saved[1])
    step(other, optimizer, x, y, 2)
    assert torch.equal(other(x), population(x))


def test_dropout_differs_between_members_and_evaluation_is_quiet():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5), nn.Linear(50, 2))
    population = Population([net, net])
    x, y = data()
    first, second = population(x)
    assert not torch.equal(first, second)
    losses = population.evaluate(mse, x, y)
    assert losses[0] == losses[1] and population.training and population.skeleton.training


def test_frozen_parameters_stay_frozen_and_dtypes_move_together():
    members = family(2)
    for member in members:
        member[0].weight.requires_grad_(False)
    population = Population(members).double()
    x, y = data()
    population.backward(population.losses(mse, x.double(), y.double()))
    assert population.stacked["0/weight"].grad is None
    assert population.member(0)[0].weight.dtype == torch.float64
    assert not population.member(0)[0].weight.requires_grad


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (lambda: [], "at least one module"),
        (lambda: [network(3), network(4)], "one shape of 0.weight"),
        (lambda: [network(), network().double()], "one dtype of 0.weight"),
        (lambda: [network(depth=2), network(depth=3)], "same tensors"),
        (lambda: [network(), network(activation=nn.ReLU)], "one class"),
        (lambda: [nn.ELU(1.0), nn.ELU(2.0)], "one setting alpha"),
        (lambda: [network(), network(masked=True)], "same tensors"),
        (lambda: [nn.LazyLinear(2)], "run one forward first"),
    ],
)
def test_members_that_are_not_alike_are_refused(members, message):
    with pytest.raises(ValueError, match=message):
        Population(members())


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="seeds must be given"):
        Population(network)
    with pytest.raises(ValueError, match="seeds must come with a factory"):
        Population(family(2), seeds=[1, 2])
    with pytest.raises(ValueError, match="chunk_size must be"):
        Population(family(2), chunk_size=0)
    population = Population(family(2))
    with pytest.raises(ValueError, match="indices must be within 2"):
        population.select([2])
    with pytest.raises(ValueError, match="per_member must have 1"):
        population(data()[0], per_member=[True, False])
    with pytest.raises(IndexError, match="within 2 members"):
        population.member(2)
    norm = Population([nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2)])
    with pytest.raises(ValueError, match="running statistics"):
        norm(data()[0])
    norm.eval()(data()[0])


def test_graph_and_equivariant_members_run_vectorised():
    o3 = pytest.importorskip("e3nn.o3")
    pyg = pytest.importorskip("torch_geometric.nn")
    torch.manual_seed(0)
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    x = torch.randn(4, 3)
    graphs = [pyg.GIN(3, 6, 2, 2) for _ in range(3)]
    products = [o3.FullyConnectedTensorProduct("2x0e+1x1o", "1x1o", "2x0e+1x1o") for _ in range(3)]
    cases = [(graphs, (x, edges)), (products, (torch.randn(4, 5), torch.randn(4, 3)))]
    for members, inputs in cases:
        population = Population(members)
        torch.testing.assert_close(
            population(*inputs), torch.stack([m(*inputs) for m in members]), rtol=1e-5, atol=1e-5
        )
        population(*inputs).square().mean((1, 2)).sum().backward()
        members[1](*inputs).square().mean().backward()
        for name, parameter in members[1].named_parameters():
            torch.testing.assert_close(
                grads(population, 1)[name], parameter.grad, rtol=1e-4, atol=1e-5
            )
