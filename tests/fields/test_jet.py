"""Jets agree with nested automatic differentiation, in numbers and in gradients."""

import functools
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, stack_module_state, vmap

from fields import (
    CompiledJet,
    Finer,
    Gauss,
    GaussianFourier,
    HashGrid,
    Identity,
    MLPField,
    Positional,
    Relu,
    Sine,
    Siren,
    Softplus,
    Tanh,
    Wire,
    chunked_mean,
    jet,
)
from fields.curvature import Curvature
from fields.jet import carry
from fields.taylor import Taylor, expand
from overparam import Masks, bake

ORDERS = ["gradient", "laplacian", "axes", "hessian"]
ACTIVATIONS = {
    "sine": lambda: Sine(5.0),
    "finer": lambda: Finer(3.0, k=2.0),
    "gauss": lambda: Gauss(2.0),
    "wire": lambda: Wire(3.0, 1.0),
    "relu": Relu,
    "tanh": Tanh,
    "softplus": Softplus,
}
ENCODINGS = {
    "none": lambda d: None,
    "identity": Identity,
    "positional": lambda d: Positional(d, frequencies=2),
    "gaussian": lambda d: GaussianFourier(d, features=3, sigma=0.5),
    "grid": lambda d: HashGrid(d, levels=2, log2_table=5, coarsest=2, finest=5),
    "kinked grid": lambda d: HashGrid(d, levels=2, coarsest=2, finest=3, smooth=False),
}


def double(make, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        field = make().double()
        for module in field.modules():
            if isinstance(module, HashGrid):
                module.table.weight.normal_()
    return field


def points(n, d, seed=0):
    # partly outside [-1, 1], where a hash grid stops
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed)).double() * 2.2 - 1.1


def reference(field, x, order):
    """Value, gradient and the order's second derivatives from full Jacobians of Jacobians."""
    slopes = jacrev(lambda point: field(point[None])[0])
    found = (field(x), vmap(slopes)(x))
    if order == "gradient":
        return found
    full = vmap(jacfwd(slopes))(x)
    diagonal = full.diagonal(dim1=-2, dim2=-1)
    return *found, {"hessian": full, "axes": diagonal, "laplacian": diagonal.sum(-1)}[order]


def close(ours, theirs):
    assert ours.shape == theirs.shape
    size = theirs.detach().abs().max()
    assert (ours - theirs).detach().abs().max() <= 1e-10 * size + 1e-12


def agree(field, x, ours, theirs):
    """Compare all the numbers, and the parameters' gradients of a loss that mixes them."""
    assert len(ours) == len(theirs)
    losses = []
    for found in (ours, theirs):
        rates = [torch.linspace(-1, 2, part.numel(), dtype=x.dtype) for part in found]
        losses.append(
            sum(
                (part * (rate.view_as(part) + part)).sum()
                for part, rate in zip(found, rates, strict=True)
            )
        )
    parameters = list(field.parameters())
    gradients = [
        torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for loss in losses
    ]
    for one, other in zip([*ours, *gradients[0]], [*theirs, *gradients[1]], strict=True):
        close(one, other)


@settings(deadline=None, max_examples=30)
@given(data=st.data(), seed=st.integers(0, 999))
def test_equals_nested_autograd(data, seed):
    order = data.draw(st.sampled_from(ORDERS))
    encoding = data.draw(st.sampled_from(list(ENCODINGS)))
    activation = data.draw(st.sampled_from(list(ACTIVATIONS)))
    d = data.draw(st.integers(2, 3) if "grid" in encoding else st.integers(1, 4))
    c, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    depth, chunk = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    field = double(
        lambda: MLPField(
            d,
            c,
            width=width,
            depth=depth,
            activation=ACTIVATIONS[activation](),
            encoding=ENCODINGS[encoding](d),
        ),
        seed,
    )
    x = points(5, d, seed)
    agree(field, x, jet(field, x, order, chunk=chunk), reference(field, x, order))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_module_of_the_package_takes_part(activation, encoding):
    field = MLPField(
        2, 1, width=3, activation=ACTIVATIONS[activation](), encoding=ENCODINGS[encoding](2)
    )
    expand(field, Taylor(torch.rand(4, 2), torch.eye(2)[:, None], None, Curvature()))


# operators


@settings(deadline=None, max_examples=15)
@given(
    d=st.integers(1, 4),
    c=st.integers(1, 3),
    per_point=st.booleans(),
    is_complex=st.booleans(),
    trained=st.booleans(),
)
def test_an_operator_is_the_sum_of_its_terms(d, c, per_point, is_complex, trained):
    field = double(lambda: Siren(d, c, width=5, depth=2, omega=4.0), 0)
    x = points(6, d)
    dtype = torch.complex128 if is_complex else torch.float64
    weights = torch.randn(*([6] if per_point else []), d, dtype=dtype, requires_grad=trained)
    value, slopes, ours = jet(field, x, "operator", weights=weights, chunk=4)
    v, g, axes = jet(field, x, "axes")
    theirs = (weights.reshape(-1, 1, d) * axes).sum(-1)
    close(ours, theirs)
    close(value, v)
    close(slopes, g)
    wanted = [*field.parameters(), *([weights] if trained else [])]
    found = [
        torch.autograd.grad(part.abs().sum(), wanted, retain_graph=True, materialize_grads=True)
        for part in (ours, theirs)
        if wanted
    ]
    for one, other in zip(*found, strict=True):
        close(one, other)


def test_equal_weights_make_the_laplacian_and_operators_are_linear_in_them():
    field, x = double(lambda: Siren(3, 2, width=5, depth=2), 0), points(6, 3)
    operator = functools.partial(jet, field, x, "operator")
    close(operator(weights=[1, 1, 1])[2], jet(field, x, "laplacian")[2])
    u, v = torch.rand(2, 6, 3, dtype=torch.float64)
    both = operator(weights=2 * u - 3 * v)[2]
    close(both, 2 * operator(weights=u)[2] - 3 * operator(weights=v)[2])


@pytest.mark.parametrize("order", ORDERS)
def test_axes_are_rows_of_the_whole(order):
    field, x = double(lambda: Siren(3, 2, width=5, depth=2), 0), points(6, 3)
    _, slopes, full = jet(field, x, "hessian")
    chosen = [2, 0]
    found = jet(field, x, order, axes=chosen)
    close(found[1], slopes[..., chosen])
    block = full[..., chosen, :][..., chosen]
    diagonal = block.diagonal(dim1=-2, dim2=-1)
    if order != "gradient":
        close(found[2], {"hessian": block, "axes": diagonal, "laplacian": diagonal.sum(-1)}[order])


@pytest.mark.parametrize("per_point", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_directional_derivatives(order, per_point):
    field, x = double(lambda: Siren(3, 1, width=5, depth=2), 0), points(6, 3)
    along = torch.randn(*([6] if per_point else []), 4, 3, dtype=torch.float64)
    _, slopes, full = jet(field, x, "hessian")
    found = jet(field, x, order, directions=along, chunk=4)
    toward = along.expand(6, 4, 3)
    close(found[1], torch.einsum("nci,nki->nck", slopes, toward))
    block = torch.einsum("ncij,nki,nlj->nckl", full, toward, toward)
    diagonal = block.diagonal(dim1=-2, dim2=-1)
    if order != "gradient":
        close(found[2], {"hessian": block, "axes": diagonal, "laplacian": diagonal.sum(-1)}[order])


# fields that others wrote


class Swish(nn.Module):
    """Takes no part."""

    def forward(self, x):
        return x * torch.sigmoid(x)


class Scaled(Siren):
    """Inherits a rule that is not its own."""

    def forward(self, x):
        return 2 * super().forward(x)


class Bent(Tanh):
    """Inherits derivatives that are not its own."""

    def shape(self, s):
        return torch.tanh(s) + s


FOREIGN = {
    "module": lambda: nn.Sequential(nn.Linear(2, 4), Swish(), nn.Linear(4, 2)),
    "field": lambda: Scaled(2, 2, width=4, depth=2),
    "activation": lambda: MLPField(2, 2, width=4, depth=2, activation=Bent()),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_modules_are_differentiated_by_nested_autograd(name, order):
    field, x = double(FOREIGN[name], 0), points(5, 2)
    with pytest.raises(NotImplementedError):
        carry(field, x, torch.eye(2).double()[:, None], Curvature())
    agree(field, x, jet(field, x, order, chunk=2), reference(field, x, order))


def test_foreign_operators_and_directions():
    field, x = double(FOREIGN["module"], 0), points(5, 2)
    weights = torch.rand(5, 2).double() + 1j
    _, slopes, full = reference(field, x, "hessian")
    along = torch.randn(2, 2).double()
    block = torch.einsum("ncij,ki,kj->nck", full, along, along)
    _, ours, second = jet(field, x, "operator", weights=weights, directions=along)
    close(ours, slopes @ along.T)
    close(second, (weights[:, None] * block).sum(-1))


def test_a_function_is_a_field_and_one_that_ignores_its_points_is_flat():
    x = points(4, 3)
    _, slopes, second = jet(lambda p: p.square().sum(-1, keepdim=True), x, "laplacian")
    close(slopes[:, 0], 2 * x)
    close(second, torch.full((4, 1), 6.0).double())
    assert not jet(lambda p: torch.ones_like(p), x, "laplacian")[1].any()


def test_what_a_hook_does_is_seen():
    field, x = double(lambda: Siren(2, 1, width=4, depth=2), 0), points(5, 2)
    plain = jet(field, x, "laplacian")
    handle = field.hidden[0].register_forward_hook(lambda module, args, y: 2 * y)
    agree(field, x, jet(field, x, "laplacian"), reference(field, x, "laplacian"))
    assert not torch.allclose(jet(field, x, "laplacian")[2], plain[2])
    handle.remove()
    close(jet(field, x, "laplacian")[2], plain[2])


class Boxed(nn.Module):
    """A field that vanishes on the walls, joined by one method."""

    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, x):
        wall = (1 - x**2).prod(-1, keepdim=True)
        return wall * self.field(x) + 1

    def taylor(self, t):
        x = t.value
        sides = t.chain(1 - x**2, -2 * x, torch.full_like(x, -2.0))
        wall = sides.linear(lambda s: s[..., :1])
        for axis in range(1, x.shape[-1]):
            wall = wall * sides.linear(lambda s, axis=axis: s[..., axis : axis + 1])
        return wall * expand(self.field, t) + 1


class Residual(nn.Module):
    """A skip connection, joined by one method."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)

    def taylor(self, t):
        return t + expand(self.inner, t)


@pytest.mark.parametrize("order", ORDERS)
def test_an_outside_layer_joins_by_one_method(order):
    inner = nn.Sequential(
        nn.Linear(3, 4),
        Residual(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))),
        Sine(2.0),
        nn.Identity(),
        nn.Linear(4, 1),
    )
    field, x = double(lambda: Boxed(inner), 0), points(5, 3)
    expand(field, Taylor(x, torch.eye(3).double()[:, None], None, Curvature()))
    agree(field, x, jet(field, x, order), reference(field, x, order))


# weights


class Last(nn.Module):
    """The last part of a field's jet, as a module that transforms can take."""

    def __init__(self, field, order):
        super().__init__()
        self.field, self.order = field, order

    def forward(self, x):
        return jet(self.field, x, self.order)[-1]


@pytest.mark.parametrize("order", ORDERS)
def test_function_transforms(order):
    x = points(4, 2)
    modules = [Last(double(lambda: Siren(2, 1, width=4, depth=2), i), order) for i in range(3)]
    module, whole = modules[0], modules[0](x)
    state = {name: value.detach() for name, value in module.named_parameters()}

    def run(state, x):
        return functional_call(module, state, (x,))

    close(vmap(run, (None, 0))(state, x), whole)

    each = vmap(grad(lambda state, point: run(state, point).sum()), (None, 0))(state, x)
    total = torch.autograd.grad(whole.sum(), list(module.parameters()), materialize_grads=True)
    for rows, row in zip(each.values(), total, strict=True):
        close(rows.sum(0), row)

    toward = {name: torch.randn_like(value) for name, value in state.items()}
    _, pushed = jvp(lambda state: run(state, x), (state,), (toward,))
    jacobians = jacrev(lambda state: run(state, x))(state)
    pulled = sum((jacobians[k] * toward[k]).flatten(whole.dim()).sum(-1) for k in state)
    close(pushed, pulled)

    stacked, _ = stack_module_state(modules)
    for found, each in zip(vmap(run, (0, None))(stacked, x), modules, strict=True):
        close(found, each(x))


@pytest.mark.parametrize("order", ORDERS)
def test_jets_are_differentiable_in_the_points_and_once_more_in_the_weights(order):
    field, x = double(lambda: Siren(2, 1, width=4, depth=2, omega=4.0), 0), points(4, 2)
    grads = []
    for derivatives in (lambda p: jet(field, p, order), lambda p: reference(field, p, order)):
        at = x.clone().requires_grad_()
        (third,) = torch.autograd.grad(derivatives(at)[-1].sum(), at, create_graph=True)
        total = third.square().sum()
        grads.append([third, *torch.autograd.grad(total, list(field.parameters())[:-1])])
    for one, other in zip(*grads, strict=True):
        close(one, other)


@pytest.mark.parametrize("granularity", ["weight", "neuron"])
def test_masked_weights_are_the_masked_ones(granularity):
    field, x = double(lambda: Siren(2, 1, width=6, depth=2), 0), points(5, 2)
    name = "hidden.1.affine.weight"
    Masks(field).install([name], granularity=granularity)
    mask = Masks(field).module_of(name)
    mask.set_bits(torch.rand(mask.bits.shape) < 0.5)
    masked = jet(field, x, "laplacian")
    agree(field, x, masked, reference(field, x, "laplacian"))
    bake(field)
    close(jet(field, x, "laplacian")[2], masked[2])


def test_weights_drawn_at_random_are_drawn_once():
    field = double(lambda: Siren(2, 1, width=6, depth=2), 0)
    drawn = []

    class Noise(nn.Module):
        def forward(self, weight):
            drawn.append(1)
            return weight + torch.randn_like(weight)

    nn.utils.parametrize.register_parametrization(
        field.hidden[1].affine, "weight", Noise(), unsafe=True
    )
    drawn.clear()
    x = points(1, 2).expand(6, 2)
    _, _, second = jet(field, x, "laplacian", chunk=2)
    assert len(drawn) == 1
    close(second, second[:1].expand(6, 1))


def test_frozen_weights_get_no_gradient():
    field, x = double(lambda: Siren(2, 1, width=4, depth=2), 0), points(5, 2)
    field.hidden[1].affine.weight.requires_grad_(False)
    jet(field, x, "laplacian")[2].sum().backward()
    assert field.hidden[1].affine.weight.grad is None
    assert field.hidden[0].affine.weight.grad.any()


def test_without_gradients_there_is_no_graph():
    field, x = Siren(2, 1, width=4, depth=2), torch.rand(5, 2)
    with torch.no_grad():
        assert not any(part.requires_grad for part in jet(field, x, "laplacian"))
        assert not any(part.requires_grad for part in jet(FOREIGN["module"](), x, "laplacian"))
    assert all(part.requires_grad for part in jet(field, x, "laplacian"))


# chunks and shapes


@settings(deadline=None, max_examples=10)
@given(n=st.integers(1, 12), chunk=st.integers(1, 13))
def test_a_laplacian_loss_accumulated_in_chunks_has_the_full_gradient(n, chunk):
    field, x = double(lambda: Siren(2, 1, width=5, depth=2), 0), points(n, 2)
    target = points(n, 1, seed=1)

    def loss(x, y):
        return nn.functional.mse_loss(jet(field, x, "laplacian")[2], y)

    parameters = list(field.parameters())
    whole, parts = loss(x, target), chunked_mean(loss, parameters, (x, target), chunk)
    close(parts, whole)
    ours, theirs = (
        torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
        for total in (parts, whole)
    )
    for one, other in zip(ours, theirs, strict=True):
        close(one, other)


@pytest.mark.parametrize("order", ["value", *ORDERS])
@pytest.mark.parametrize("batch", [(), (0,), (2, 3)])
def test_leading_axes_are_kept(order, batch):
    field = Siren(3, 2, width=4, depth=2)
    x = torch.rand(*batch, 3)
    shapes = [part.shape[len(batch) :] for part in jet(field, x, order)]
    last = {"laplacian": (2,), "axes": (2, 3), "hessian": (2, 3, 3)}
    expected = [(2,)] if order == "value" else [(2,), (2, 3)]
    assert [tuple(s) for s in shapes] == expected + ([last[order]] if order in last else [])


def test_the_value_is_the_fields_own():
    field, x = Siren(3, 2, width=4, depth=2), torch.rand(5, 3)
    (value,) = jet(field, x, "value", chunk=2)
    torch.testing.assert_close(value, field(x))


def test_single_precision_stays_single():
    field, x = Siren(2, 1, width=4, depth=2), torch.rand(5, 2)
    weights = torch.rand(2, dtype=torch.float64)
    assert jet(field, x, "operator", weights=weights)[2].dtype == torch.float32
    assert jet(field, x, "operator", weights=weights * 1j)[2].dtype == torch.complex64


@pytest.mark.parametrize(
    ("order", "options", "named"),
    [
        ("curl", {}, "order must be one of value, gradient"),
        ("operator", {}, "weights"),
        ("laplacian", {"weights": [1.0, 1.0]}, "weights"),
        ("operator", {"weights": [1.0]}, "weights must be"),
        ("operator", {"weights": torch.rand(3, 2)}, "weights must be"),
        ("gradient", {"axes": [2]}, "axes must be"),
        ("gradient", {"axes": []}, "axes must be"),
        ("gradient", {"axes": [0], "directions": torch.eye(2)}, "not both"),
        ("gradient", {"directions": torch.eye(3)}, "directions must be"),
        ("gradient", {"directions": torch.rand(4, 2, 2)}, "directions must be"),
        ("gradient", {"chunk": 0}, "chunk"),
    ],
)
def test_rejects_what_does_not_fit(order, options, named):
    with pytest.raises(ValueError, match=named):
        jet(Siren(2, 1, width=3, depth=1), torch.rand(5, 2), order, **options)


def test_the_function_wins_over_its_file():
    import fields.jet

    assert callable(fields.jet)


COMPILED = """
import torch
from fields import CompiledJet, Siren, jet

field, x = Siren(2, 1, width=8, depth=2), torch.rand(7, 2)
for order in ("laplacian", "gradient"):
    compiled = CompiledJet(field, order, chunk=4)
    pair = [run() for run in (lambda: compiled(x), lambda: jet(field, x, order))]
    weight = field.hidden[0].affine.weight
    pair = [
        found + torch.autograd.grad(found[-1].square().sum(), weight) for found in pair
    ]
    for ours, theirs in zip(*pair, strict=True):
        size = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * size)
"""


@pytest.mark.slow
def test_the_compiled_pass_is_the_same():
    # in a process of its own: the compiler cannot see through the tests' checks of types
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=900)


def test_compiling_values_is_refused():
    with pytest.raises(ValueError, match="order"):
        CompiledJet(Siren(2, 1, width=3, depth=1), "value")
