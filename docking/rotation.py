"""Rotations of space: uniform draws, grids over SO(3), the rotations of the cube, rigid motions.

A rotation is a matrix ``R`` acting on row vectors as ``x @ R.T``; quaternions are ``(w, x, y, z)``.

Sources: Górski et al., "HEALPix", ApJ 622 (2005) 759, section 5, for the pixels of the sphere;
Yershova et al., "Generating Uniform Incremental Grids on SO(3) Using the Hopf Fibration", IJRR 29
(2010) 801, for their product with circles; Karney, "Quaternions in molecular modeling", J. Mol.
Graph. Model. 25 (2007) 595, for body-centred lattices of rotations.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

HOPF_FACES = 12
HOPF_TURNS = 6


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrix of a quaternion ``(w, x, y, z)`` of any length but zero."""
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def matrix_to_quaternion(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion ``(w, x, y, z)`` with ``w >= 0`` of a rotation matrix."""
    m = rotation
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Each row is 4 * q_i * (w, x, y, z): take the one whose own component is largest.
    w, x, y, z = 1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz
    wx, wy, wz = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    xy, xz, yz = (
        m[..., 1, 0] + m[..., 0, 1],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 2, 1] + m[..., 1, 2],
    )
    rows = torch.stack(
        [
            torch.stack(row, -1)
            for row in ((w, wx, wy, wz), (wx, x, xy, xz), (wy, xy, y, yz), (wz, xz, yz, z))
        ],
        dim=-2,
    )
    best = torch.stack((w, x, y, z), -1).argmax(-1)
    q = rows.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    q = q / q.norm(dim=-1, keepdim=True)
    return torch.where(q[..., :1] < 0, -q, q)


def uniform_rotations(
    count: int, *, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "count 3 3"]:
    """Draw rotations from the Haar measure; Shoemake, Graphics Gems III (1992) 124."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    return quaternion_to_matrix(torch.randn(count, 4, generator=generator, dtype=dtype))


def rotation_angle(
    a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*#batch"]:
    """Angle of the rotation that takes ``a`` to ``b``, radians in [0, pi]."""
    # The chord keeps its digits near 0, where the arc cosine of the trace loses half of them.
    chord = (a - b).square().sum((-1, -2)).sqrt() / (2 * math.sqrt(2))
    return 2 * torch.asin(chord.clamp(max=1.0))


def healpix_centers(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of the polar angle and azimuth of the ``12 * 4**level`` nested HEALPix pixels.

    The children of pixel p are 4p ... 4p + 3 of the next level.
    """
    if level < 0:
        raise ValueError(f"level must be at least 0, got {level}")
    side = 2**level
    pixel = np.arange(12 * side**2)
    face, inside = np.divmod(pixel, side**2)
    x = sum(((inside >> (2 * bit)) & 1) << bit for bit in range(max(level, 1)))
    y = sum(((inside >> (2 * bit + 1)) & 1) << bit for bit in range(max(level, 1)))
    ring = (2 + face // 4) * side - x - y - 1
    north, south = ring < side, ring > 3 * side
    steps = np.where(north, ring, np.where(south, 4 * side - ring, side))
    cap = 1 - steps**2 / (3 * side**2)
    z = np.where(north, cap, np.where(south, -cap, (2 * side - ring) * 2 / (3 * side)))
    shifted = np.where(north | south, 0, (ring - side) % 2)
    column = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])[face]
    place = (column * steps + x - y + 1 + shifted) // 2
    place = (place - 1) % (4 * side) + 1
    return z, (place - (shifted + 1) / 2) * (math.pi / 2) / steps


def hopf_grid(level: int, *, dtype: torch.dtype = torch.float64) -> Float[Tensor, "count 3 3"]:
    """Rotations of the Hopf grid, ``72 * 8**level`` of them.

    Rotation ``p * turns + i`` carries the pole to HEALPix pixel p after a turn i about the pole.
    Mean distance of a random rotation to the grid: 14.1 degrees at level 1, 7.05 at level 2.
    """
    z, azimuth = healpix_centers(level)
    turns = HOPF_TURNS * 2**level
    psi = (np.arange(turns) + 0.5) * (2 * math.pi / turns)
    polar, psi = np.repeat(np.arccos(z), turns), np.tile(psi, len(z))
    azimuth = np.repeat(azimuth, turns)
    quaternion = np.stack(
        [
            np.cos(polar / 2) * np.cos((azimuth + psi) / 2),
            np.sin(polar / 2) * np.sin((psi - azimuth) / 2),
            np.sin(polar / 2) * np.cos((psi - azimuth) / 2),
            np.cos(polar / 2) * np.sin((azimuth + psi) / 2),
        ],
        axis=-1,
    )
    return quaternion_to_matrix(torch.from_numpy(quaternion)).to(dtype)


def hopf_children(index: Int[Tensor, " n"], level: int) -> Int[Tensor, "n 8"]:
    """Indices at ``level + 1`` of the eight rotations around each rotation of ``level``."""
    turns = HOPF_TURNS * 2**level
    pixel, turn = index // turns, index % turns
    quarter, half = (
        torch.arange(4, device=index.device)[:, None],
        torch.arange(2, device=index.device),
    )
    children = (4 * pixel[:, None, None] + quarter) * (2 * turns) + 2 * turn[:, None, None] + half
    return children.flatten(1)


@lru_cache(maxsize=1)
def _cube() -> Tensor:
    signed = []
    for axes in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), axes] = signs
            if np.linalg.det(matrix) > 0:
                signed.append(matrix)
    return torch.from_numpy(np.stack(sorted(signed, key=lambda m: -np.trace(m))))


def cubic_rotations(dtype: torch.dtype = torch.float64) -> Float[Tensor, "24 3 3"]:
    """The 24 rotations that map a cube, hence a cubic lattice, to itself; the identity first."""
    return _cube().to(dtype, copy=True)


def cubic_grid(count: int, *, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n 3 3"]:
    """About ``count`` rotations, closed under the 24 rotations of the cube.

    A body-centred lattice in the cell of rotations nearest to the identity, times the group. As
    even as a Hopf grid of equal size (mean distance of a random rotation 7.2 degrees at 4344) and,
    unlike it, every lattice spectrum serves 24 of its rotations in ``correlate_translations``.
    Rotation ``24 * b + g`` is ``cubic_rotations()[g] @ base[b]``.
    """
    if count < 24:
        raise ValueError(f"count must be at least 24, got {count}")
    group = cubic_rotations()
    quaternions = matrix_to_quaternion(group).numpy()
    found: dict[int, list[np.ndarray]] = {}
    # Two lattice points per cube of side tan(pi/8) / fineness; the cell is 94 % of its cube.
    for fineness in np.linspace(0.7, 1.3, 61) * (count / 24 / 15.0) ** (1 / 3):
        steps = np.arange(-math.ceil(fineness) - 1, math.ceil(fineness) + 2)
        corner = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
        rodrigues = np.concatenate([corner, corner + 0.5]) * (math.tan(math.pi / 8) / fineness)
        quaternion = np.concatenate([np.ones((len(rodrigues), 1)), rodrigues], axis=1)
        inside = np.abs(quaternion @ quaternions[1:].T).max(1) <= 1 + 1e-9
        found.setdefault(int(inside.sum()), []).append(quaternion[inside])
    # Many finenesses give one count; the middle one covers best.
    near = sorted(found, key=lambda size: abs(24 * size - count))[0]
    middle = torch.from_numpy(found[near][len(found[near]) // 2])
    # A point on a face of the cell may appear again on the opposite one, turned.
    base = cubic_orbits(quaternion_to_matrix(middle)).base
    return torch.einsum("gij,bjk->bgik", group, base).reshape(-1, 3, 3).to(dtype)


@dataclass(frozen=True)
class CubicOrbits:
    """Rotations written as a rotation of the cube after one of few bases.

    Attributes:
        base: The bases.
        base_of: For each rotation its base.
        turn_of: For each rotation the index g with ``R = cubic_rotations()[g] @ base``.
    """

    base: Tensor
    base_of: Tensor
    turn_of: Tensor


def cubic_orbits(rotations: Float[Tensor, "n 3 3"], *, tolerance: float = 1e-5) -> CubicOrbits:
    """Group rotations that differ by a rotation of the cube applied last.

    Rotations without such relatives form orbits of one; the result is exact for any input.
    """
    group = cubic_rotations()
    exact = rotations.detach().to("cpu", torch.float64)
    relatives = torch.einsum("gji,njk->ngik", group, exact).reshape(-1, 3, 3)
    quaternion = matrix_to_quaternion(relatives).reshape(len(exact), 24, 4)
    # The representative is the relative first in an order every member of the orbit sees alike:
    # largest w, then x, y, z, compared on a coarse scale so that rounding does not decide.
    key = torch.round(quaternion / tolerance).to(torch.int64).numpy()
    ranked = np.lexsort(key.transpose(2, 0, 1)[::-1], axis=-1)[:, -1]
    chosen = key[np.arange(len(key)), ranked]
    _, first, base_of = np.unique(chosen, axis=0, return_index=True, return_inverse=True)
    base = relatives.reshape(len(exact), 24, 3, 3)[first, ranked[first]]
    device = rotations.device
    return CubicOrbits(
        base.to(rotations),
        torch.from_numpy(base_of.reshape(-1)).to(device),
        torch.from_numpy(ranked).to(device),
    )


@dataclass(frozen=True)
class RigidMotion:
    """Rigid motions ``x -> x @ R.T + t``.

    Args:
        rotation: ``(*batch, 3, 3)``.
        translation: ``(*batch, 3)``, angstrom.
    """

    rotation: Tensor
    translation: Tensor

    def __post_init__(self) -> None:
        if self.rotation.shape[-2:] != (3, 3) or self.translation.shape[-1:] != (3,):
            raise ValueError(
                "rotation must be (*batch, 3, 3) and translation (*batch, 3), got "
                f"{tuple(self.rotation.shape)} and {tuple(self.translation.shape)}"
            )

    def __call__(self, points: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*out n 3"]:
        """Move points; the motions' batch axes broadcast against the points'."""
        return points @ self.rotation.mT + self.translation[..., None, :]

    def after(self, first: "RigidMotion") -> "RigidMotion":
        """The motion that does ``first`` and then this one."""
        moved = (self.rotation @ first.translation[..., None])[..., 0] + self.translation
        return RigidMotion(self.rotation @ first.rotation, moved)

    def inverse(self) -> "RigidMotion":
        """The motion back."""
        return RigidMotion(
            self.rotation.mT, -(self.rotation.mT @ self.translation[..., None])[..., 0]
        )
