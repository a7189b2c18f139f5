"""Periodic cubic grids: their points, their shifts, and the half sphere of their wave vectors."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.rotation import cubic_rotations

BLOCK = 16  # wave vectors of equal length handled by one matrix product


@dataclass(frozen=True)
class Grid:
    """A cube of ``points**3`` voxels that repeats periodically.

    Point i of an axis lies at ``center + spacing * (i - points // 2)``; shift i of an axis is
    ``spacing * i``, wrapped into [-extent / 2, extent / 2).

    Args:
        points: Points along each axis, at least 4.
        spacing: Distance of neighbouring points, angstrom.
        center: World position of point ``(points // 2,) * 3``, angstrom.

    Raises:
        ValueError: If an argument is out of range or not finite.
    """

    points: int
    spacing: float
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.points < 4:
            raise ValueError(f"points must be at least 4, got {self.points}")
        if not (self.spacing > 0 and math.isfinite(self.spacing)):
            raise ValueError(f"spacing must be positive, got {self.spacing}")
        if len(self.center) != 3 or not all(map(math.isfinite, self.center)):
            raise ValueError(f"center must be three finite coordinates, got {self.center}")

    @property
    def extent(self) -> float:
        """Side of the cube, angstrom."""
        return self.points * self.spacing

    @property
    def k_step(self) -> float:
        """Distance of neighbouring wave vectors along an axis, radians per angstrom."""
        return 2 * math.pi / self.extent

    @property
    def nyquist(self) -> float:
        """Largest wave number the spacing resolves along an axis."""
        return math.pi / self.spacing

    def positions(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "x y z 3"]:
        """World positions of all points."""
        axis = (torch.arange(self.points, dtype=dtype) - self.points // 2) * self.spacing
        offsets = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
        return offsets + torch.tensor(self.center, dtype=dtype)

    def to_voxel(self, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Fractional point index of world positions."""
        return (x - x.new_tensor(self.center)) / self.spacing + self.points // 2

    def to_world(self, voxel: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World position of fractional point indices."""
        return (voxel - self.points // 2) * self.spacing + voxel.new_tensor(self.center)

    def shift(self, index: Int[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Displacement of shift indices, each coordinate in [-extent / 2, extent / 2)."""
        half = self.points // 2
        wrapped = (index + half).remainder(self.points) - half
        return wrapped.to(torch.float64) * self.spacing


@dataclass(frozen=True)
class HalfSphere:
    """The wave vectors of a grid up to a length, one of each pair ±k off the plane k_z = 0.

    Vectors are ordered by length and padded, so that ``slots`` is a whole number of blocks of
    ``BLOCK`` equally long vectors. Slots beyond a shell's end repeat its first vector.

    Args:
        grid: The grid.
        k_max: Largest wave number, radians per angstrom; None takes all below Nyquist.

    Raises:
        ValueError: If ``k_max`` is not positive or beyond the grid's Nyquist wave number.
    """

    grid: Grid
    k_max: float | None = None

    def __post_init__(self) -> None:
        k_max = self.k_max
        if k_max is not None and not 0 < k_max <= self.grid.nyquist * (1 + 1e-9):
            raise ValueError(
                f"k_max must lie in (0, {self.grid.nyquist:.4g}], the grid's Nyquist, got {k_max}"
            )

    @cached_property
    def reach(self) -> int:
        """Largest index along an axis."""
        k_max = self.grid.nyquist if self.k_max is None else self.k_max
        # The Nyquist index itself stands for two vectors and is left out.
        return min(int(k_max / self.grid.k_step + 1e-9), (self.grid.points - 1) // 2)

    @cached_property
    def _layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k_max = self.grid.nyquist if self.k_max is None else self.k_max
        axis = np.arange(-self.reach, self.reach + 1)
        full = np.stack(np.meshgrid(axis, axis, axis[self.reach :], indexing="ij"), -1)
        index = full.reshape(-1, 3)
        norm = (index**2).sum(1)
        keep = norm <= (k_max / self.grid.k_step) ** 2 * (1 + 1e-9)
        index, norm = index[keep], norm[keep]
        order = np.argsort(norm, kind="stable")
        index, norm = index[order], norm[order]
        starts = np.flatnonzero(np.r_[True, norm[1:] != norm[:-1]])
        counts = np.diff(np.r_[starts, len(norm)])
        padded = -(-counts // BLOCK) * BLOCK
        ends = np.cumsum(padded)
        rank = np.arange(len(norm)) - np.repeat(starts, counts)
        slot_of = np.repeat(ends - padded, counts) + rank
        source = np.repeat(starts, padded)
        source[slot_of] = np.arange(len(norm))
        return index, slot_of, source

    @property
    def count(self) -> int:
        """Number of wave vectors."""
        return len(self._layout[0])

    @property
    def slots(self) -> int:
        """Number of slots, padding included."""
        return len(self._layout[2])

    @cached_property
    def index(self) -> Int[Tensor, "count 3"]:
        """Integer wave vectors, k_z >= 0."""
        return torch.from_numpy(self._layout[0])

    @cached_property
    def slot_of(self) -> Int[Tensor, " count"]:
        """Slot of each wave vector."""
        return torch.from_numpy(self._layout[1])

    @cached_property
    def source(self) -> Int[Tensor, " slots"]:
        """Wave vector of each slot."""
        return torch.from_numpy(self._layout[2])

    @cached_property
    def vectors(self) -> Float[Tensor, "slots 3"]:
        """Wave vectors by slot, radians per angstrom."""
        return self.index[self.source].to(torch.float64) * self.grid.k_step

    @cached_property
    def shells(self) -> tuple[Tensor, Tensor]:
        """Distinct lengths, and for each block which of them it has."""
        squares = (self.index**2).sum(1)[self.source[::BLOCK]]
        distinct, block_shell = torch.unique(squares, return_inverse=True)
        return distinct.to(torch.float64).sqrt() * self.grid.k_step, block_shell

    @cached_property
    def spectrum_index(self) -> Int[Tensor, " count"]:
        """Place of each wave vector in the flattened array ``irfftn`` takes."""
        n = self.grid.points
        x, y, z = self.index.remainder(n).unbind(1)
        return (x * n + y) * (n // 2 + 1) + z

    @cached_property
    def compact_index(self) -> Int[Tensor, " count"]:
        """Place in the flattened (z, y, x) cube around the half sphere."""
        side = 2 * self.reach + 1
        x, y, z = self.index.unbind(1)
        return (z * side + y + self.reach) * side + x + self.reach

    @cached_property
    def rank(self) -> Int[Tensor, " count"]:
        """Place of each wave vector when they are ordered by y, then x, then z."""
        x, y, z = self.index.numpy().T
        return torch.from_numpy(np.argsort(np.lexsort((z, x, y))))

    @cached_property
    def rows(self) -> Int[Tensor, "side side_and_one"]:
        """Where the vectors of each y and x begin in that order; a row's last entry is its end."""
        side = 2 * self.reach + 1
        x, y, _ = (self.index + self.reach).numpy().T
        ends = np.cumsum(np.bincount(y * side + x, minlength=side * side))
        starts = np.r_[0, ends]
        return torch.from_numpy(starts[np.arange(side)[:, None] * side + np.arange(side + 1)])

    @cached_property
    def turned(self) -> tuple[Tensor, Tensor]:
        """For each rotation of the cube and slot: the slot of ±Gk, and the sign, (24, slots)."""
        side = 2 * self.reach + 1
        table = torch.zeros(side**3, dtype=torch.int64)
        place = torch.tensor([side * side, side, 1])
        table[(self.index + self.reach) @ place] = self.slot_of
        group = cubic_rotations().to(torch.int64)
        image = torch.einsum("gij,kj->gki", group, self.index[self.source])
        sign = torch.where(image[..., 2] < 0, -1, 1)
        slot = table[(image * sign[..., None] + self.reach) @ place]
        return slot, sign

    @cached_property
    def turned_rows(self) -> tuple[Tensor, Tensor]:
        """``turned`` of the vectors in the order of ``rows``, (24, count), slots as int32."""
        slot, sign = self.turned
        order = self.slot_of[torch.argsort(self.rank)]
        return slot[:, order].to(torch.int32), sign[:, order]
