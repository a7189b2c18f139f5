"""Hard choices with soft derivatives: exact top-k, straight-through, Gumbel gates.

Pure functions on tensors of any shape; masks of weights use them, and so can any other relaxed
choice. They run inside compiled graphs, where a run-time shape check could not be traced, so
their annotations name no shapes.

Sources: Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons",
arXiv:1308.3432 (straight-through); Jang et al., "Categorical Reparameterization with
Gumbel-Softmax", ICLR 2017, arXiv:1611.01144, and Maddison et al., "The Concrete Distribution",
ICLR 2017, arXiv:1611.00712 (relaxed sampling).
"""

import torch
from torch import Tensor


def top_k_mask(scores: Tensor, count: int) -> Tensor:
    """Mark the ``count`` largest entries, exactly; among equal ones the first win.

    Args:
        scores: Any shape, without NaN.
        count: How many to mark, from 0 to the number of entries.

    Raises:
        ValueError: If ``count`` is out of range.
    """
    total = scores.numel()
    if not 0 <= count <= total:
        raise ValueError(f"count must be in [0, {total}], got {count}")
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    flat = scores.flatten()
    threshold = flat.kthvalue(total - count + 1).values
    above = flat > threshold
    # A strict comparison alone loses the entries tied with the threshold.
    tied = flat == threshold
    wanted = count - above.sum()
    return (above | (tied & (tied.cumsum(0) <= wanted))).reshape(scores.shape)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return exactly ``hard``, with the derivatives of ``soft``."""
    # soft - soft is exactly zero; (hard + soft) - soft would round.
    return hard + (soft - soft.detach())


def gumbel_gate(
    logits: Tensor,
    temperature: Tensor | float,
    noise: Tensor | None = None,
) -> Tensor:
    """Sample 0/1 gates that are open with probability ``sigmoid(logits)``.

    ``m = sigmoid((logits + g) / temperature)`` rounded, with the derivatives of ``m``; ``g`` is
    logistic, the difference of two Gumbel variables.

    Args:
        logits: Log-odds of every gate.
        temperature: Sharpness of the relaxation, positive; it biases gradients, never samples.
        noise: Uniform on (0, 1); drawn from torch's global generator when not given.
    """
    uniform = torch.rand_like(logits) if noise is None else noise
    tiny = torch.finfo(logits.dtype).eps
    uniform = uniform.clamp(tiny, 1 - tiny)
    soft = torch.sigmoid((logits + uniform.log() - (-uniform).log1p()) / temperature)
    return straight_through((soft > 0.5).to(soft.dtype), soft)
