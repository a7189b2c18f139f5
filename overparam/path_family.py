"""Families of paths: parts of a network that live or die whole, spread over several weights.

A path of an e3nn product is a slice of one flat weight. Elsewhere a path is a row here, a column
there and an entry of a bias: a message channel is what sends it, what weighs it and what reads it.
A module names such paths in a method ``path_families()``; masks of granularity ``path`` then prune
them whole, and a method ``compacted()`` can take them out by ``alive`` and ``cut``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Strand:
    """The slices of one weight that belong to the paths of a family.

    Path ``p`` owns the entries ``start + p * width`` up to ``start + (p + 1) * width`` of ``axis``.

    Attributes:
        weight: Plain name of the parameter, relative to the module that names the family.
        axis: Axis along which the paths are counted.
        start: First entry of the first path.
        width: Entries of a path along the axis.
        factor: Strands of one factor add up in what a path does, different factors multiply.
    """

    weight: str
    axis: int = 0
    start: int = 0
    width: int = 1
    factor: int = 0


@dataclass(frozen=True)
class PathFamily:
    """Alike paths, numbered.

    Attributes:
        name: Name within the module that names the family.
        count: Number of paths.
        strands: What they own.
        cost: What a path costs beside those of other families, in any unit they share; None for
            the number of its entries. Budgets count it, and paths compete by score per cost.

    Raises:
        ValueError: If there are no paths, they own nothing, or they cost nothing.
    """

    name: str
    count: int
    strands: tuple[Strand, ...]
    cost: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"family {self.name} must have at least 1 path, got {self.count}")
        if not self.strands:
            raise ValueError(f"family {self.name} must own part of a weight, got none")
        if self.cost is not None and self.cost < 1:
            raise ValueError(f"cost of {self.name} must be at least 1, got {self.cost}")

    def under(self, prefix: str) -> "PathFamily":
        """The same family as the owner of the module that names it sees it."""
        if not prefix:
            return self
        strands = tuple(replace(s, weight=f"{prefix}.{s.weight}") for s in self.strands)
        return replace(self, name=f"{prefix}.{self.name}", strands=strands)

    def rows(self, strand: Strand, tensor: Tensor) -> Tensor:
        """View what each path owns of a weight, ``(count, width, ...)``: writes go through."""
        span = tensor.movedim(strand.axis, 0).narrow(0, strand.start, self.count * strand.width)
        return span.unflatten(0, (self.count, strand.width))

    def size(self, shapes: Mapping[str, Sequence[int]]) -> int:
        """What one path costs; all paths of a family cost the same."""
        if self.cost is not None:
            return self.cost
        total = 0
        for strand in self.strands:
            shape = shapes[strand.weight]
            total += strand.width * torch.Size(shape).numel() // shape[strand.axis]
        return total

    def alive(self, tensors: Mapping[str, Tensor]) -> Bool[Tensor, " count"]:
        """Which paths own an entry that is not zero, in weights or in masks."""
        found = [self.rows(s, tensors[s.weight]).flatten(1).any(1) for s in self.strands]
        return torch.stack(found).any(0)

    def kill(self, tensors: Mapping[str, Tensor], dead: Bool[Tensor, " count"]) -> None:
        """Zero all that some paths own, in place."""
        for strand in self.strands:
            rows = self.rows(strand, tensors[strand.weight])
            rows[dead.to(rows.device)] = 0

    def score(self, scores: Mapping[str, Tensor]) -> Float[Tensor, " count"]:
        """What each path matters, from scores of its entries.

        A path does the product of its factors, so it scores the geometric mean over them of the
        size of the sum of scores in each: that does not change when one factor is scaled up and
        another down by as much.
        """
        sums: dict[int, list[Tensor]] = {}
        for strand in self.strands:
            rows = self.rows(strand, scores[strand.weight]).flatten(1)
            sums.setdefault(strand.factor, []).append(rows)
        sizes = [torch.cat(rows, 1).double().sum(1).abs() for rows in sums.values()]
        return torch.stack(sizes).log().mean(0).exp()

    def check(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Raise ValueError if a weight is not there or too short for the paths."""
        for strand in self.strands:
            if strand.weight not in shapes:
                raise ValueError(f"family {self.name} must name a weight, got {strand.weight!r}")
            shape, end = shapes[strand.weight], strand.start + self.count * strand.width
            if not (0 <= strand.axis < len(shape) and strand.start >= 0 < strand.width):
                raise ValueError(f"family {self.name} must fit {strand.weight}, got {strand}")
            if end > shape[strand.axis]:
                raise ValueError(
                    f"family {self.name} must fit {strand.weight}, of shape {tuple(shape)}, but "
                    f"its paths end at {end} of axis {strand.axis}"
                )


def merged(pieces: Iterable[PathFamily]) -> dict[str, PathFamily]:
    """Families by name, from pieces that hold some of their strands each."""
    found: dict[str, PathFamily] = {}
    for piece in pieces:
        old = found.get(piece.name)
        strands = piece.strands if old is None else old.strands + piece.strands
        found[piece.name] = replace(piece, strands=strands)
    return found


def cut(
    tensors: Mapping[str, Tensor],
    families: Iterable[PathFamily],
    kept: Mapping[str, Int64[Tensor, " some"]],
) -> dict[str, Tensor]:
    """Copies of weights without the paths that are not kept.

    Args:
        tensors: Weights by name; those that no family has a part in are copied whole.
        families: All families of these weights.
        kept: Numbers of the paths of each family that stay.
    """
    stays: dict[tuple[str, int], Tensor] = {}
    for family in families:
        for strand in family.strands:
            length = tensors[strand.weight].shape[strand.axis]
            flags = stays.setdefault(
                (strand.weight, strand.axis), torch.ones(length, dtype=torch.bool)
            )
            span = flags.narrow(0, strand.start, family.count * strand.width)
            mine = torch.zeros(family.count, dtype=torch.bool)
            mine[kept[family.name].cpu()] = True
            span &= mine.repeat_interleave(strand.width)
    out = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    for (name, axis), flags in stays.items():
        index = flags.nonzero().flatten().to(out[name].device)
        out[name] = out[name].index_select(axis, index)
    return out
