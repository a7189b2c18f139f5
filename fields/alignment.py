"""What a fit of derivatives leaves open is settled before it is scored or shown.

A field known by its gradient is known up to a constant. One known by its Laplacian is known up to
harmonic functions; of these the best constant and scale are removed, the rest stays as error.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Freedom = Literal["offset", "affine"]


@dataclass(frozen=True)
class Alignment:
    """``scale * value + offset``, channel by channel, as plain numbers a checkpoint can hold."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def __call__(self, values: Float[Tensor, "*n c"]) -> Float[Tensor, "*n c"]:
        """Apply it."""
        return values * values.new_tensor(self.scale) + values.new_tensor(self.offset)


def align(fitted: Float[Tensor, "n c"], y: Float[Tensor, "n c"], freedom: Freedom) -> Alignment:
    """Return the map of ``fitted`` nearest to ``y`` in least squares.

    Args:
        fitted: Values of a field.
        y: Values of the signal.
        freedom: ``"offset"`` moves each channel by a constant; ``"affine"`` scales it too.

    Raises:
        ValueError: If ``freedom`` is neither.
    """
    if freedom not in ("offset", "affine"):
        raise ValueError(f"freedom must be offset or affine, got {freedom!r}")
    ours, theirs = fitted.double(), y.double()
    centre, goal = ours.mean(0), theirs.mean(0)
    scale = torch.ones_like(centre)
    if freedom == "affine":
        spread = (ours - centre).square().mean(0)
        together = ((ours - centre) * (theirs - goal)).mean(0)
        # a constant channel has no scale to find
        scale = torch.where(spread > 0, together / spread.clamp_min(1e-300), scale)
    offset = goal - scale * centre
    return Alignment(tuple(scale.tolist()), tuple(offset.tolist()))


class Aligned(nn.Module):
    """A field seen through an alignment: derivatives of the values shown, at their true scale.

    Args:
        field: Map from coordinates to values.
        alignment: Applied to its values.
    """

    def __init__(self, field: nn.Module, alignment: Alignment) -> None:
        super().__init__()
        self.field = field
        self.alignment = alignment

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch c"]:
        """Evaluate the field and align its values."""
        return self.alignment(self.field(x))
