"""Regular lattices of points: where the samples of a sound, a picture or a film lie."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Extent = list[list[float]]  # first and last coordinate of each axis


def unit_extent(shape: Sequence[int], span: float = 1.0) -> Extent:
    """Return the extent in which every axis reaches from ``-span`` to ``span``.

    An axis of one sample sits at 0: it has no second end.
    """
    return [[-span, span] if n > 1 else [0.0, 0.0] for n in shape]


def lattice(shape: Sequence[int], extent: Extent) -> Float[Tensor, "n d"]:
    """Return the points in matrix order, the last axis fastest, both ends included.

    Args:
        shape: Samples along each axis.
        extent: First and last coordinate of each axis.
    """
    axes = [torch.linspace(low, high, n) for n, (low, high) in zip(shape, extent, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
