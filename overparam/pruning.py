"""One pruning step: scores in, masks out, the same on every process.

Source of the rescaling: Hayou et al., "Robust Pruning at Initialization", ICLR 2021,
arXiv:2002.08797, section 4.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from overparam.criteria import Loss, score
from overparam.family_mask import FamilyMask, Rival, pooled, rivals, size
from overparam.mask import Mask
from overparam.masks import Masks, mask_sha
from overparam.parametrization import original
from overparam.prunable import ParamSpec

SCOPES = ("global", "layer")


@torch.no_grad()
def prune(
    module: nn.Module,
    specs: Mapping[str, ParamSpec],
    density: float,
    *,
    base: Mapping[str, int] | None = None,
    criterion: str = "magnitude",
    scope: str = "global",
    min_keep: int = 1,
    loss: Loss | None = None,
    example: Any = None,
    generator: torch.Generator | None = None,
    clear: bool = True,
) -> None:
    """Lower the masked weights to ``density``, in place; what is pruned stays pruned.

    ``round(density * total)`` entries are kept, exactly; ties go to the earlier entry. Groups
    (neurons, paths, blocks) compete by their score per entry, and the last one kept may exceed
    the budget: never too few entries are kept. A family of paths competes as one weight does; where
    it says what a path costs, that counts instead of entries.

    Args:
        module: Module with masks on all of ``specs``.
        specs: Weights that compete.
        density: Share of ``base`` to keep.
        base: Entries per weight or family that count as all; default: their sizes.
        criterion: See ``score``.
        scope: ``"global"``: all weights compete; ``"layer"``: each, or each family of paths, keeps
            its own share.
        min_keep: Groups that survive in every weight, in each of its parts (q, k, v, gates) and in
            every family of paths: the guard against layer collapse.
        loss: See ``score``.
        example: See ``score``.
        generator: See ``score``.
        clear: Zero the trainable values of pruned entries, so that a plain state dict holds the
            pruned network and a weight grown back later starts at 0.

    Raises:
        ValueError: If an argument is out of range.
    """
    if not 0 <= density <= 1:
        raise ValueError(f"density must be in [0, 1], got {density}")
    if scope not in SCOPES:
        raise ValueError(f"scope must be among {', '.join(SCOPES)}, got {scope!r}")
    if min_keep < 0:
        raise ValueError(f"min_keep must be at least 0, got {min_keep}")
    view = Masks(module)
    masks = {name: view.module_of(name) for name in specs}
    scores = score(module, specs, criterion, loss, example, generator)
    competing = rivals(masks, specs)
    total = {name: size(rival) for name, rival in competing.items()} if base is None else base
    worth = {
        name: mean_over_ranks(pooled(name, rival, scores)) for name, rival in competing.items()
    }
    teams = [[name] for name in competing] if scope == "layer" else [list(competing)]
    for team in teams:
        choose(
            {name: competing[name] for name in team},
            worth,
            specs,
            keep=round(density * sum(total[name] for name in team)),
            min_keep=min_keep,
        )
    agree(masks)
    if clear:
        clear_pruned(module, specs)


def choose(
    masks: Mapping[str, Rival],
    scores: Mapping[str, Float[Tensor, " _"]],
    specs: Mapping[str, ParamSpec],
    *,
    keep: int,
    min_keep: int = 1,
) -> None:
    """Keep the alive groups of highest score until ``keep`` entries are kept, in place."""
    ranked, sizes, alive = [], [], 0
    for name, mask in masks.items():
        bits = mask.bits
        value = scores[name].masked_fill(~bits, -math.inf)
        part = parts_of(mask, specs.get(name))
        for number in range(specs[name].parts if name in specs else 1):
            members = (part == number).nonzero()[:, 0]
            best = members[value[members].argsort(descending=True, stable=True)[:min_keep]]
            value[best[bits[best]]] = math.inf
        ranked.append(value)
        sizes.append(mask.group_sizes)
        alive += int(bits.sum())
    value, entries = torch.cat([v.double() for v in ranked]), torch.cat(sizes)
    # A stable sort keeps the order among equals: ties are the same on every machine.
    order = value.argsort(descending=True, stable=True)
    reached = entries[order].cumsum(0)
    count = int((reached < keep).sum()) + 1 if keep > 0 else 0
    count = min(max(count, int(value.isposinf().sum())), alive)
    kept = torch.zeros_like(value, dtype=torch.bool)
    kept[order[:count]] = True
    for mask, bits in zip(masks.values(), kept.split([len(v) for v in ranked]), strict=True):
        mask.set_bits(bits)


def parts_of(mask: Rival, spec: ParamSpec | None) -> Int[Tensor, " groups"]:
    """Part (q, k, v, gate) each group belongs to; one that straddles two counts for the first."""
    if spec is None or spec.parts == 1 or isinstance(mask, FamilyMask):
        return torch.zeros(mask.groups, dtype=torch.long, device=mask.bits.device)
    units = spec.shape[spec.unit_axis]
    part = torch.arange(units, device=mask.mask.device) * spec.parts // units
    view = [-1 if axis == spec.unit_axis else 1 for axis in range(len(spec.shape))]
    entries = part.view(view).expand(spec.shape).flatten()
    found = torch.full((mask.groups,), spec.parts, device=mask.mask.device)
    return found.scatter_reduce_(0, mask.index().flatten(), entries, "amin")


@torch.no_grad()
def clear_pruned(module: nn.Module, names: Iterable[str] | None = None) -> None:
    """Zero the trainable values of pruned entries; the network's outputs do not change."""
    view = Masks(module)
    for name in list(view) if names is None else names:
        original(module, name).masked_fill_(~view[name], 0.0)


def gains(module: nn.Module, specs: Mapping[str, ParamSpec]) -> dict[str, float]:
    """Return ``fan_in * mean(w**2)`` of every masked weight, which forward variance depends on.

    Pruned entries count as zeros. 2 is the edge of chaos of ReLU networks, ``2 / omega**2`` the
    law of sine layers (SIREN).
    """
    view = Masks(module)
    found = {}
    for name, spec in specs.items():
        fan_in = spec.numel / spec.shape[spec.unit_axis]
        weight = original(module, name).detach().double()
        shown = weight.masked_fill(~view[name], 0.0) if name in view else weight
        found[name] = float(fan_in * shown.square().mean())
    return found


@torch.no_grad()
def rescale(
    module: nn.Module, specs: Mapping[str, ParamSpec], target: float | Mapping[str, float]
) -> dict[str, float]:
    """Multiply each pruned weight so that its gain is ``target`` again.

    With the gains of before pruning for target, every layer keeps the law it was initialised by,
    whatever that is (a sine layer stays a SIREN layer); 1 is the edge of chaos of tanh networks,
    2 that of ReLU networks. The rule takes weights to survive independently of what they multiply.
    In a deep ReLU network SNIP favours active units, so that signals still grow from layer to
    layer after it; bounded activations do not mind.

    Args:
        module: Module whose weights are scaled, in place.
        specs: Weights to scale.
        target: One gain for all, or one for each name, as ``gains`` returns them.

    Returns:
        Plain name to factor; 1 for a weight without survivors.

    Raises:
        ValueError: If a target is not positive.
    """
    factors = {}
    for name, now in gains(module, specs).items():
        goal = target if isinstance(target, int | float) else target[name]
        if not goal > 0:
            raise ValueError(f"target gain of {name} must be positive, got {goal}")
        factors[name] = math.sqrt(goal / now) if now > 0 else 1.0
        original(module, name).mul_(factors[name])
    return factors


def mean_over_ranks(scores: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Average scores over processes; each has seen its own batch."""
    if not _distributed():
        return scores
    scores = scores.contiguous().clone()
    dist.all_reduce(scores)
    return scores / dist.get_world_size()


def agree(masks: Mapping[str, Mask]) -> None:
    """Take the masks of rank 0 on every process, and check that all have them.

    Raises:
        RuntimeError: If a process ends up with other masks.
    """
    if not _distributed():
        return
    for mask in masks.values():
        bits = mask.mask
        sent = bits.to(torch.uint8).contiguous()
        dist.broadcast(sent, src=0)
        bits.copy_(sent.bool())
    mine = mask_sha({name: mask.mask for name, mask in masks.items()})
    hashes: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(hashes, mine)
    if len(set(hashes)) > 1:
        raise RuntimeError(f"masks must be equal on all processes, got hashes {hashes}")


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
