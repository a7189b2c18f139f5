"""HybridModel: dock and rank with physics and a learned field together."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from docking.box import Box
from docking.hybrid_maps import HybridMaps
from docking.learned.confidence import Confidence
from docking.learned.hybrid import HybridScore
from docking.learned.pair_field import PairField
from docking.learned.pocket_graph import MoleculeGraph, PocketGraph
from docking.learned.rank_fit import RankFit
from docking.ligand import Ligand
from docking.model import PhysicsModel
from docking.molecule import Receptor
from docking.physics import ATOM_CAP, atom_terms
from docking.pocket_file import Learned, learned_by
from docking.pocket_map import PocketField
from docking.pose_input import given_poses
from docking.ranking import best_apart, ranked
from docking.result import Pose
from docking.search.engine import Budget, Minima, settle
from docking.search.problem import Flexible, Maps
from docking.symmetry import Symmetry
from docking.vina_table import cap
from overparam.checkpoint import load_module

_OUT = 5  # steps of a descent in physics alone, before the field counts
_POINTS = 2.0  # spacing of the points that stand for a box when a pocket is cropped, angstrom


class HybridModel(PhysicsModel):
    """Vina's energy with a learned field.

    The search and ``minimize`` read both from maps, one for each atom of the ligand; final scores
    are exact. They are logarithms of odds without a unit: they order the poses of one ligand, and
    are not kcal/mol.

    Args:
        score: Trained network.
        confidence: Head that tells the probability of a pose; None leaves it out.
        device: Where ``method="batched"`` searches; the networks run on the CPU.
        guided: Whether the search reads the field; without, it looks for minima of the physics,
            and the field only ranks them.
    """

    name = "hybrid"
    candidates = 40

    def __init__(
        self,
        score: HybridScore,
        confidence: Confidence | None = None,
        device: str | torch.device = "cpu",
        *,
        guided: bool = True,
    ) -> None:
        super().__init__(device=device)
        self.net = score.eval().requires_grad_(False)
        self.confidence = confidence
        self.fingerprint = _fingerprint(score)
        self.guided = guided
        self._hybrid_maps = HybridMaps(score.temperature_now())
        self._fields: WeakKeyDictionary[PocketField, PairField] = WeakKeyDictionary()
        self._readouts: WeakKeyDictionary[Ligand, Tensor] = WeakKeyDictionary()

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device = "cpu") -> "HybridModel":
        """Read a checkpoint of a ``RankFit``.

        Raises:
            InputError: If the file does not hold one.
        """
        fit = load_module(path, RankFit)
        return cls(fit.score, fit.confidence, device=device)

    def prepare(self, receptor: Receptor, box: Box) -> PocketField:
        """Compute the maps of a pocket and its coefficients, for any number of ligands.

        Raises:
            InputError: If the box is far from the receptor or too large.
        """
        pocket = super().prepare(receptor, box)
        net = self.net.pocket
        graph = PocketGraph.of(
            receptor,
            _points(box),
            reach=self.net.cutoff + 0.87 * _POINTS,
            layers=net.layers,
            cutoff=net.cutoff,
            neighbours=net.neighbours,
        )
        with torch.inference_mode():
            field = self.net.fields(graph)[0]
        pocket.learned = Learned(
            self.fingerprint, (field.coefficients.clone(),), field.positions.clone()
        )
        self._hybrid_maps.channels(pocket, self._field(pocket))
        return pocket

    def score(self, pocket: PocketField, ligand: Ligand, coords: Any = None) -> Any:
        """Score of poses by exact pair sums; higher is better, no unit.

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
        flat = x.reshape(-1, len(ligand), 3)
        intra = torch.zeros(len(flat), dtype=flat.dtype)
        _, physics, learned = self._parts(pocket, ligand, flat, intra)
        score = (physics + learned).reshape(x.shape[:-2])
        return score if isinstance(given, Tensor) else score.detach().numpy()

    def _ranked(
        self,
        pocket: PocketField,
        ligand: Ligand,
        poses: Float[ndarray, "p n 3"],
        conformer: ndarray,
        symmetry: Symmetry,
        num_poses: int,
    ) -> list[Pose]:
        x = torch.as_tensor(poses)
        intra = self._intra(ligand, x)
        inter, physics, learned = (
            part.numpy() for part in self._parts(pocket, ligand, x, intra - intra.min())
        )
        total = physics + learned
        kept = best_apart(poses, -total, symmetry, num_poses)
        # As with Vina, the ligand's own energy counts from that of the best pose.
        own = self.net.own_weight() * (intra[kept[:1]] - intra.min()).numpy()
        terms = {
            "inter": inter,
            "intra": intra.numpy(),
            "physics": physics + own,
            "learned": learned,
        }
        probability = None
        if self.confidence is not None:
            probability = self.confidence.of(total, kept, ligand)
        return ranked(poses, total + own, kept, conformer, symmetry, terms, probability)

    def _laid(
        self, pocket: PocketField, ligand: Ligand, problem: Flexible, *, few: bool = False
    ) -> tuple[Maps, Flexible]:
        maps = self._search_maps(pocket)
        field = self._field(pocket)
        if not self.guided:
            return maps, problem
        A = self._readout(ligand)
        if few:
            return self._hybrid_maps.direct(pocket, field, A, maps, ligand, problem), problem
        return self._hybrid_maps.of(pocket, field, A, maps, ligand, problem)

    def _by_chains(
        self, pocket: PocketField, maps: Maps, problem: Flexible, budget: Budget, **how: int
    ) -> Minima:
        if not len(maps.readout):
            return super()._by_chains(pocket, maps, problem, budget, **how)
        # Read channel by channel the field is dear: physics finds the way out of the walls. Not
        # all the way to its own minima, for those leave out some that the field would make.
        begun = replace(budget, chains=round(1.5 * budget.chains), iterations=_OUT)
        found = super()._by_chains(pocket, self._search_maps(pocket), problem, begun, **how)
        return settle(
            maps, problem.body, found, -(-len(found.energies) // 2), threads=how["threads"]
        )

    def _parts(
        self,
        pocket: PocketField,
        ligand: Ligand,
        x: Float[Tensor, "p n 3"],
        intra: Float[Tensor, " p"],
    ) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"], Float[Tensor, " p"]]:
        """Vina's ligand-receptor energy, physics and learned part of the score of each pose."""
        kinds = torch.as_tensor(ligand.vina_type)
        receptor_x = torch.as_tensor(pocket.receptor_positions, dtype=x.dtype)
        by_atom = atom_terms(x, kinds, receptor_x, torch.as_tensor(pocket.receptor_types))
        inter, terms = cap(by_atom.sum(-1), ATOM_CAP).sum(-1), by_atom.sum(1)
        like = next(self.net.parameters()).dtype
        physics = self.net.energies(terms.to(like), intra.to(like))
        heavy = torch.as_tensor(np.flatnonzero(ligand.heavy))
        field = self._field(pocket)
        learned = field.scores(self._readout(ligand), x[:, heavy].to(like))
        return inter, physics.to(x.dtype), learned.to(x.dtype)

    def check_pocket(self, pocket: PocketField) -> None:
        """Refuse a pocket that another model prepared.

        Raises:
            InputError: If it did.
        """
        learned_by(pocket, self.fingerprint, self.name)

    def _field(self, pocket: PocketField) -> PairField:
        kept = learned_by(pocket, self.fingerprint, self.name)
        if pocket not in self._fields:
            self._fields[pocket] = PairField(kept.coefficients[0], kept.positions, self.net.basis)
        return self._fields[pocket]

    def _readout(self, ligand: Ligand) -> Float[Tensor, "n q"]:
        if ligand not in self._readouts:
            with torch.inference_mode():
                A = self.net.readouts(MoleculeGraph.of(ligand))[0]
            self._readouts[ligand] = A.clone()
        return self._readouts[ligand]


def _points(box: Box) -> Float[ndarray, "k 3"]:
    """Points no place of the box is farther from than ``sqrt(3) / 2 * _POINTS``."""
    counts = np.maximum(np.ceil(box.size / _POINTS).astype(int), 1) + 1
    axes = [
        np.linspace(low, high, n) for low, high, n in zip(box.low, box.high, counts, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _fingerprint(net: HybridScore) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
