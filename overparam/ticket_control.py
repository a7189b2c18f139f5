"""Controls of a ticket: what is left of its quality when part of what it knows is forgotten."""

from collections.abc import Mapping

import torch
from torch import Tensor

from overparam.family_mask import FamilyMask, rivals
from overparam.mask import make_mask
from overparam.prunable import ParamSpec
from overparam.pruning import parts_of


def shuffled(
    masks: Mapping[str, Tensor],
    specs: Mapping[str, ParamSpec],
    granularity: str,
    block: int,
    seed: int,
) -> dict[str, Tensor]:
    """Permute the groups of every mask, or family of paths, among themselves, within each part."""
    generator = torch.Generator().manual_seed(seed)
    blank = {name: make_mask(specs[name], granularity, block) for name in masks}
    for name, rival in rivals(blank, specs).items():
        if isinstance(rival, FamilyMask):
            alive = rival.family.alive(masks)
            rival.set_bits(alive[torch.randperm(len(alive), generator=generator)] & rival.bits)
            continue
        rival.mask.copy_(masks[name])
        bits, part = rival.bits, parts_of(rival, specs[name])
        for number in range(specs[name].parts):
            members = (part == number).nonzero()[:, 0]
            order = torch.randperm(len(members), generator=generator)
            bits[members] = bits[members[order]]
        rival.set_bits(bits)
    return {name: mask.mask.clone() for name, mask in blank.items()}


def random_like(masks: Mapping[str, Tensor], seed: int, scope: str) -> dict[str, Tensor]:
    """Draw as many random entries: in each mask (``layer``), or in all together (``global``)."""
    if scope not in ("layer", "global"):
        raise ValueError(f"scope must be 'layer' or 'global', got {scope!r}")
    generator = torch.Generator().manual_seed(seed)
    sizes = [mask.numel() for mask in masks.values()]
    counts = [int(mask.sum()) for mask in masks.values()]
    if scope == "global":
        order = torch.randperm(sum(sizes), generator=generator)
        drawn = (order < sum(counts)).split(sizes)
    else:
        drawn = tuple(
            torch.randperm(size, generator=generator) < count
            for size, count in zip(sizes, counts, strict=True)
        )
    return {
        name: bits.reshape(mask.shape)
        for (name, mask), bits in zip(masks.items(), drawn, strict=True)
    }


def permuted(
    state: Mapping[str, Tensor], masks: Mapping[str, Tensor], seed: int
) -> dict[str, Tensor]:
    """Permute the values of every tensor; those that are zero under a mask already stay put."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, value in state.items():
        flat = value.clone().flatten()
        mask = masks.get(name)
        moving = torch.ones(flat.numel(), dtype=torch.bool)
        if mask is not None and not value[~mask].any():
            moving = mask.flatten()
        chosen = flat[moving]
        flat[moving] = chosen[torch.randperm(len(chosen), generator=generator)]
        out[name] = flat.reshape(value.shape)
    return out
