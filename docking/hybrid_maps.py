"""What a search for the hybrid score reads: physics and field together.

For many energies a map of every ligand atom, made for the ligand; for few the field's channels.
"""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.interpolate import make_interp_spline
from torch import Tensor

from docking.lattice import Lattice
from docking.learned.pair_field import PairField
from docking.ligand import Ligand
from docking.pocket_map import PocketField
from docking.search.problem import SEARCH_CAP, Flexible, Maps

COARSE = 0.75
"""Spacing of the field's own maps, angstrom: its radial functions are 0.6 apart and smooth."""


class HybridMaps:
    """Maps of a field's channels, once per pocket, and from them those of a ligand's atoms.

    The channels are computed on a coarse lattice. A ligand's coefficients sum them to one map per
    atom, cubic splines carry these to the lattice of the physics maps, and both are added. Where
    physics is a wall the field fades with it: it was never trained inside atoms.

    Args:
        scale: What turns the field's score into kcal/mol; the energy is minus that.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self._channels: WeakKeyDictionary[PocketField, Tensor] = WeakKeyDictionary()
        self._fine: WeakKeyDictionary[PocketField, ndarray] = WeakKeyDictionary()

    def channels(self, pocket: PocketField, field: PairField) -> Float[Tensor, "q x y z"]:
        """Maps of the field's channels on the coarse lattice, kept with the pocket."""
        if pocket not in self._channels:
            lattice = _coarse(pocket.lattice)
            every = torch.eye(field.coefficients.shape[1], dtype=field.coefficients.dtype)
            with torch.inference_mode():
                made = field.atom_maps(every, lattice)
            self._channels[pocket] = made.clone()
        return self._channels[pocket]

    def fine(self, pocket: PocketField, field: PairField) -> Float[ndarray, "x y z q"]:
        """The channels on the lattice of the physics maps, kept with the pocket."""
        if pocket not in self._fine:
            coarse = self.channels(pocket, field).numpy()
            fine = _finer(coarse, _coarse(pocket.lattice), pocket.lattice)
            self._fine[pocket] = np.ascontiguousarray(np.moveaxis(fine, 0, -1))
        return self._fine[pocket]

    def direct(
        self,
        pocket: PocketField,
        field: PairField,
        A: Float[Tensor, "n q"],
        physics: Maps,
        ligand: Ligand,
        problem: Flexible,
    ) -> Maps:
        """Maps that are read channel by channel: nothing is made for the ligand.

        Energies are those of ``of`` up to rounding.
        """
        place = np.cumsum(ligand.heavy) - 1
        readout = -self.scale * A.numpy()[place[problem.order]]
        return physics._replace(
            channels=self.fine(pocket, field),
            readout=np.ascontiguousarray(readout, dtype=np.float32),
        )

    def of(
        self,
        pocket: PocketField,
        field: PairField,
        A: Float[Tensor, "n q"],
        physics: Maps,
        ligand: Ligand,
        problem: Flexible,
    ) -> tuple[Maps, Flexible]:
        """Maps with one channel for each heavy atom of a ligand, and the ligand reading them.

        Args:
            pocket: The pocket.
            field: Its field.
            A: The ligand's coefficients, heavy atoms in their order.
            physics: Maps of the pocket by atom type, capped.
            ligand: The ligand.
            problem: The same, laid out for the search.
        """
        coarse = torch.einsum("nq,qxyz->nxyz", A, self.channels(pocket, field)).numpy()
        learned = -self.scale * _finer(coarse, _coarse(pocket.lattice), pocket.lattice)
        types = pocket.channel_of_type().cpu().numpy()[ligand.vina_type[ligand.heavy]]
        wall = physics.values[types]
        learned *= np.clip(1 - wall / SEARCH_CAP, 0, 1)
        place = np.cumsum(ligand.heavy) - 1
        body = problem.body._replace(channel=np.array(place[problem.order], dtype=np.int64))
        values = np.ascontiguousarray(wall + learned)
        return physics._replace(values=values, learned=learned), problem._replace(body=body)


def _coarse(lattice: Lattice) -> Lattice:
    return Lattice.cover(lattice.low, lattice.high, COARSE)


def _finer(
    values: Float[ndarray, "n a b c"], source: Lattice, target: Lattice
) -> Float[ndarray, "n x y z"]:
    """Values of the cubic splines through a lattice's values at another lattice's points."""
    made = torch.as_tensor(values)
    for axis, (old, new) in enumerate(zip(source.axes(), target.axes(), strict=True), start=1):
        weights = make_interp_spline(old, np.eye(len(old)), k=3)(new)
        moved = torch.as_tensor(weights.astype(np.float32)) @ made.movedim(axis, -2)
        made = moved.movedim(-2, axis)
    return made.contiguous().numpy()
