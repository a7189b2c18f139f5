"""Derivatives of any pointwise map by nested automatic differentiation: slow, and always right.

A point's derivatives depend on that point alone, so sums over points are differentiated: one
reverse pass serves them all.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fields.curvature import Curvature, PairCurvature


def nested(
    field: Callable[[Tensor], Tensor],
    x: Float[Tensor, "n d"],
    directions: Float[Tensor, "k one_or_n d"],
    curvature: Curvature,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return what a field's Taylor expansion holds.

    Args:
        field: Map from points to values, each point by itself.
        x: Points.
        directions: Directions of differentiation.
        curvature: Which second derivatives are wanted.

    Returns:
        Value ``(n, c)``, slopes ``(k, n, c)`` and second derivatives ``(m, n, c)`` or None. They
        can be differentiated in turn when gradients are enabled around the call.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        points = x if create_graph and x.requires_grad else x.detach().requires_grad_()
        value = field(points)
        curved = curvature.count > 0
        components = []
        for c in range(value.shape[-1]):
            last = c + 1 == value.shape[-1]
            first = _sum_gradient(value[:, c], points, create_graph or curved, keep=not last)
            slopes = (first * directions).sum(-1)
            second = None
            if curved:
                rows = [_sum_gradient(slope, points, create_graph) for slope in slopes]
                second = _combined(torch.stack(rows), directions, curvature)
            components.append((slopes, second))
        slopes = torch.stack([slopes for slopes, _ in components], dim=-1)
        second = None
        if curved:
            second = torch.stack([s for _, s in components if s is not None], dim=-1)
    if create_graph:
        return value, slopes, second
    return value.detach(), slopes.detach(), None if second is None else second.detach()


def _combined(rows: Tensor, directions: Tensor, curvature: Curvature) -> Tensor:
    """Turn ``rows[i] = d (slope along i) / dx`` into the curvature's numbers ``(m, n)``."""
    if isinstance(curvature, PairCurvature):
        pairs = zip(curvature.first.tolist(), curvature.last.tolist(), strict=True)
        return torch.stack([(rows[i] * directions[j]).sum(-1) for i, j in pairs])
    # every other curvature is a sum over directions of B(P, P)_i = P_i P_i
    diagonal = (rows * directions).sum(-1)
    return curvature.bilinear(diagonal, torch.ones_like(diagonal))


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
