"""Evaluate over many points a chunk at a time: memory of one chunk, the numbers of one pass.

On a CPU small chunks are also the faster way: a chunk's intermediate tensors stay in cache.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# A chunk of 2048 points keeps a 256-wide layer's tensors (2 MB each) in cache; a GPU wants work
# to fill it, and holds 2**18 points of such a network's graph in a few GB.
CPU_CHUNK = 2048
GPU_CHUNK = 2**18


def chunk_size(chunk: int | None, device: torch.device) -> int:
    """Return ``chunk``, or the size that suits the device when it is None.

    Raises:
        ValueError: If ``chunk`` is below 1.
    """
    if chunk is None:
        return CPU_CHUNK if device.type == "cpu" else GPU_CHUNK
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    return chunk


def chunked(
    function: Callable[[Tensor], Tensor], x: Float[Tensor, "n *d"], chunk: int | None = None
) -> Float[Tensor, "n *c"]:
    """Apply a pointwise ``function`` to the rows of ``x``, a chunk at a time.

    Args:
        function: Map whose row i depends on row i of its input alone.
        x: Points along the first axis, at least one.
        chunk: Rows at a time; None suits the device.
    """
    return torch.cat([function(part) for part in x.split(chunk_size(chunk, x.device))])


def chunked_mean(
    loss: Callable[..., Tensor],
    parameters: Iterable[Tensor],
    tensors: Sequence[Tensor],
    chunk: int | None = None,
) -> Float[Tensor, ""]:
    """Evaluate a mean over points chunk by chunk, differentiable in ``parameters``.

    The value and its gradient are those of ``loss(*tensors)``. Each chunk's gradient is taken
    right after its value, so that only one chunk's graph is alive; the backward pass then merely
    scales the sums. Gradients are accumulated once, so that distributed averaging works as usual;
    a hook on a parameter tensor sees each chunk's share too. The result has no second
    derivative, and the gradient arrives at ``parameters`` alone.

    Args:
        loss: Mean over the points it is given; called with one slice of each tensor.
        parameters: Every tensor that ``loss`` depends on and that wants a gradient.
        tensors: Data, equally long along their first axis; they get no gradient.
        chunk: Points at a time; None suits the device.

    Raises:
        ValueError: If the tensors are empty, of unequal length, or want a gradient themselves.
    """
    lengths = {len(tensor) for tensor in tensors}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"tensors must share one positive length, got {sorted(lengths)}")
    if any(tensor.requires_grad for tensor in tensors):
        raise ValueError("tensors must not require gradients, which chunked_mean does not return")
    size = chunk_size(chunk, tensors[0].device)
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    if len(tensors[0]) <= size:
        return loss(*tensors)
    if not (torch.is_grad_enabled() and wanted):
        with torch.no_grad():
            return torch.stack(list(_shares(loss, tensors, size))).sum()
    return _ChunkedMean.apply(loss, tensors, size, wanted, *wanted)


def _shares(loss: Callable[..., Tensor], tensors: Sequence[Tensor], size: int) -> Iterable[Tensor]:
    """Yield each chunk's share of the mean."""
    total = len(tensors[0])
    for slices in zip(*(tensor.split(size) for tensor in tensors), strict=True):
        yield len(slices[0]) / total * loss(*slices)


class _ChunkedMean(torch.autograd.Function):
    """Value and parameter gradients together in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        loss: Callable[..., Tensor],
        tensors: Sequence[Tensor],
        size: int,
        parameters: Sequence[Tensor],
        *_: Tensor,
    ) -> Tensor:
        value: Tensor | None = None
        sums: list[Tensor | None] = [None] * len(parameters)
        with torch.enable_grad():
            for share in _shares(loss, tensors, size):
                gradients = torch.autograd.grad(share, parameters, allow_unused=True)
                value = share.detach() if value is None else value + share.detach()
                for index, gradient in enumerate(gradients):
                    held = sums[index]
                    if gradient is not None:
                        sums[index] = gradient if held is None else held.add_(gradient)
        ctx.used = [gradient is not None for gradient in sums]
        ctx.save_for_backward(*(gradient for gradient in sums if gradient is not None))
        assert value is not None
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        (scale,) = upstream
        gradients = [scale * next(saved) if used else None for used in ctx.used]
        return None, None, None, None, *gradients
