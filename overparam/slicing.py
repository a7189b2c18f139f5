"""Cutting hidden layers to a smaller width, and keeping the law of a fresh initialisation."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from overparam.compact import find_hidden_units, refuse_lazy
from overparam.hidden_units import HiddenUnits, sliceable
from overparam.masks import Masks, bake, original, prunable


def slice_neurons(
    module: nn.Module,
    keep: float | int | Sequence[int] = 0.5,
    *,
    score: str = "norm",
    rescale: bool = False,
    multiple: int = 1,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Return a copy cut to smaller hidden widths. **Its outputs differ**: train it further.

    In each group of hidden units the best ones are kept, in their order. Every group that
    ``compact`` knows is cut.

    Args:
        module: Masked or plain module; it is not changed.
        keep: Fraction of the units of each group (float), one width for all (int), or one width
            for each group. Groups already that small stay.
        score: ``"norm"`` ranks by the norm of a unit's incoming weights times the norm of its
            outgoing weights; ``"random"`` keeps a random subset.
        rescale: Multiply the weights that read n units, n' of them left, by ``sqrt(n / n')``. A
            freshly initialised network whose law is ``c / sqrt(fan-in)``, such as a SIREN, then
            keeps its law. Leave it off for a trained network.
        multiple: Round widths up to a multiple of this (8 suits CPUs, 16 to 64 GPUs).
        generator: Source of ``"random"``.

    Raises:
        ValueError: If a width or fraction is out of range, the score is unknown, or there is
            nothing to slice.
    """
    if score not in ("norm", "random"):
        raise ValueError(f"score must be 'norm' or 'random', got {score!r}")
    if multiple < 1:
        raise ValueError(f"multiple must be at least 1, got {multiple}")
    refuse_lazy(module)
    small = bake(module)
    units = sliceable(find_hidden_units(small), small)
    if not units:
        raise ValueError(f"module must have hidden units to slice, found none in {type(module)}")
    widths = _widths(units, keep, multiple)
    scores = [
        torch.rand(group.width, generator=generator) if score == "random" else group.importance()
        for group in units  # all ranked before any is cut
    ]
    readers = {id(r.affine.module): r.affine for group in units for r in group.readers}
    fan_in = {key: affine.matrix().shape[1] for key, affine in readers.items()}
    for group, width, rank in zip(units, widths, scores, strict=True):
        if width < group.width:
            best = rank.topk(width).indices.sort().values
            group.keep(best.to(group.writers[0].matrix().device))
    if rescale:
        for key, affine in readers.items():
            with torch.no_grad():
                left = affine.matrix().shape[1]
                affine.module.weight.mul_(math.sqrt(fan_in[key] / left))
    return small


def _widths(units: Sequence[HiddenUnits], keep: Any, multiple: int) -> list[int]:
    if isinstance(keep, bool):
        raise ValueError(f"keep must be a fraction, a width or widths, got {keep}")
    if isinstance(keep, float):
        if not 0 < keep <= 1:
            raise ValueError(f"keep must be in (0, 1] as a fraction, got {keep}")
        widths = [max(1, round(keep * group.width)) for group in units]
    else:
        widths = [keep] * len(units) if isinstance(keep, int) else [int(k) for k in keep]
    if len(widths) != len(units):
        raise ValueError(f"keep must have one width for each of {len(units)} groups, got {keep}")
    if min(widths) < 1:
        raise ValueError(f"keep must be at least 1 unit, got {keep}")
    return [-(-width // multiple) * multiple for width in widths]


@torch.no_grad()
def siren_fan_in_rescale(module: nn.Module) -> nn.Module:
    """Scale each masked row by ``sqrt(n / kept)``, in place, so that a masked SIREN keeps its law.

    SIREN draws the weights of a unit with n inputs at scale ``1 / sqrt(n)``, so that arguments
    have the same spread in every layer. With a share p of the weights masked the spread falls by
    ``sqrt(1 - p)``; scaling each row by its own count restores it. Call it once, on freshly drawn
    weights, right after masking. Rows without weights and layers without mask stay as they are.

    Args:
        module: Module with masks on linear layers.

    Returns:
        ``module``.

    Raises:
        ValueError: If no linear layer is masked.
    """
    specs, masks = prunable(module), Masks(module)
    rows = [name for name in masks if name in specs and len(specs[name].shape) == 2]
    if not rows:
        raise ValueError("module must have masked linear layers to rescale, found none")
    for name in rows:
        inputs = 1 - specs[name].unit_axis
        kept = masks[name].sum(inputs, keepdim=True)
        scale = (specs[name].shape[inputs] / kept.clamp(min=1)).sqrt()
        weight = original(module, name)
        weight.mul_(torch.where(kept > 0, scale, torch.ones_like(scale)).to(weight.dtype))
    return module
