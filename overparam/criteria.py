"""Criteria: how much each weight matters, as one score per weight.

Sources: Lee et al., "SNIP", ICLR 2019, arXiv:1810.02340; Tanaka et al., "Pruning neural networks
without any data by iteratively conserving synaptic flow" (SynFlow), NeurIPS 2020,
arXiv:2006.05467; Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR
2019, arXiv:1906.10771 (first-order Taylor, group-pooled); Lee et al., "Layer-adaptive sparsity
for the magnitude-based pruning" (LAMP), ICLR 2021, arXiv:2010.07611, equation 4.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from overparam.parametrization import effective, original
from overparam.prunable import ParamSpec

CRITERIA = ("magnitude", "lamp", "snip", "synflow", "taylor", "random")

Loss = Callable[[Any], Tensor]


def score(
    module: nn.Module,
    specs: Mapping[str, ParamSpec] | Iterable[ParamSpec],
    criterion: str = "magnitude",
    loss: Loss | None = None,
    example: Any = None,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Score every entry of the given weights; the higher, the more it matters.

    - ``magnitude``: ``|w|``.
    - ``lamp``: ``w^2`` over the sum of the squares in its layer that are not smaller. Pruning by it
      globally balances the layers: the largest weight of each scores 1, so none collapses.
    - ``snip``: ``|w dL/dw|``, the loss of one batch without the entry, to first order.
    - ``taylor``: ``w dL/dw`` with its sign, because a group of entries matters as much as the
      size of its *sum*; take the absolute value after pooling, as ``prune`` does.
    - ``synflow``: share of the flow through the linearised network that passes the entry.
    - ``random``: uniform on [0, 1).

    Scores are of the masked network: entries pruned before count for nothing in ``snip``,
    ``taylor`` and ``synflow``. Half-precision weights are scored in float32.

    Args:
        module: Module the weights belong to.
        specs: Weights to score, from ``prunable``.
        criterion: One of the above.
        loss: ``loss(module) -> scalar`` over a batch, for ``snip`` and ``taylor``.
        example: Input tensor or tuple of inputs of one forward, for ``synflow``; default
            ``module.example_input``. Only shapes and integer inputs are used.
        generator: Source of ``random``; default torch's global one.

    Returns:
        Plain name to scores, shaped like the weight.

    Raises:
        ValueError: If the criterion is unknown, lacks its loss or example, or a score is not
            finite.
    """
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be among {', '.join(CRITERIA)}, got {criterion!r}")
    chosen = list(specs.values() if isinstance(specs, Mapping) else specs)
    if criterion == "magnitude":
        found = {s.name: _wide(original(module, s.name).detach()).abs() for s in chosen}
    elif criterion == "lamp":
        found = {s.name: _lamp(_wide(effective(module, s.name).detach())) for s in chosen}
    elif criterion == "random":
        found = {s.name: _uniform(original(module, s.name), generator) for s in chosen}
    elif criterion == "synflow":
        from overparam.synflow import synflow

        found = synflow(module, chosen, example)
    else:
        if loss is None:
            raise ValueError(f"criterion {criterion!r} needs loss(module) -> scalar, got None")
        found = _sensitivity(module, chosen, loss)
        if criterion == "snip":
            found = {name: value.abs() for name, value in found.items()}
    for name, value in found.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{criterion} score of {name} must be finite, got NaN or infinity")
    return found


def _sensitivity(module: nn.Module, specs: list[ParamSpec], loss: Loss) -> dict[str, Tensor]:
    """Return ``w dL/dw`` of every weight; parameters outside the loss get zeros."""
    weights = [original(module, spec.name) for spec in specs]
    frozen = [s.name for s, w in zip(specs, weights, strict=True) if not w.requires_grad]
    if frozen:
        raise ValueError(f"{frozen[0]} must require gradients to be scored by them, but is frozen")
    with torch.enable_grad():
        value = loss(module)
        slopes = torch.autograd.grad(value, weights, allow_unused=True)
    found = {}
    for spec, slope in zip(specs, slopes, strict=True):
        shown = _wide(effective(module, spec.name).detach())
        found[spec.name] = torch.zeros_like(shown) if slope is None else shown * _wide(slope)
    return found


def _lamp(weight: Tensor) -> Tensor:
    # In units of the layer's largest, so that squares of tiny weights do not vanish.
    square = (weight / weight.abs().max().clamp(min=torch.finfo(weight.dtype).tiny)).square()
    order = square.flatten().argsort(descending=True)
    ranked = square.flatten()[order]
    found = torch.zeros_like(ranked)
    found[order] = ranked / ranked.cumsum(0).clamp(min=1.0)
    return found.view_as(weight)


def _uniform(weight: Tensor, generator: torch.Generator | None) -> Tensor:
    # Drawn where the generator lives, so that a seed gives the same mask on every device.
    device = torch.device("cpu") if generator is None else generator.device
    return torch.rand(weight.shape, generator=generator, device=device).to(weight.device)


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
