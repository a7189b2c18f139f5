"""Laws of masked modules under program transformations: vmap, derivatives, compilers.

As in ``overparam.testing.laws``, every law takes ``(module, inputs)`` and leaves the module be.
"""

import copy
import io
import warnings

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close

from overparam.masks import Masks
from overparam.parametrization import bake, original
from overparam.plain import plain_keys
from overparam.testing.laws import Inputs, assert_masked_grads, grads_of, loss_of


def assert_stacks(module: nn.Module, inputs: Inputs) -> None:
    """``vmap`` over stacked states equals the loop, in outputs and gradients."""
    members = [copy.deepcopy(module) for _ in range(3)]
    with torch.no_grad():
        for i, member in enumerate(members):
            for parameter in member.parameters():
                parameter.mul_(1 + 0.1 * i)
            for mask in Masks(member).values():
                mask.view(-1).copy_(mask.view(-1).roll(i))
    parameters, buffers = stack_module_state(members)
    base = copy.deepcopy(module)

    def run(p: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        return functional_call(base, (p, b), inputs)

    with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernel has no batching rule
        assert_close(vmap(run)(parameters, buffers), torch.stack([m(*inputs) for m in members]))
        slopes = vmap(grad(lambda p, b: run(p, b).square().mean()))(parameters, buffers)
        for i, member in enumerate(members):
            own = grads_of(member, loss_of(member, inputs))
            for name, value in plain_keys(slopes).items():
                assert_close(value[i], own[name])


def assert_parameter_jacobian(module: nn.Module, inputs: Inputs) -> None:
    """The Jacobian in the trained values is the plain one with pruned columns at zero."""
    module, inputs = double(module, inputs)
    baked = bake(module)
    with sdpa_kernel(SDPBackend.MATH):
        jacobians = [
            jacrev(lambda p, net=net: functional_call(net, p, inputs))(dict(net.named_parameters()))
            for net in (module, baked)
        ]
    assert_masked_grads(module, plain_keys(jacobians[0]), jacobians[1])


def assert_differentiates_twice(module: nn.Module, inputs: Inputs) -> None:
    """The gradient of an input-gradient penalty is the plain one, zero in pruned entries."""
    module, inputs = double(module, inputs)
    baked = bake(module)
    slopes = []
    with sdpa_kernel(SDPBackend.MATH):  # the fused attention kernel has no second derivative
        for net in (module, baked):
            x = inputs[0].detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(loss_of(net, (x, *inputs[1:])), x, create_graph=True)
            slopes.append(grads_of(net, slope.square().sum()))
    assert_masked_grads(module, *slopes)


def assert_compiles(module: nn.Module, inputs: Inputs, backend: str = "aot_eager") -> None:
    """One graph without breaks, equal in values and gradients; new masks do not recompile it."""
    torch._dynamo.reset()
    module = copy.deepcopy(module)
    compiled = torch.compile(module, backend=backend, fullgraph=True)
    assert_close(compiled(*inputs), module(*inputs))
    fast, slow = (grads_of(module, loss_of(f, inputs)) for f in (compiled, module))
    for name, value in slow.items():
        assert_close(fast[name], value)
    for mask in Masks(module).values():
        mask.logical_not_()
    with torch.compiler.set_stance("fail_on_recompile"):
        flipped = compiled(*inputs)
    assert_close(flipped, module(*inputs))


def assert_exports(module: nn.Module, inputs: Inputs) -> None:
    """``torch.export`` writes a program that, read back, gives equal outputs."""
    module = copy.deepcopy(module).eval()
    with warnings.catch_warnings():
        # torch's own recurrent layers refresh a cached list while they are traced
        warnings.filterwarnings("ignore", message=r"The tensor attributes .*_flat_weights")
        program = torch.export.export(module, inputs)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    read = torch.export.load(buffer).module()
    assert_close(read(*inputs), module(*inputs))


def assert_scripts(module: nn.Module, inputs: Inputs) -> None:
    """TorchScript of the baked copy, read back, gives equal outputs."""
    baked = bake(module).eval()
    with warnings.catch_warnings():
        # still what MD engines load, whatever torch would rather have
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.\w+. is deprecated")
        if any(type(layer).__module__.startswith("e3nn.") for layer in baked.modules()):
            from e3nn.util.jit import script
        else:
            from torch.jit import script
        scripted = script(baked)
        buffer = io.BytesIO()
        torch.jit.save(scripted, buffer)
        buffer.seek(0)
        read = torch.jit.load(buffer)
    assert_close(read(*inputs), copy.deepcopy(module).eval()(*inputs))


def assert_hypernetwork(module: nn.Module, inputs: Inputs) -> None:
    """Weights written by another network: pruned ones send it no gradient, kept ones the right."""
    module, inputs = double(module, inputs)
    masks = Masks(module).as_dict()
    names = {next(iter(plain_keys({k: p}))): k for k, p in module.named_parameters()}
    targets = {plain: key for plain, key in names.items() if plain in masks} or {
        plain: key for plain, key in names.items() if original(module, plain).dim() > 1
    }
    code = torch.tensor([0.3, -0.7, 0.5], dtype=torch.float64)
    heads = {
        plain: torch.randn(
            original(module, plain).numel(), 3, generator=torch.Generator().manual_seed(i)
        )
        .double()
        .requires_grad_()
        for i, plain in enumerate(targets)
    }
    written = {n: (h @ code).reshape(original(module, n).shape) for n, h in heads.items()}
    y = functional_call(module, {targets[n]: w for n, w in written.items()}, inputs)
    y.square().mean().backward()

    plain_net = bake(module)
    with torch.no_grad():
        for name, weight in written.items():
            mask = masks.get(name, torch.ones_like(weight, dtype=torch.bool))
            original(plain_net, name).copy_(weight.masked_fill(~mask, 0.0))
    assert_close(y, plain_net(*inputs))
    slopes = grads_of(plain_net, loss_of(plain_net, inputs))
    for name, head in heads.items():
        mask = masks.get(name, torch.ones_like(slopes[name], dtype=torch.bool))
        expected = slopes[name].masked_fill(~mask, 0.0).reshape(-1, 1) * code
        assert head.grad is not None, f"{name} sends no gradient"
        assert_close(head.grad, expected)


def double(module: nn.Module, inputs: Inputs) -> tuple[nn.Module, Inputs]:
    """Copy in double precision, where derivatives are compared to rounding error."""
    cast = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    return copy.deepcopy(module).double(), cast
