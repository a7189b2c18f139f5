"""What a batched search needs of a pocket and a ligand, on a device.

Arrays are laid out with the poses last, ``(atoms, 3, poses)``: every operation runs along poses.
Positions are kept relative to the middle of the box, which saves single precision two digits.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from docking.search.overlap import STRIDE
from docking.search.pair_sum import REACH2
from docking.search.problem import BINS, Body, Maps

LAST = REACH2 * BINS
"""Node of the pair table at the cut-off; zero, as the one after it."""


@dataclass(frozen=True, eq=False)
class DeviceMaps:
    """A pocket's maps on a device; ``DeviceMaps.of`` makes one.

    Attributes:
        values: All maps in a row.
        shape: ``(q, nx, ny, nz)``.
        corners: Places of a cell's eight corners relative to its first, ``(8, 1, 1)``.
        last: Last cell along each axis, ``(1, 3, 1)``; so the next three.
        origin: Position of the first point from the middle of the box, angstrom.
        low: Lower corner of the box.
        high: Upper corner of the box.
        inverse: Points per angstrom.
        middle: Middle of the box, angstrom.
        table: Pair energies in a row.
        rise: Their increase to the next node.
        nodes: Types and nodes of the table.
    """

    values: Tensor
    shape: tuple[int, ...]
    corners: Tensor
    last: Tensor
    origin: Tensor
    low: Tensor
    high: Tensor
    inverse: float
    middle: ndarray
    table: Tensor
    rise: Tensor
    nodes: tuple[int, int]

    @classmethod
    def of(
        cls, maps: Maps, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> "DeviceMaps":
        """Copy maps to a device; good for any number of ligands."""
        middle = (maps.low + maps.high) / 2
        _, nx, ny, nz = maps.values.shape
        count = max(maps.values.size, maps.table.size)
        whole = torch.int32 if count < 2**31 else torch.int64
        cell = np.array([0, 1, nz, nz + 1, ny * nz, ny * nz + 1, ny * nz + nz, ny * nz + nz + 1])

        def put(values: Any, kind: torch.dtype = dtype) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(values)).to(device, kind)

        def corner(values: ndarray) -> Tensor:
            return put((values - middle)[None, :, None])

        return cls(
            put(maps.values.reshape(-1)),
            maps.values.shape,
            put(cell[:, None, None], whole),
            put(np.array([nx, ny, nz])[None, :, None] - 2, whole),
            corner(maps.origin),
            corner(maps.low),
            corner(maps.high),
            maps.inverse,
            middle,
            put(maps.table.reshape(-1)),
            put(np.diff(maps.table, append=np.float32(0)).reshape(-1)),
            (maps.table.shape[1], maps.table.shape[2]),
        )


@dataclass(frozen=True, eq=False)
class DeviceBody:
    """A ligand on a device, for one pocket's maps; ``DeviceBody.of`` makes one.

    Bodies are sorted by their depth in the tree, so that those of a depth are placed at once.

    Attributes:
        local: Atoms relative to their body's origin, ``(n, 3, conformers)``.
        still: Parts of each body's motion relative to its parent that do not depend on its angle,
            that go with its cosine and with its sine; columns are the turn, the body's origin and
            the bond it hangs on, each ``(b - 1, 3, 5, conformers)``.
        cosine: See ``still``.
        sine: See ``still``.
        penalty: Energy of each conformer, kcal/mol, ``(conformers,)``.
        scale: As in ``Body``, ``(6 + t, 1)``.
        owner: Body of each atom.
        members: Atoms of each body, filled up with ``n``, ``(most, b)``.
        levels: First body of each depth but the root's, first of the next, and the parents of its
            bodies, counted from the first of the depth above.
        parents: Parent of each body, by the sorting here.
        angles: Torsion of each body but the root.
        torsions: Body of each torsion, counted without the root.
        channel: First value of each atom's map, ``(n, 1)``.
        pairs: First and second atoms of the pairs, and one null pair of an atom with itself, which
            makes no force; None if there are no pairs.
        radii: Sum of the radii of each pair, ``(p + 1, 1)``; None for a ligand too large for the
            compiled ``overlap``.
        weight: Of the repulsion, kcal/mol per square angstrom.
        rows: First table entry of each pair, ``(p + 1, 1)``.
        partners: Forces of the pairs of each atom among those of all first atoms, then all second
            ones, filled up with the null pair's, ``(most, n)``.
    """

    local: Tensor
    still: Tensor
    cosine: Tensor
    sine: Tensor
    penalty: Tensor
    scale: Tensor
    owner: Tensor
    members: Tensor
    levels: tuple[tuple[int, int, Tensor], ...]
    parents: tuple[int, ...]
    angles: Tensor
    torsions: Tensor
    channel: Tensor
    pairs: tuple[Tensor, Tensor] | None
    radii: Tensor | None
    weight: float
    rows: Tensor
    partners: Tensor

    @classmethod
    def of(cls, body: Body, maps: DeviceMaps) -> "DeviceBody":
        """Copy a ligand to where the maps are."""
        n, count, p = len(body.kinds), len(body.parents), len(body.pairs)
        depth = np.zeros(count, dtype=np.int64)
        for b in range(1, count):
            depth[b] = depth[body.parents[b]] + 1
        order = np.argsort(depth, kind="stable")
        place = np.argsort(order)
        parents = np.append(-1, place[body.parents[order[1:]]])
        owner = place[np.repeat(np.arange(count), np.diff(body.starts))]
        bounds = [0, *np.searchsorted(depth[order], np.arange(1, depth.max() + 2)).tolist()]
        u = body.axis.transpose(1, 2, 0)[order[1:]]
        straight = u[:, :, None] * u[:, None, :]
        # Column k of the matrix that turns by a right angle is the axis cross unit vector k.
        cross = np.cross(body.axis[..., None, :], np.eye(3)).transpose(1, 3, 2, 0)[order[1:]]
        offset = body.offset.transpose(1, 2, 0)[order[1:], :, None]
        nothing = np.zeros_like(offset)
        ends = body.pairs.T.reshape(-1) if p else np.zeros(0, dtype=np.int64)
        sides = np.concatenate([body.pairs, np.zeros((1, 2), dtype=np.int64)]).T
        radius = body.own.packed[-STRIDE:].astype(np.float64)
        types, nodes = maps.nodes
        rows = (body.kinds[sides[0]] * types + body.kinds[sides[1]]) * nodes

        def put(values: Any, kind: torch.dtype | None = None) -> Tensor:
            array = torch.as_tensor(np.ascontiguousarray(values))
            return array.to(maps.values.device, kind or maps.values.dtype)

        whole = maps.corners.dtype
        forces = [np.flatnonzero(ends == atom) for atom in range(n)]
        return cls(
            local=put(body.local.transpose(1, 2, 0)),
            still=put(np.concatenate([straight, offset, u[:, :, None]], 2)),
            cosine=put(np.concatenate([np.eye(3)[..., None] - straight, nothing, nothing], 2)),
            sine=put(np.concatenate([cross, nothing, nothing], 2)),
            penalty=put(body.penalty),
            scale=put(body.scale[:, None]),
            owner=put(owner, whole),
            members=put(_filled([np.flatnonzero(owner == b) for b in range(count)], n), whole),
            levels=tuple(
                (a, b, put(parents[a:b] - above, whole))
                for above, a, b in zip(bounds, bounds[1:], bounds[2:], strict=False)
            ),
            parents=tuple(parents.tolist()),
            angles=put(order[1:] - 1, whole),
            torsions=put(place[1:] - 1, whole),
            channel=put(body.channel[:, None] * math.prod(maps.shape[1:]), whole),
            pairs=(put(sides[0], whole), put(sides[1], whole)) if p else None,
            radii=put(radius[sides].sum(0)[:, None]) if n <= STRIDE else None,
            weight=body.own.weight,
            rows=put(rows[:, None], whole),
            partners=put(_filled([each + (each >= p) for each in forces], p), whole),
        )

    def laid(self, conformer: Int[Tensor, " p"]) -> "DeviceBody":
        """The body with one conformer per pose."""
        if len(self.penalty) == 1:
            return self
        changed = {
            name: getattr(self, name)[..., conformer]
            for name in ("local", "still", "cosine", "sine", "penalty")
        }
        return type(self)(**(vars(self) | changed))

    def floats(self) -> int:
        """Numbers held at once for each pose while its energy is computed, at most."""
        n, p = len(self.local), 0 if self.pairs is None else len(self.rows)
        return 60 * n + 16 * self.members.numel() + 26 * p + 4 * self.partners.numel() + 100


def working_memory(device: torch.device) -> int:
    """Bytes of temporary arrays to fill at once: a processor slows down out of its caches."""
    return 2**26 if device.type == "cpu" else 2**31


def at_once(poses: int, floats: int, maps: DeviceMaps, memory: int | None) -> int:
    """How many poses to compute at once, all turns being alike.

    Args:
        poses: All there are.
        floats: Numbers held for each.
        maps: Where they are computed.
        memory: Bytes; those of ``working_memory`` if left out.

    Raises:
        ValueError: If ``memory`` is not positive.
    """
    if memory is None:
        memory = working_memory(maps.values.device)
    if memory < 1:
        raise ValueError(f"memory must be positive, got {memory}")
    most = max(1, memory // (floats * maps.values.element_size()))
    return max(1, math.ceil(poses / math.ceil(poses / most))) if poses else 1


def _filled(lists: list[ndarray], blank: int) -> ndarray:
    """Lists as columns of an array."""
    filled = np.full((max(1, *map(len, lists)), len(lists)), blank)
    for column, entries in enumerate(lists):
        filled[: len(entries), column] = entries
    return filled
