"""Mask parametrizations: one tensor stays trainable, its zeros are a view.

Source of the design: masks as parametrizations rather than as pruned buffers, so that they
survive deep copies, weight averaging, weight decay, ``vmap``, double backward and export.
"""

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from overparam.prunable import ParamSpec

GRANULARITIES = ("weight", "neuron", "path", "block")


class Mask(nn.Module):
    """Parametrization that shows a weight with some entries set to zero.

    ``masked_fill`` rather than a product: a pruned entry that became infinite or NaN stays out
    of the forward and of the gradient. Subclasses fix which entries live and die together.

    Shapes:
        ``(*shape) -> (*shape)``.

    Args:
        shape: Shape of the weight.

    Raises:
        ValueError: If an axis of ``shape`` is below 1.
    """

    granularity: ClassVar[str] = "weight"
    mask: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = [int(n) for n in shape]
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"shape must have axes of at least 1, got {tuple(shape)}")
        self.register_buffer("mask", torch.ones(self.shape, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``weight`` with masked entries at zero."""
        return weight.masked_fill(~self.mask, 0.0)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Accept an assignment ``layer.weight = weight``: the trainable tensor takes it whole."""
        return weight

    def index(self) -> Tensor:
        """Group number of every entry, shape of the weight."""
        return torch.arange(prod(self.shape), device=self.mask.device).reshape(self.shape)

    @property
    def groups(self) -> int:
        """Number of groups of entries that live and die together."""
        return int(self.index().max()) + 1

    @property
    def group_sizes(self) -> Tensor:
        """Entries per group, ``(groups,)``."""
        return torch.bincount(self.index().flatten(), minlength=self.groups)

    @property
    def bits(self) -> Tensor:
        """Whether each group is kept, ``(groups,)``; a copy."""
        kept = torch.zeros(self.groups, dtype=torch.bool, device=self.mask.device)
        kept[self.index()[self.mask]] = True
        return kept

    def set_bits(self, bits: Bool[Tensor, " groups"]) -> None:
        """Write one bit per group, in place, so that compiled graphs stay valid.

        Raises:
            ValueError: If there is not exactly one bit per group.
        """
        if bits.shape != (self.groups,):
            raise ValueError(f"bits must have shape ({self.groups},), got {tuple(bits.shape)}")
        self.mask.copy_(bits.to(self.mask.device)[self.index()])

    def pool(self, scores: Float[Tensor, "..."]) -> Float[Tensor, " groups"]:
        """Sum elementwise ``scores`` over each group.

        Raises:
            ValueError: If ``scores`` has another shape than the weight.
        """
        if list(scores.shape) != self.shape:
            raise ValueError(f"scores must have shape {self.shape}, got {list(scores.shape)}")
        total = torch.zeros(self.groups, dtype=scores.dtype, device=scores.device)
        return total.index_add_(0, self.index().to(scores.device).flatten(), scores.flatten())

    def freeze(self) -> "WeightMask":
        """Return an elementwise mask with the same entries kept."""
        frozen = WeightMask(self.shape).to(self.mask.device)
        frozen.mask.copy_(self.mask)
        return frozen

    def extra_repr(self) -> str:
        """Show granularity and density."""
        return f"{self.granularity}, kept {int(self.mask.sum())}/{self.mask.numel()}"


class WeightMask(Mask):
    """One bit per entry."""


class StrandMask(Mask):
    """Entries of a weight that paths of several weights own; ``FamilyMask`` writes it."""

    granularity = "path"


class RowMask(Mask):
    """One bit per output unit (neuron, filter).

    Args:
        shape: Shape of the weight.
        axis: Axis of the output units.
    """

    granularity = "neuron"

    def __init__(self, shape: Sequence[int], axis: int = 0) -> None:
        super().__init__(shape)
        if not 0 <= axis < len(self.shape):
            raise ValueError(f"axis must be in [0, {len(self.shape)}), got {axis}")
        self.axis = axis

    def index(self) -> Tensor:
        """Number of the output unit of every entry."""
        view = [-1 if i == self.axis else 1 for i in range(len(self.shape))]
        rows = torch.arange(self.shape[self.axis], device=self.mask.device)
        return rows.view(view).expand(self.shape)


class PathMask(Mask):
    """One bit per path of an e3nn tensor product, whose weights are one flat vector.

    Any scalar mask on path weights keeps the product exactly equivariant.

    Args:
        sizes: Number of weights of each path, in the order of the flat vector.
    """

    granularity = "path"

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__([sum(sizes)])
        self.sizes = [int(n) for n in sizes]

    def index(self) -> Tensor:
        """Number of the path of every entry."""
        sizes = torch.tensor(self.sizes, device=self.mask.device)
        return torch.repeat_interleave(torch.arange(len(self.sizes), device=sizes.device), sizes)


class BlockMask(Mask):
    """One bit per square block of the first two axes; edge blocks may be smaller.

    Args:
        shape: Shape of the weight, at least two axes.
        size: Side of a block.
    """

    granularity = "block"

    def __init__(self, shape: Sequence[int], size: int = 16) -> None:
        super().__init__(shape)
        if len(self.shape) < 2:
            raise ValueError(f"shape must have at least 2 axes for blocks, got {self.shape}")
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size

    def index(self) -> Tensor:
        """Number of the block of every entry, row by row."""
        device = self.mask.device
        rows = torch.arange(self.shape[0], device=device) // self.size
        columns = torch.arange(self.shape[1], device=device) // self.size
        blocks = rows[:, None] * (int(columns[-1]) + 1) + columns
        view = [*self.shape[:2], *[1] * (len(self.shape) - 2)]
        return blocks.view(view).expand(self.shape)


def make_mask(spec: ParamSpec, granularity: str = "weight", block: int = 16) -> Mask:
    """Build the all-ones mask of ``granularity`` for one parameter.

    Raises:
        ValueError: If the granularity is unknown or the parameter has no such groups.
    """
    if granularity == "weight":
        return WeightMask(spec.shape)
    if granularity == "neuron":
        if spec.kind == "tp_path":
            raise ValueError(f"granularity 'neuron' needs a matrix, got flat paths in {spec.name}")
        return RowMask(spec.shape, spec.unit_axis)
    if granularity == "path" and spec.families:
        return StrandMask(spec.shape)
    if granularity == "path":
        if not spec.paths:
            raise ValueError(f"granularity 'path' needs a tensor product, got {spec.name}")
        return PathMask(spec.paths)
    if granularity == "block":
        return BlockMask(spec.shape, block)
    raise ValueError(f"granularity must be among {', '.join(GRANULARITIES)}, got {granularity!r}")
