"""Supermasks: learned scores that choose a subnetwork of frozen weights.

The weights stay where initialisation left them; one learned score per weight decides which of
them exist. ``EdgePopup`` keeps the highest scores, ``GumbelMask`` samples every entry from its
own learned probability. ``overparam.subnetwork`` puts them on whole modules.

Sources: Ramanujan et al., "What's Hidden in a Randomly Weighted Neural Network?", CVPR 2020,
arXiv:1911.13299 (edge-popup); ``overparam.gate`` for the sampling.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from overparam.gate import gumbel_gate, straight_through, top_k_mask
from overparam.mask import WeightMask


class Supermask(nn.Module):
    """Parametrization whose learned ``scores`` choose entries of a frozen weight.

    Args:
        shape: Shape of the weight.
        keep: Share of entries to keep, in (0, 1].

    Attributes:
        trains_weight: Whether the tensor underneath is trained; a checkpoint is rebuilt so.

    Raises:
        ValueError: If ``keep`` is outside (0, 1] or the shape is empty.
    """

    trains_weight: ClassVar[bool] = False

    def __init__(self, shape: Sequence[int], keep: float = 0.5) -> None:
        super().__init__()
        if not shape or min(shape) < 1:
            raise ValueError(f"shape must have axes of at least 1, got {tuple(shape)}")
        if not 0 < keep <= 1:
            raise ValueError(f"keep must be in (0, 1], got {keep}")
        self.shape = [int(n) for n in shape]
        self.keep = keep
        self.scores = nn.Parameter(torch.empty(self.shape))

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw the scores anew; default source: torch's global generator."""
        raise NotImplementedError

    def hard(self) -> Tensor:
        """Return the boolean mask that evaluation uses."""
        raise NotImplementedError

    def factor(self) -> Tensor:
        """Return the learned factor of the whole weight; 1 where there is none."""
        return self.scores.new_ones(())

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Accept an assignment ``layer.weight = weight`` as the new frozen values."""
        return weight

    @torch.no_grad()
    def freeze(self) -> WeightMask:
        """Return the chosen subnetwork as a plain mask; the factor is not in it."""
        frozen = WeightMask(self.shape).to(self.scores.device)
        frozen.mask.copy_(self.hard())
        return frozen

    def extra_repr(self) -> str:
        """Show shape and density."""
        return f"{tuple(self.shape)}, keep={self.keep:g}"


class EdgePopup(Supermask):
    """Keep the entries whose score is largest in size; gradients pass straight through.

    The forward pass multiplies by an exact 0/1 mask of ``round(keep * n)`` ones, the backward
    pass treats that mask as ``|score|``. Scores start Kaiming-uniform with ``a = sqrt(5)``, so
    uniform in ``+-1 / sqrt(fan_in)``.

    Args:
        shape: Shape of the weight.
        keep: Share of entries to keep; at least one entry survives.
        fan_in: Inputs per unit; default: the size of all axes but the first.

    Raises:
        ValueError: If ``fan_in`` is below 1.
    """

    def __init__(
        self, shape: Sequence[int], keep: float = 0.5, *, fan_in: int | None = None
    ) -> None:
        super().__init__(shape, keep)
        if fan_in is not None and fan_in < 1:
            raise ValueError(f"fan_in must be at least 1, got {fan_in}")
        self.fan_in = fan_in
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw the scores Kaiming-uniform."""
        bound = 1 / math.sqrt(self.fan_in or math.prod(self.shape[1:]))
        nn.init.uniform_(self.scores, -bound, bound, generator=generator)

    def hard(self) -> Tensor:
        """Mark the kept entries."""
        count = max(1, round(self.keep * self.scores.numel()))
        return top_k_mask(self.scores.detach().abs(), count)

    def forward(self, weight: Tensor) -> Tensor:
        """Return ``weight`` with low-scored entries at zero."""
        return weight * straight_through(self.hard().to(weight.dtype), self.scores.abs())


class GumbelMask(Supermask):
    """Sample every entry from a learned probability; evaluate at the likelier choice.

    In training, each read of the weight draws ``m ~ Bernoulli(sigmoid(scores))`` from torch's
    global generator, with the gradient of ``sigmoid((scores + g) / tau)``; in evaluation
    ``m = scores > 0``. A learned positive factor per weight undoes the loss of scale. A layer that
    reads its weight twice in a forward pass sees two samples unless the call is wrapped in
    ``torch.nn.utils.parametrize.cached()``.

    Args:
        shape: Shape of the weight.
        keep: Density that ``budget_loss`` pulls towards. The scores start normal, with standard
            deviation ``spread`` and the mean at which the expected density is ``keep``.
        temperature: Initial sharpness, positive; lower it with ``anneal``.
        spread: Standard deviation of the initial scores, at least 0. Evaluation keeps
            ``scores > 0``: only wide scores give it the density that training samples.

    Raises:
        ValueError: If ``temperature`` is not positive or ``spread`` is negative.
    """

    tau: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        keep: float = 0.5,
        *,
        temperature: float = 1.0,
        spread: float = 2.0,
    ) -> None:
        super().__init__(shape, keep)
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if spread < 0:
            raise ValueError(f"spread must be at least 0, got {spread}")
        self.temperature = temperature
        self.spread = spread
        # A buffer: annealing writes it in place, so compiled graphs stay valid.
        self.register_buffer("tau", torch.tensor(float(temperature)))
        # Its logarithm is learned: a factor of another sign would turn the outputs around.
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.reset()

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw the scores normal, with ``sigmoid(scores)`` averaging to ``keep``."""
        mean = _mean_score(self.keep, self.spread)
        nn.init.normal_(self.scores, mean, self.spread, generator=generator)

    def hard(self) -> Tensor:
        """Mark the entries that are likelier kept than not."""
        return self.scores.detach() > 0

    def factor(self) -> Tensor:
        """Return the learned factor, positive."""
        return self.log_scale.exp()

    def density(self) -> Tensor:
        """Return the expected share of kept entries, differentiable."""
        return torch.sigmoid(self.scores).mean()

    def forward(self, weight: Tensor) -> Tensor:
        """Return the scaled ``weight`` with unchosen entries at zero."""
        if not self.training:
            return self.factor() * weight.masked_fill(~self.hard(), 0.0)
        return self.factor() * weight * gumbel_gate(self.scores, self.tau)


def _mean_score(keep: float, spread: float) -> float:
    """Solve ``E[sigmoid(mean + spread * z)] = keep`` for standard normal ``z`` by bisection."""
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)
    weight = torch.softmax(-z.square() / 2, 0)
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        density = float((torch.sigmoid(middle + spread * z) * weight).sum())
        low, high = (middle, high) if density < keep else (low, middle)
    # Everything is kept by any high score; one that sigmoid can still move is as good.
    return min(middle, 20.0)
