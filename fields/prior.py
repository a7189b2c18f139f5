"""What a field should be like between its samples: penalties on derivatives anywhere."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fields.calculus import gradient, hessian


class Prior(nn.Module):
    """Base of the priors: ``weight`` times a mean over points.

    Args:
        weight: Positive factor.

    Raises:
        ValueError: If ``weight`` is not positive and finite.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if not (weight > 0 and math.isfinite(weight)):
            raise ValueError(f"weight must be positive and finite, got {weight}")
        self.weight = weight

    def penalty(self, field: nn.Module, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return the penalty at each point, with a graph to the field's parameters."""
        raise NotImplementedError

    def forward(self, field: nn.Module, x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Return the weighted mean of the penalty over the points ``x``."""
        return self.weight * self.penalty(field, x).mean()

    def extra_repr(self) -> str:
        """Show the weight."""
        return f"weight={self.weight:g}"


class TotalVariation(Prior):
    """``weight * mean |d y_c / d x_i|`` over points, channels and axes: flat but for edges.

    Args:
        weight: Positive factor.

    Source: Rudin, Osher and Fatemi, Physica D 60 (1992) 259; its use on a field: Sitzmann et al.,
    NeurIPS 2020, supplement.
    """

    def penalty(self, field: nn.Module, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return the mean size of the slopes at each point."""
        slopes = gradient(field, x, chunk=len(x), create_graph=True)
        return slopes.abs().flatten(1).mean(1)


class HessianPrior(Prior):
    """``weight * mean ||Hessian y_c||_F`` over points and channels: straight but for bends.

    Args:
        weight: Positive factor.

    Source: Sitzmann et al., NeurIPS 2020, supplement.
    """

    def penalty(self, field: nn.Module, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return the mean Frobenius norm of the second derivatives at each point."""
        bends = hessian(field, x, chunk=len(x), create_graph=True)
        # the root of zero has no slope: a straight field must not become NaN
        norms = (bends.square().sum((-2, -1)) + torch.finfo(x.dtype).tiny).sqrt()
        return norms.mean(1)
