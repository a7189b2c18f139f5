"""Derivatives of a field with respect to its coordinates, by nested automatic differentiation.

Works for any module that maps each point by itself. A point's derivatives depend on that point
alone, so sums over points are differentiated: one reverse pass serves a whole chunk.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fields.chunk import chunked


def gradient(
    field: nn.Module | Callable[[Tensor], Tensor],
    x: Float[Tensor, "*batch d"],
    *,
    chunk: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "*batch c d"]:
    """Return the first derivatives of every component, ``g[..., c, i] = d y_c / d x_i``.

    Args:
        field: Map from points to values, each point by itself.
        x: Points.
        chunk: Points at a time; None suits the device.
        create_graph: Whether the result is to be differentiated in turn, in the field's
            parameters or in ``x``.
    """
    return _pointwise(lambda points: _first(field, points, create_graph), x, chunk, create_graph)


def laplacian(
    field: nn.Module | Callable[[Tensor], Tensor],
    x: Float[Tensor, "*batch d"],
    *,
    chunk: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "*batch c"]:
    """Return the sum of the second derivatives of every component along each coordinate.

    Args:
        field: Map from points to values, each point by itself.
        x: Points.
        chunk: Points at a time; None suits the device.
        create_graph: Whether the result is to be differentiated in turn, in the field's
            parameters or in ``x``.
    """

    def trace(points: Tensor) -> Tensor:
        slopes = _first(field, points, create_graph=True)
        rows = []
        for c in range(slopes.shape[1]):
            second = [
                _sum_gradient(slopes[:, c, i], points, create_graph)[:, i]
                for i in range(slopes.shape[2])
            ]
            rows.append(torch.stack(second).sum(0))
        return torch.stack(rows, dim=-1)

    return _pointwise(trace, x, chunk, create_graph)


def _first(
    field: nn.Module | Callable[[Tensor], Tensor], points: Tensor, create_graph: bool
) -> Tensor:
    values = field(points)
    slopes = [
        # the graph of one component is needed again for the next
        _sum_gradient(values[:, c], points, create_graph, keep=c + 1 < values.shape[1])
        for c in range(values.shape[1])
    ]
    return torch.stack(slopes, dim=1)


def _sum_gradient(
    values: Tensor, points: Tensor, create_graph: bool, *, keep: bool = True
) -> Tensor:
    """Differentiate the sum of ``values``; zeros where they do not depend on ``points``."""
    if not values.requires_grad:
        return torch.zeros_like(points)
    return torch.autograd.grad(
        values.sum(),
        points,
        create_graph=create_graph,
        retain_graph=create_graph or keep,
        materialize_grads=True,
    )[0]


def _pointwise(
    function: Callable[[Tensor], Tensor], x: Tensor, chunk: int | None, create_graph: bool
) -> Tensor:
    """Flatten the batch axes, differentiate chunk by chunk, restore the axes."""
    # Validation hooks run in inference mode, whose tensors cannot enter a graph: leave it, copy.
    with torch.inference_mode(False), torch.enable_grad():
        linked = create_graph and x.requires_grad
        points = x.clone() if linked or x.is_inference() else x.detach().clone()

        def piece(part: Tensor) -> Tensor:
            result = function(part if linked else part.detach().requires_grad_())
            return result if create_graph else result.detach()

        flat = chunked(piece, points.reshape(-1, x.shape[-1]), chunk)
    return flat.reshape(*x.shape[:-1], *flat.shape[1:])
