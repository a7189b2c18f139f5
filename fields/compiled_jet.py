"""Jets through a compiled forward pass: a minute at first, faster at every later call."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fields.chunk import chunk_size
from fields.jet import Number, carry, evaluate


class CompiledJet:
    """``jet(field, x, order, ...)`` with one chunk's computation compiled by ``torch.compile``.

    Worth it for many calls of one size. Values and gradients are those of :func:`fields.jet.jet`
    up to rounding. Weights are computed anew for each chunk: a field whose weights are drawn at
    random wants all points in one. Function transforms and second derivatives in the field's
    weights do not go through.

    Args:
        field: A field whose modules all carry Taylor expansions.
        order: As for ``jet``; not ``value``.
        weights: As for ``jet``, shared by all points.
        axes: As for ``jet``.
        chunk: Points at a time; None suits the device. Fewer points are compiled for themselves, a
            last chunk that is not full is filled up.
        mode: Mode of ``torch.compile``, for example ``reduce-overhead`` on a GPU.
    """

    def __init__(
        self,
        field: nn.Module,
        order: str,
        *,
        weights: Sequence[Number] | None = None,
        axes: Sequence[int] | None = None,
        chunk: int | None = None,
        mode: str | None = None,
    ) -> None:
        if order == "value":
            raise ValueError("order must have derivatives to compile, got 'value'")
        self.field, self.order, self.weights, self.axes = field, order, weights, axes
        self.chunk = chunk
        self._carry = torch.compile(carry, fullgraph=True, dynamic=False, mode=mode)

    def __call__(self, x: Float[Tensor, "*batch d"]) -> tuple[Tensor, ...]:
        """Return what ``jet`` returns."""
        points = x.reshape(-1, x.shape[-1])
        n, size = len(points), chunk_size(self.chunk, x.device)
        if n > size and n % size:
            points = torch.cat([points, points[-1:].expand(size - n % size, -1)])
        order, weights, axes = self.order, self.weights, self.axes
        found = evaluate(self._carry, self.field, points, order, weights, axes, None, size)
        return tuple(part[:n].reshape(*x.shape[:-1], *part.shape[1:]) for part in found)
