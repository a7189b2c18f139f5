"""Pieces of a domain that a unit cube covers evenly, and drawing points from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fields.domains.sampling import UnitStream
from overparam.errors import InputError

_ROUND = 2**17  # candidates at a time; also how many misses in a row mean "empty"
_RAREST = 1e-4  # below this share of hits a domain is refused: its bounding box says nothing
_COUNTED = 2**16  # candidates of a measured share


class Placed(NamedTuple):
    """Where cube points fell: points, outward unit normals if on a boundary, which count."""

    points: Tensor
    normals: Tensor | None = None
    keep: Tensor | None = None


@dataclass(frozen=True)
class Patch:
    """The image of a unit cube at constant density, parts of it possibly cut away.

    Attributes:
        name: What users call it; a dot separates a group from its members.
        measure: Volume, area, length or count of the whole image, before the cut.
        dim: Dimension of the cube; 0 is a single point.
        place: Map from cube points ``(n, >= dim)`` to the image.
        whole: Whether nothing is cut away.
    """

    name: str
    measure: float
    dim: int
    place: Callable[[Tensor], Placed]
    whole: bool = True


class _Mixture:
    """Several patches under one cube: the first coordinate also chooses the patch."""

    def __init__(self, patches: Sequence[Patch]) -> None:
        self.patches = patches
        self.dim = max(1, *(patch.dim for patch in patches), 1)
        measures = torch.tensor([patch.measure for patch in patches], dtype=torch.float64)
        self.measure = float(measures.sum())
        self.edges = torch.cat([measures.new_zeros(1), measures.cumsum(0) / self.measure])

    def place(self, cube: Tensor) -> Placed:
        """Place cube points; the normals and the choice of the kept ones are filled in."""
        chosen, cube = choose(cube, self.edges)
        points = normals = None
        keep = torch.ones(len(cube), dtype=torch.bool)
        for index, patch in enumerate(self.patches):
            rows = (chosen == index).nonzero()[:, 0]
            if len(rows) == 0:
                continue
            placed = patch.place(cube[rows])
            if points is None:
                points = torch.empty(len(cube), placed.points.shape[1], dtype=torch.float64)
                normals = torch.zeros_like(points)
            points[rows] = placed.points
            if normals is not None and placed.normals is not None:
                normals[rows] = placed.normals
            if placed.keep is not None:
                keep[rows] = placed.keep
        assert points is not None
        return Placed(points, normals, keep)


def choose(cube: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Choose intervals by the first coordinate and stretch each back to the unit interval.

    Evenly spread points stay evenly spread within every interval.

    Args:
        cube: Points ``(n, d)`` of the unit cube.
        edges: Increasing, from 0 to 1.

    Returns:
        The interval of each point, and the points with a new first coordinate.
    """
    if len(edges) == 2:
        return torch.zeros(len(cube), dtype=torch.long), cube
    first = cube[:, 0].contiguous()
    chosen = (torch.searchsorted(edges, first, right=True) - 1).clamp(0, len(edges) - 2)
    width = (edges[chosen + 1] - edges[chosen]).clamp_min(1e-300)
    tiny = 2.0**-53
    inner = ((first - edges[chosen]) / width).clamp(tiny, 1 - tiny)
    return chosen, torch.cat([inner[:, None], cube[:, 1:]], dim=1)


def draw(
    patches: Sequence[Patch], n: int, *, sampler: str, seed: int, what: str
) -> tuple[Tensor, Tensor]:
    """Draw points uniform in measure from the union of some patches.

    Args:
        patches: At least one.
        n: Number of points.
        sampler: One of ``SAMPLERS``.
        seed: Same seed, same points.
        what: The set's name, for the error.

    Returns:
        Points and normals in float64; normals are zero where a patch has none.

    Raises:
        InputError: If the set is empty, or so small in its frame that it cannot be found.
        ValueError: If ``n`` is below 1.
    """
    if n < 1:
        raise ValueError(f"number of points must be at least 1, got {n}")
    mixture = _Mixture(patches)
    stream = UnitStream(sampler, mixture.dim, seed=seed)
    found: list[tuple[Tensor, Tensor]] = []
    drawn = got = 0
    ask = n
    while got < n:
        placed = mixture.place(stream.take(min(ask, _ROUND)))
        assert placed.keep is not None and placed.normals is not None
        found.append((placed.points[placed.keep], placed.normals[placed.keep]))
        drawn, got = drawn + len(placed.keep), got + len(found[-1][0])
        if drawn >= _ROUND and got < _RAREST * drawn:
            state = "is empty" if got == 0 else f"fills less than {_RAREST:g} of its frame"
            raise InputError(f"{what} {state}: {got} of {drawn} points tried lie in it")
        # a tenth more than the share seen so far asks for
        ask = max(64, min(_ROUND, int(1.1 * (n - got) * (drawn + 1) / (got + 1))))
    points, normals = (torch.cat(rows)[:n] for rows in zip(*found, strict=True))
    return points, normals


def total(patches: Sequence[Patch]) -> float:
    """Return the measure of some patches together: exact if none is cut, else by counting.

    The count runs over 65,536 Sobol points, which leaves an error near 1e-4 of the frame.
    """
    frame = sum(patch.measure for patch in patches)
    if all(patch.whole for patch in patches):
        return frame
    mixture = _Mixture(patches)
    placed = mixture.place(UnitStream("sobol", mixture.dim, seed=0).take(_COUNTED))
    assert placed.keep is not None
    return frame * float(placed.keep.double().mean())
