"""An elementwise activation and the affine map above it, on value, slopes and second derivatives.

With ``z, P, q`` the three below the activation, ``f`` and its derivatives taken at ``z``, and
``B`` a :class:`~fields.curvature.Curvature`, the layer is

    v = f,    J = f' P,    l = f' q + f'' B(P, P),    and    (W v + b, W J, W l) above.

Automatic differentiation of these lines keeps some sixteen tensors a layer for its backward pass.
Written by hand the backward pass keeps ``z, P, q, f, f'``: the rest takes a few multiplications and
is recomputed while the points are in cache. With hats for adjoints,

    z^ = f' v^ + f'' (sum P J^ + sum q l^) + f''' sum B(P, P) l^,
    P^ = f' J^ + f'' dB(P, P)/dP l^,    q^ = f' l^.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from fields.activation import Activation, Sine
from fields.curvature import Curvature

Streams = tuple[Tensor, Tensor, Tensor | None]
LARGE = 2**17  # numbers in a tensor
MOST_THREADS = 2  # torch's own operations use them all
PRECISIONS = (torch.float32, torch.float64)


def lift(
    derivatives: tuple[Tensor, ...], slopes: Tensor, second: Tensor | None, curvature: Curvature
) -> Streams:
    """Return value, slopes and second derivatives of ``f(z)``, given ``f``'s derivatives at z.

    Args:
        derivatives: ``f``, ``f'`` and, if second derivatives are carried, ``f''`` at z ``(n, *)``.
        slopes: Slopes of z, ``(k, n, *)`` or ``(k, 1, *)``.
        second: Second derivatives of z, ``(m, n, *)``; None when they vanish.
        curvature: What they are.
    """
    value, slope, *bend = derivatives
    if not curvature.count:
        return value, slope * slopes, None
    bent = bend[0] * curvature.bilinear(slopes, slopes)
    if second is not None:
        bent = torch.addcmul(bent, slope, second)
    return value, slope * slopes, bent


def known(activation: Activation, value: Tensor, curvature: Curvature) -> tuple[Tensor, ...]:
    """Return an activation's shape and as many derivatives at ``value`` as :func:`lift` takes."""
    f, slope = shape_slope(activation, value)
    if not curvature.count:
        return f, slope
    return f, slope, activation.shape_bend(value, f, slope)


def affine(streams: Streams, weight: Tensor, bias: Tensor | None) -> Streams:
    """Apply an affine map to the last axis of each stream."""
    value, slopes, second = streams
    linear = nn.functional.linear
    above = None if second is None else linear(second, weight)
    return linear(value, weight, bias), linear(slopes, weight), above


def follows(module: nn.Module, rule: str, of: str) -> bool:
    """Tell whether the method ``rule`` was written for the method ``of`` that the module has.

    A subclass that overrides ``forward`` alone inherits a ``taylor`` that is not its own.
    """
    if of in vars(module):
        return False
    for owner in type(module).__mro__:
        if rule in vars(owner):
            return True
        if of in vars(owner):
            return False
    return False


def require_derivatives(activation: Activation) -> None:
    """Refuse an activation whose ``shape_slope`` is not that of its ``shape``.

    Raises:
        NotImplementedError: If so.
    """
    if not follows(activation, "shape_slope", "shape"):
        raise NotImplementedError(f"{type(activation).__name__} gives no derivatives of its shape")


def is_plain(activation: Activation) -> bool:
    """Tell whether hand-written backward passes serve.

    Function transforms, forward-mode differentiation and compilation need the formulas
    themselves, and so do parameters inside an activation.
    """
    return (
        not torch._C._are_functorch_transforms_active()
        and not torch.compiler.is_compiling()
        and forward_ad._current_level < 0
        and next(activation.parameters(), None) is None
    )


def shape_slope(activation: Activation, value: Tensor) -> tuple[Tensor, Tensor]:
    """Return an activation's shape and slope, whose backward pass evaluates neither again."""
    if not is_plain(activation):
        return activation.shape_slope(value)
    return _ShapeSlope.apply(value, activation)


class _ShapeSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
        if type(activation) is Sine and value.dtype is torch.float32 and _is_large(value):
            from fields import taylor_kernel

            f, slope = taylor_kernel.sine_cosine(value)
        else:
            f, slope = activation.shape_slope(value)
        ctx.save_for_backward(value, f, slope)
        ctx.set_materialize_grads(False)
        ctx.activation = activation
        return f, slope

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, None]:
        value, f, slope = ctx.saved_tensors
        up_f, up_slope = upstream
        total = None if up_f is None else up_f * slope
        if up_slope is not None:
            bend = ctx.activation.shape_bend(value, f, slope)
            total = up_slope * bend if total is None else torch.addcmul(total, up_slope, bend)
        return total, None


def activate_affine(
    streams: Streams,
    activation: Activation,
    weight: Tensor,
    bias: Tensor | None,
    curvature: Curvature,
) -> Streams:
    """Apply the activation's shape and then the affine map, by the hand-written backward pass."""
    return _ActivateAffine.apply(*streams, weight, bias, activation, curvature)


class _ActivateAffine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        slopes: Tensor,
        second: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        activation: Activation,
        curvature: Curvature,
    ) -> Streams:
        ctx.activation, ctx.curvature = activation, curvature
        ctx.set_materialize_grads(False)
        derivatives = known(activation, value, curvature)
        ctx.save_for_backward(value, slopes, second, weight, bias, *derivatives[:2])
        return affine(_lifted(derivatives, slopes, second, curvature), weight, bias)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _backward_with_graph(ctx, upstream)
        return _backward(ctx, upstream)


def _backward_with_graph(ctx: Any, upstream: tuple[Tensor | None, ...]) -> tuple[Any, ...]:
    """Differentiate the formulas themselves, so that the result can be differentiated again."""
    inputs = ctx.saved_tensors[:5]
    value, slopes, second, weight, bias = inputs
    derivatives = known(ctx.activation, value, ctx.curvature)
    outputs = affine(lift(derivatives, slopes, second, ctx.curvature), weight, bias)
    pairs = [
        (output, gradient)
        for output, gradient in zip(outputs, upstream, strict=True)
        if output is not None and gradient is not None
    ]
    wanted = [i for i, needed in enumerate(ctx.needs_input_grad[:5]) if needed]
    gradients: list[Tensor | None] = [None] * 7
    found = torch.autograd.grad(
        [output for output, _ in pairs],
        [inputs[i] for i in wanted],
        [gradient for _, gradient in pairs],
        create_graph=True,
        allow_unused=True,
    )
    for i, gradient in zip(wanted, found, strict=True):
        gradients[i] = gradient
    return tuple(gradients)


def _backward(ctx: Any, upstream: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    z, P, q, weight, _bias, f, slope = ctx.saved_tensors
    activation, curvature = ctx.activation, ctx.curvature
    up_v, up_J, up_l = upstream  # None for what no loss looks at
    derivatives = (f, slope, activation.shape_bend(z, f, slope))

    weight_hat = bias_hat = None
    if ctx.needs_input_grad[3]:
        _, J, bent = _lifted(derivatives, P, q, curvature)
        weight_hat = torch.zeros_like(weight) if up_v is None else up_v.t() @ f
        for up, stream in ((up_J, J), (up_l, bent)):
            if up is not None and stream is not None:
                weight_hat.addmm_(up.flatten(0, 1).t(), stream.flatten(0, 1))
        del J, bent
    if up_v is not None and ctx.needs_input_grad[4]:
        bias_hat = up_v.sum(0)

    v_hat = torch.zeros_like(z) if up_v is None else up_v @ weight
    J_hat = z.new_zeros(len(P), *z.shape) if up_J is None else up_J @ weight
    if up_l is None:
        z_hat = (v_hat * slope).addcmul_(_inner(P, J_hat), derivatives[2])
        P_hat, q_hat = J_hat.mul_(slope), None
    else:
        third = activation.shape_third(z, *derivatives)
        hats = (v_hat, J_hat, up_l @ weight)
        z_hat, P_hat, q_hat = _pulled((*derivatives, third), P, q, curvature, hats)
    if P.shape[1] != P_hat.shape[1]:
        P_hat = P_hat.sum(1, keepdim=True)
    return z_hat, P_hat, q_hat, weight_hat, bias_hat, None, None


def _lifted(
    derivatives: tuple[Tensor, ...], P: Tensor, q: Tensor | None, curvature: Curvature
) -> Streams:
    """Do what :func:`lift` does, without a graph."""
    rates = curvature.rates(P)
    if rates is None or not _is_large(P, derivatives[0]):
        return lift(derivatives, P, q, curvature)
    from fields import taylor_kernel

    f, slope, bend = derivatives
    return f, *taylor_kernel.lift(slope, bend, P, q, rates, curvature.count)


def _pulled(
    derivatives: tuple[Tensor, Tensor, Tensor, Tensor],
    P: Tensor,
    q: Tensor | None,
    curvature: Curvature,
    hats: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the adjoints of ``z, P, q`` from those of ``v, J, l``, which are overwritten."""
    _, slope, bend, third = derivatives
    rates = curvature.rates(P)
    if rates is not None and _is_large(P, slope):
        from fields import taylor_kernel

        return taylor_kernel.pull((slope, bend, third), P, q, rates, hats)
    v_hat, J_hat, l_hat = hats
    mixed = _inner(P, J_hat)
    if q is not None:
        for i in range(len(q)):
            mixed.addcmul_(q[i], l_hat[i])
    z_hat = v_hat.mul_(slope).addcmul_(mixed, bend)
    z_hat.addcmul_(_inner(curvature.bilinear(P, P), l_hat), third)
    P_hat = J_hat.mul_(slope)
    curvature.add_pull(P_hat, P, l_hat * bend)
    return z_hat, P_hat, None if q is None else l_hat.mul_(slope)


def _is_large(*tensors: Tensor) -> bool:
    """Tell whether compiled loops pay: they take seconds to load, and one thread to run."""
    return (
        torch.get_num_threads() <= MOST_THREADS
        and tensors[-1].numel() >= LARGE
        and all(t.device.type == "cpu" and t.dtype in PRECISIONS for t in tensors)
    )


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """Sum of products over the first axis."""
    total = one[0] * other[0]
    for i in range(1, len(one)):
        total.addcmul_(one[i], other[i])
    return total
