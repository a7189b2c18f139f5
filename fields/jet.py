"""Value, gradient and second derivatives of a field in one pass.

Fields of this package carry Taylor expansions forward through their layers; few outputs of a
gradient go back by a reverse sweep. Anything else is differentiated by nested autograd.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn
from torch.nn.utils import parametrize

from fields.chunk import chunk_size
from fields.curvature import (
    AxisCurvature,
    Curvature,
    PairCurvature,
    SumCurvature,
    WeightedCurvature,
)
from fields.nested import nested
from fields.taylor import Taylor, expand
from fields.taylor_sweep import Sweep

Field = nn.Module | Callable[[Tensor], Tensor]
Number = int | float | complex
ORDERS = ("value", "gradient", "laplacian", "operator", "axes", "hessian")


def jet(
    field: Field,
    x: Float[Tensor, "*batch d"],
    order: str,
    *,
    weights: Inexact[Tensor, "*weight_batch k"] | Sequence[Number] | None = None,
    axes: Sequence[int] | None = None,
    directions: Float[Tensor, "*direction_batch k _"] | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, ...]:
    """Evaluate a field with its derivatives, differentiable in its weights and in ``x``.

    With k the number of directions, by default the d coordinates:

    ===========  ===================================================================
    order        returns
    ===========  ===================================================================
    value        value ``(*batch, c)``
    gradient     value, gradient ``(*batch, c, k)``
    laplacian    value, gradient, sum of second derivatives ``(*batch, c)``
    operator     value, gradient, sum weighted by ``weights`` ``(*batch, c)``
    axes         value, gradient, second derivative along each ``(*batch, c, k)``
    hessian      value, gradient, second derivatives ``(*batch, c, k, k)``
    ===========  ===================================================================

    A gradient costs as much as evaluating the field 1 + min(c, k) times, second derivatives as
    much as 1 + k + min(c, m) times, with m = 1 for a Laplacian or an operator, k for axes and
    k (k + 1) / 2 for a Hessian.

    A module takes part by a method ``taylor(t)`` that maps a :class:`fields.taylor.Taylor` of its
    input to that of its output, defined in the class that defines its ``forward``; sequences,
    affine maps, ``Tanh`` and ``ReLU`` of torch take part as they are. Anything else, and any
    field with forward hooks, is differentiated by nested autograd: ``1 + c + 2 c k`` evaluations.

    Args:
        field: Map from points to values, each point by itself.
        x: Points.
        order: One of the above.
        weights: Coefficients of ``operator``, one for each direction: real or complex, ``(k,)`` or
            one set for each point, ``(*batch, k)``. Gradients reach them.
        axes: Coordinates to differentiate along; all by default.
        directions: Vectors to differentiate along in place of coordinates, ``(k, d)`` or
            ``(*batch, k, d)``; held constant by the second derivative.
        chunk: Points at a time; None suits the device. Results do not depend on it.

    Raises:
        ValueError: If ``order`` is unknown, or the other arguments do not fit it or ``x``.

    Source: forward Laplacians, Li et al., "A computational framework for neural network-based
    variational Monte Carlo with Forward Laplacian", arXiv:2307.08214; collapsed Taylor mode,
    Dangel et al., arXiv:2505.13644.
    """
    return evaluate(_streams, field, x, order, weights, axes, directions, chunk)


def evaluate(
    streams: Callable[..., tuple[Tensor, Tensor, Tensor | None]],
    field: Field,
    x: Tensor,
    order: str,
    weights: Tensor | Sequence[Number] | None,
    axes: Sequence[int] | None,
    directions: Tensor | None,
    chunk: int | None,
) -> tuple[Tensor, ...]:
    """Do what :func:`jet` does, with ``streams`` in the place of :func:`carry`."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
    if (weights is not None) != (order == "operator"):
        raise ValueError(f"weights belong to the order operator, got order {order!r}")
    batch, d = x.shape[:-1], x.shape[-1]
    points = x.reshape(-1, d)
    along = _directions(points, batch, axes, directions)
    factors = None if weights is None else _weights(weights, points, batch, len(along))
    curvature = _curvature(order, len(along), factors)
    apart = factors if isinstance(curvature, AxisCurvature) else None

    def piece(start: int, stop: int) -> tuple[Tensor, ...]:
        part, here = points[start:stop], curvature.at(start, stop)
        if order == "value":
            return (field(part),)
        toward = along if along.shape[1] == 1 else along[:, start:stop]
        rows = apart if apart is None or len(apart) == 1 else apart[start:stop]
        return _finish(streams(field, part, toward, here), order, here, rows)

    size = chunk_size(chunk, x.device)
    # masked or drawn at random, weights are the same in every chunk
    with parametrize.cached():
        pieces = [piece(start, start + size) for start in range(0, max(len(points), 1), size)]
    whole = [
        torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*pieces, strict=True)
    ]
    return tuple(part.reshape(*batch, *part.shape[1:]) for part in whole)


def _directions(
    points: Tensor, batch: torch.Size, axes: Sequence[int] | None, directions: Tensor | None
) -> Tensor:
    """Return the directions of differentiation, ``(k, 1 or n, d)``."""
    d = points.shape[-1]
    if directions is not None:
        if axes is not None:
            raise ValueError("give axes or directions, not both")
        if directions.dim() < 2 or directions.shape[-1] != d:
            raise ValueError(
                f"directions must be vectors of {d} coordinates, got shape "
                f"{tuple(directions.shape)}"
            )
        if directions.dim() == 2:
            return directions.to(points.dtype)[:, None]
        if directions.shape[:-2] != batch:
            raise ValueError(
                f"directions must be (k, {d}) or {(*batch, 'k', d)}, got {tuple(directions.shape)}"
            )
        return directions.to(points.dtype).reshape(-1, *directions.shape[-2:]).transpose(0, 1)
    unit = torch.eye(d, dtype=points.dtype, device=points.device)
    if axes is None:
        return unit[:, None]
    if len(axes) == 0 or not all(-d <= axis < d for axis in axes):
        raise ValueError(f"axes must be coordinates of 0..{d - 1}, at least one, got {axes}")
    return unit[list(axes), None]


def _weights(
    weights: Tensor | Sequence[Number], points: Tensor, batch: torch.Size, k: int
) -> Tensor:
    """Return the coefficients of an operator, ``(1 or n, k)``, in the points' precision."""
    factors = torch.as_tensor(weights, device=points.device)
    factors = factors.to(points.dtype.to_complex() if factors.is_complex() else points.dtype)
    if factors.shape == (k,):
        return factors[None]
    if factors.shape != (*batch, k):
        raise ValueError(
            f"weights must be {(k,)} or {(*batch, k)}, one for each direction, got shape "
            f"{tuple(factors.shape)}"
        )
    return factors.reshape(-1, k)


def _curvature(order: str, k: int, factors: Tensor | None) -> Curvature:
    """Return the second derivatives to carry, the fewest that the order follows from."""
    if order == "hessian":
        return PairCurvature(k)
    if order == "axes":
        return AxisCurvature(k)
    if order == "laplacian":
        return SumCurvature()
    if factors is None:
        return Curvature()
    parts = [factors.real, factors.imag] if factors.is_complex() else [factors]
    # summed up afterwards if that carries no more, or lets gradients reach the coefficients
    if factors.requires_grad or k <= len(parts):
        return AxisCurvature(k)
    return WeightedCurvature(torch.stack([part.t() for part in parts]))


def _streams(
    field: Field, x: Tensor, directions: Tensor, curvature: Curvature
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return value, slopes and second derivatives, with the points second; None for zeros."""
    if isinstance(field, nn.Module) and not _has_hooks(field):
        try:
            return carry(field, x, directions, curvature)
        except NotImplementedError:
            pass
    return nested(field, x, directions, curvature)


def carry(
    field: nn.Module, x: Tensor, directions: Tensor, curvature: Curvature
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Do what :func:`jet` does to one chunk of a field that takes part.

    Raises:
        NotImplementedError: If some module takes no part.
    """
    start = Taylor(x, directions, None, curvature)
    # streams that the outputs' number may replace
    streams = curvature.count or len(directions)
    outputs = getattr(field, "out_features", 0)
    if outputs < streams:
        try:
            sweep = expand(field, Sweep(start))
            if isinstance(sweep, Sweep) and sweep.width < streams:
                return sweep.outcome()
        except NotImplementedError:
            pass  # no way back through some layer; forward there may be one
    t = expand(field, start)
    return t.value, t.slopes, t.second


def _has_hooks(field: nn.Module) -> bool:
    """Tell whether calling the field's modules does more than their ``forward``."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in field.modules())


def _finish(
    streams: tuple[Tensor, Tensor, Tensor | None],
    order: str,
    curvature: Curvature,
    factors: Tensor | None,
) -> tuple[Tensor, ...]:
    """Bring the points to the front and the second derivatives into their order's form."""
    value, slopes, second = streams
    gradient = slopes.expand(-1, len(value), -1).permute(1, 2, 0)
    if not curvature.count:
        return value, gradient
    if second is None:
        second = value.new_zeros(curvature.count, *value.shape)
    if isinstance(curvature, PairCurvature):
        return value, gradient, second[curvature.place].permute(2, 3, 0, 1)
    if order == "axes":
        return value, gradient, second.permute(1, 2, 0)
    if factors is not None:
        return value, gradient, (second.permute(1, 2, 0) * factors[:, None]).sum(-1)
    return value, gradient, second[0] if len(second) == 1 else torch.complex(second[0], second[1])
