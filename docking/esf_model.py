"""EsfModel: dock and rank with the overlap of two learned fields alone."""

import hashlib
import math
import time
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from docking.box import Box
from docking.correlate import ReceptorSpectrum
from docking.field_bodies import WALL, FieldBodies, read_overlaps
from docking.field_cells import BoxedSpectrum, best_cells
from docking.grid import Grid
from docking.learned.field_fit import FieldFit
from docking.learned.lean_fields import LeanFields
from docking.ligand import Ligand
from docking.model import PhysicsModel
from docking.molecule import Receptor
from docking.overlap_maps import OverlapMaps
from docking.pocket_file import Learned, learned_by
from docking.pocket_map import PocketField
from docking.pose_input import given_poses
from docking.ranking import APART, best_apart, ranked
from docking.result import DockingResult
from docking.rotation import hopf_grid
from docking.scalar_field import ScalarField
from docking.symmetry import Symmetry
from docking.unlike_conformers import unlike
from overparam.checkpoint import load_module
from overparam.errors import InputError

_STEP = 1.0  # of the lattice of places, angstrom, if the fields' wave numbers allow
_FADED = 5.5  # widths at which u**6 exp(-u**2 / 2), degree 3 on 3, is 1e-3 of its largest
_LOOKED_AT, _REFINED = 400, 48  # cells compared with each other, and refined


class _Laid(NamedTuple):
    """What a pocket's field is read from: a search's spectrum and the maps of scores."""

    boxed: BoxedSpectrum
    maps: OverlapMaps


class EsfModel(PhysicsModel):
    """The overlap of a receptor's and a ligand's equivariant scalar field.

    Scores are logarithms of odds without a unit: they order the poses of one ligand. They are read
    from cubic maps of the band-limited overlap (``docking.overlap_maps``). Bonds, angles and
    torsions never change in a search or in ``minimize``, for the fields know nothing of strain: a
    flexible ligand is a set of conformers, each docked rigidly.

    Args:
        fields: Trained networks.
        device: Taken for the interface; everything is computed on the CPU.

    Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323, for score and search; the descent
    off the grid is not theirs.
    """

    name = "esf"

    def __init__(self, fields: LeanFields, device: str | torch.device = "cpu") -> None:
        super().__init__(device=device)
        self.net = fields.cpu().eval().requires_grad_(False)
        self.fingerprint = _fingerprint(fields)
        self._laid_out: WeakKeyDictionary[PocketField, _Laid] = WeakKeyDictionary()

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "cpu") -> "EsfModel":
        """Read a checkpoint of a ``FieldFit``.

        Raises:
            InputError: If the file does not hold one.
        """
        return cls(load_module(path, FieldFit).fields, device=device)

    def prepare(self, receptor: Receptor, box: Box) -> PocketField:
        """Compute the maps of a pocket and its field, for any number of ligands.

        Raises:
            InputError: If the box is far from the receptor or too large.
        """
        pocket = super().prepare(receptor, box)
        # Of each atom the nearest point of the box: it is felt if that is.
        places = np.clip(receptor.positions[receptor.heavy], box.low, box.high)
        graph = self.net.receptor.around(receptor, places, self.net.reach)
        with torch.no_grad():
            (field,) = self.net.receptor_fields(graph.to(next(self.net.parameters()).dtype))
        pocket.learned = Learned(
            self.fingerprint, (field.coefficients.clone(),), field.positions.clone()
        )
        self._laid_for(pocket)
        return pocket

    def score(self, pocket: PocketField, ligand: Ligand, coords: Any = None) -> Any:
        """Overlap of the fields, less ``WALL`` for every angstrom an atom is out of the box.

        The ligand's field is that of each pose's conformer; poses that are rigid copies of each
        other share one, unless a gradient is asked for. It jumps a little where an atom's nearest
        neighbours change.

        Args:
            pocket: A pocket this model prepared.
            ligand: The molecule.
            coords: Poses of all its atoms, ``(p, n, 3)`` or ``(n, 3)``, angstrom; its own if left
                out. A tensor gets gradients.

        Returns:
            One score per pose, an array, or a tensor if ``coords`` is one.

        Raises:
            InputError: If another model prepared the pocket.
            ValueError: If the shape does not fit or a coordinate is not finite.
        """
        x, given = given_poses(ligand, coords)
        maps = self._laid_for(pocket).maps
        heavy = torch.as_tensor(np.flatnonzero(ligand.heavy))
        flat = x.reshape(-1, len(ligand), 3).cpu()[:, heavy]
        score = read_overlaps(self.net, ligand, flat, maps)
        score = score.to(x).reshape(x.shape[:-2])
        return score if isinstance(given, Tensor) else score.numpy()

    def minimize(
        self, pocket: PocketField, ligand: Ligand, coords: Any = None, *, rigid: bool = False
    ) -> tuple[Float[ndarray, "p n 3"], Float[ndarray, " p"]]:
        """Lead poses to the nearest maximum of the score as rigid bodies.

        Args:
            pocket: A prepared pocket.
            ligand: The molecule.
            coords: Poses ``(p, n, 3)`` or ``(n, 3)``; the ligand's own if left out.
            rigid: Taken for the interface; torsions are held either way.

        Returns:
            The maxima and their scores, in the order given.
        """
        x = given_poses(ligand, coords)[0].detach().cpu().double().numpy()
        poses = x.reshape(-1, len(ligand), 3)
        bodies = FieldBodies(self.net, ligand, poses)
        every = torch.arange(len(poses))
        unturned = torch.eye(3, dtype=torch.float64).repeat(len(poses), 1, 1)
        found = bodies.climb(self._laid_for(pocket).maps, every, unturned, bodies.middle)
        made = bodies.whole(every, found.rotation, found.center).reshape(x.shape)
        return made, np.asarray(self.score(pocket, ligand, made))

    def dock(
        self,
        pocket: PocketField,
        ligand: Ligand,
        num_poses: int = 9,
        rigid: bool = False,
        seed: int = 0,
        *,
        threads: int = 1,
        effort: float = 1.0,
        conformers: int = 12,
        method: str | None = None,
    ) -> DockingResult:
        """Search every rotation of a grid at every place of a lattice, then climb off the grid.

        Args:
            pocket: A pocket this model prepared.
            ligand: The molecule. Its own conformer is used with ``rigid`` alone; without,
                conformers are made from its graph (``docking.conformers``).
            num_poses: Most poses returned; any two differ by 1 angstrom or more.
            rigid: Dock the conformer given.
            seed: Of the conformers; nothing else is drawn.
            threads: Threads of the search.
            effort: 1 takes 4608 rotations, 7 degrees apart, of one conformer, and as many of two
                shared by more of them; eight times as much the next finer grid.
            conformers: Most conformers tried; 0 takes the one given.
            method: ``"grid"`` alone; the default.

        Returns:
            Poses, best first; the score of each is ``score()`` of it, to rounding.

        Raises:
            InputError: If the ligand cannot fit the box or another model prepared the pocket.
        """
        _check(num_poses, effort, conformers, method)
        started = time.perf_counter()
        box = Box((pocket.low + pocket.high) / 2, pocket.high - pocket.low)
        box.check_fits(ligand)
        warnings = list(ligand.warnings)
        if rigid or not conformers:
            if ligand.coords is None:
                kind = "rigid docking" if rigid else "docking with conformers=0"
                raise InputError(f"{ligand.name}: {kind} needs a ligand with 3-D coordinates")
            coords = ligand.coords[None]
        else:
            coords, told = unlike(ligand, conformers, seed)
            warnings += told
        before = torch.get_num_threads()
        torch.set_num_threads(max(1, threads))  # correlation follows it too
        try:
            poses, chosen, scores = self._searched(pocket, ligand, coords, effort)
        finally:
            torch.set_num_threads(before)
        symmetry = Symmetry.of(ligand.mol)
        kept = best_apart(poses, -scores, symmetry, num_poses)
        return DockingResult(
            ligand=ligand,
            poses=ranked(poses, scores, kept, chosen, symmetry, {"overlap": scores}),
            model=self.name,
            seed=seed,
            seconds=time.perf_counter() - started,
            warnings=warnings,
        )

    def _searched(
        self,
        pocket: PocketField,
        ligand: Ligand,
        coords: Float[ndarray, "c n 3"],
        effort: float,
    ) -> tuple[Float[ndarray, "p n 3"], Int[ndarray, " p"], Float[ndarray, " p"]]:
        """Maxima, the conformer of each, and their scores."""
        laid = self._laid_for(pocket)
        bodies = FieldBodies(self.net, ligand, coords)
        share = effort / max(1.0, len(coords) / 2)
        level = min(max(round(2 + math.log(share, 8)), 0), 3)
        rotations = hopf_grid(level, dtype=next(self.net.parameters()).dtype)
        cells = [best_cells(laid.boxed, bodies.field(c), rotations) for c in range(len(coords))]
        likely = torch.cat([found for _, found in cells]).argsort(descending=True, stable=True)
        likely = likely[:_LOOKED_AT]
        conformer = likely // len(rotations)
        turns = rotations[likely % len(rotations)].double()
        places = torch.cat([motion.translation for motion, _ in cells])[likely]
        places = places + torch.as_tensor((pocket.low + pocket.high) / 2)
        # The reward for being inside has soft walls: the score has not.
        score = bodies.score(laid.maps, conformer, turns, places)
        far = torch.as_tensor(
            Symmetry.of(ligand.mol).cluster(
                bodies.whole(conformer, turns, places), score.numpy(), APART, _REFINED
            )
        )
        conformer = conformer[far]
        found = bodies.climb(laid.maps, conformer, turns[far], places[far])
        made = bodies.whole(conformer, found.rotation, found.center)
        return made, conformer.numpy(), found.score.numpy()

    def check_pocket(self, pocket: PocketField) -> None:
        """Refuse a pocket that another model prepared.

        Raises:
            InputError: If it did.
        """
        learned_by(pocket, self.fingerprint, self.name)

    def _laid_for(self, pocket: PocketField) -> _Laid:
        """Spectrum and maps of a pocket, made once."""
        kept = learned_by(pocket, self.fingerprint, self.name)
        if pocket not in self._laid_out:
            net = self.net
            field = ScalarField(kept.coefficients[0], kept.positions, net.receptor_basis)
            step = min(_STEP, math.pi / net.k_max)
            fade = _FADED * math.hypot(max(net.receptor_widths), max(net.ligand_widths))
            # So wide that no atom in the box feels a periodic image of an emitter.
            extent = float((pocket.high - pocket.low).max()) + net.reach + fade
            x, y, z = ((pocket.low + pocket.high) / 2).tolist()
            grid = Grid(2 * math.ceil(extent / step / 2), step, (x, y, z))
            spectrum = ReceptorSpectrum(field, grid, net.k_max)
            with torch.no_grad():
                maps = OverlapMaps(
                    spectrum, net.ligand_basis, net.ligand.degree, pocket.low, pocket.high
                )
            a, b, c = ((pocket.high - pocket.low) / 2).tolist()
            self._laid_out[pocket] = _Laid(BoxedSpectrum.of(spectrum, (a, b, c), WALL), maps)
        return self._laid_out[pocket]


def _check(num_poses: int, effort: float, conformers: int, method: str | None) -> None:
    if num_poses < 1:
        raise ValueError(f"num_poses must be at least 1, got {num_poses}")
    if method not in (None, "grid"):
        raise ValueError(f"method must be grid for {EsfModel.name}, got {method!r}")
    if conformers < 0:
        raise ValueError(f"conformers must be 0 or more, got {conformers}")
    if not 0 < effort < math.inf:
        raise ValueError(f"effort must be positive and finite, got {effort}")


def _fingerprint(net: LeanFields) -> str:
    shape = (net.receptor_widths, net.ligand_widths, net.reach, net.k_max)
    digest = hashlib.sha256(repr(shape).encode())
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
