"""What competes when weights are pruned: groups of one mask, or paths of several."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from overparam.mask import Mask, StrandMask
from overparam.path_family import PathFamily, merged
from overparam.prunable import ParamSpec


class FamilyMask:
    """One bit for each path of a family: a view of the masks of all weights it owns part of.

    A path is dead when all it owns is masked. An entry may belong to paths of two families (what
    one layer's channel tells another's): it is masked when either is dead.

    Args:
        family: The paths.
        masks: Masks of their weights by plain name, written in place.
    """

    def __init__(self, family: PathFamily, masks: Mapping[str, Tensor]) -> None:
        self.family = family
        self.masks = {s.weight: masks[s.weight] for s in family.strands}

    @property
    def groups(self) -> int:
        """Number of paths."""
        return self.family.count

    @property
    def group_sizes(self) -> Int64[Tensor, " groups"]:
        """What each path costs: its entries, those it shares too, unless the family says."""
        size = self.family.size({name: mask.shape for name, mask in self.masks.items()})
        return torch.full((self.groups,), size, device=self.bits.device)

    @property
    def bits(self) -> Bool[Tensor, " groups"]:
        """Whether each path is kept; a copy."""
        return self.family.alive(self.masks)

    def set_bits(self, bits: Bool[Tensor, " groups"]) -> None:
        """Mask the paths whose bit is off.

        Raises:
            ValueError: If a bit would bring a dead path back, which the mask of one family cannot:
                others may own part of it.
        """
        if bool((bits & ~self.bits.to(bits.device)).any()):
            raise ValueError(f"bits of {self.family.name} must be off where a path is dead")
        self.family.kill(self.masks, ~bits)


Rival = Mask | FamilyMask


def rivals(masks: Mapping[str, Mask], specs: Mapping[str, ParamSpec]) -> dict[str, Rival]:
    """Return what competes: every mask by the name of its weight, every family by its own."""
    found: dict[str, Rival] = {}
    pieces: list[PathFamily] = []
    for name, mask in masks.items():
        if isinstance(mask, StrandMask):
            pieces += specs[name].families
        else:
            found[name] = mask
    tensors = {name: mask.mask for name, mask in masks.items()}
    for family in merged(pieces).values():
        found[family.name] = FamilyMask(family, tensors)
    return found


def kept(rival: Rival) -> int:
    """Entries alive, or what the paths alive cost."""
    if isinstance(rival, FamilyMask):
        return int(rival.group_sizes[rival.bits].sum())
    return int(rival.mask.sum())


def size(rival: Rival) -> int:
    """Entries in all, or what all paths cost."""
    if isinstance(rival, FamilyMask):
        return int(rival.group_sizes.sum())
    return rival.mask.numel()


def pooled(name: str, rival: Rival, scores: Mapping[str, Tensor]) -> Float[Tensor, " groups"]:
    """Score of each group, per entry or cost, from scores of the entries of every weight."""
    if isinstance(rival, FamilyMask):
        return rival.family.score(scores) / rival.group_sizes
    return rival.pool(scores[name]).abs() / rival.group_sizes
