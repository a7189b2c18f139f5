"""A ligand's conformers with the field of each, and rigid poses of them in a pocket's maps."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from docking.learned.lean_esf import ligand_tables
from docking.learned.lean_fields import LeanFields
from docking.learned.neighbourhood import Neighbourhood
from docking.ligand import Ligand
from docking.overlap_maps import OverlapMaps, turned
from docking.rigid_descent import Placed, climb
from docking.scalar_field import ScalarField

WALL = 10.0
"""What an atom out of the box costs, per angstrom; the score's unit is a nat."""
_ALIKE = 1e-3  # angstrom within which poses are copies of one conformer
_AT_ONCE = 64  # conformers the network sees together


class FieldBodies:
    """Conformers of a ligand, each about the middle of its heavy atoms.

    Args:
        net: The networks.
        ligand: The molecule.
        coords: All its atoms in each conformer, angstrom.

    Attributes:
        middle: Where each lay, ``(c, 3)``, angstrom.
    """

    def __init__(self, net: LeanFields, ligand: Ligand, coords: Float[ndarray, "c n 3"]) -> None:
        heavy = torch.as_tensor(np.flatnonzero(ligand.heavy))
        every = torch.as_tensor(coords, dtype=torch.float64)
        self.middle = every[:, heavy].mean(1)
        self._every = every - self.middle[:, None]
        self._x = self._every[:, heavy]
        self._gyration = self._x.square().sum(-1).mean(1).sqrt()
        self._basis, self._lmax = net.ligand_basis, net.ligand.degree
        with torch.no_grad():
            self._A = coefficients(net, ligand, self._x)

    def field(self, conformer: int) -> ScalarField:
        """The field of a conformer about its middle."""
        A = self._A[conformer]
        return ScalarField(A, self._x[conformer].to(A), self._basis)

    def score(
        self,
        maps: OverlapMaps,
        conformer: Int[Tensor, " p"],
        rotation: Float[Tensor, "p 3 3"],
        center: Float[Tensor, "p 3"],
    ) -> Float[Tensor, " p"]:
        """Overlap of poses, less ``WALL`` for each angstrom of an atom out of the box.

        Differentiable in rotations and centres.
        """
        x = self._x[conformer] @ rotation.mT + center[:, None]
        overlap, out = maps.overlaps(turned(self._A[conformer], rotation, self._lmax), x)
        return overlap.double() - WALL * out

    def climb(
        self,
        maps: OverlapMaps,
        conformer: Int[Tensor, " p"],
        rotation: Float[Tensor, "p 3 3"],
        center: Float[Tensor, "p 3"],
    ) -> Placed:
        """Lead poses to the nearest maxima of the score as rigid bodies."""

        def score(some: Tensor, R: Tensor, t: Tensor) -> Tensor:
            return self.score(maps, conformer[some], R, t)

        return climb(score, rotation, center, self._gyration[conformer])

    def whole(
        self,
        conformer: Int[Tensor, " p"],
        rotation: Float[Tensor, "p 3 3"],
        center: Float[Tensor, "p 3"],
    ) -> Float[ndarray, "p n 3"]:
        """All atoms of poses, angstrom."""
        made = self._every[conformer] @ rotation.mT + center[:, None]
        return made.numpy()


def coefficients(
    net: LeanFields, ligand: Ligand, x: Float[Tensor, "p n 3"]
) -> Float[Tensor, "p n c j lm"]:
    """A ligand's coefficients in each pose of its heavy atoms; differentiable."""
    features, bonds = ligand_tables(ligand)
    dtype = next(net.parameters()).dtype
    made: list[Tensor] = []
    for some in (x - x.mean(1, keepdim=True)).split(_AT_ONCE):
        around = [net.ligand.around(features, bonds, one) for one in some.detach().numpy()]
        graph = Neighbourhood.joined(around).to(dtype)
        graph = replace(graph, positions=some.flatten(0, 1).to(dtype))
        made += [field.coefficients for field in net.ligand_fields(graph)]
    return torch.stack(made)


def read_overlaps(
    net: LeanFields, ligand: Ligand, x: Float[Tensor, "p n 3"], maps: OverlapMaps
) -> Float[Tensor, " p"]:
    """Score of poses of any conformers, given by their heavy atoms; differentiable in them.

    Where no gradient is asked for, poses that are rigid copies of each other share one run of the
    network.
    """
    if x.requires_grad and torch.is_grad_enabled():
        A = coefficients(net, ligand, x).flatten(2)
    else:
        x = x.detach()
        copy, rotations = _copies(x.double().numpy())
        first, place = np.unique(copy, return_inverse=True)
        with torch.no_grad():
            made = coefficients(net, ligand, x[torch.as_tensor(first)])
            A = turned(made[torch.as_tensor(place)], torch.as_tensor(rotations), net.ligand.degree)
    overlap, out = maps.overlaps(A, x.double())
    return overlap.double() - WALL * out


def _copies(
    x: Float[ndarray, "p n 3"],
) -> tuple[Int[ndarray, " p"], Float[ndarray, "p 3 3"]]:
    """For each pose the first one it is a rigid copy of, and the rotation between them."""
    first = np.full(len(x), -1)
    rotations = np.zeros((len(x), 3, 3))
    centred = x - x.mean(1, keepdims=True)
    while (first < 0).any():
        rows = np.flatnonzero(first < 0)
        one = centred[rows[0]]
        u, _, v = np.linalg.svd(np.einsum("ni,pnj->pij", one, centred[rows]))
        flip = np.ones((len(rows), 3))
        flip[:, 2] = np.sign(np.linalg.det(u @ v))
        turn = np.swapaxes((u * flip[:, None]) @ v, 1, 2)
        off = np.abs(one @ np.swapaxes(turn, 1, 2) - centred[rows]).max((1, 2), initial=0.0)
        same = off < _ALIKE
        same[0], turn[0] = True, np.eye(3)
        first[rows[same]], rotations[rows[same]] = rows[0], turn[same]
    return first, rotations
