"""Scoring models: prepare a pocket once, then score, minimise and dock ligands in it.

``physics`` is Vina's energy and needs no weights. Scores are minus kcal/mol: higher is better.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from docking.box import Box
from docking.conformers import generate
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.physics import ATOM_CAP, intermolecular, intramolecular
from docking.pocket_map import PocketField
from docking.pose_input import check_search, given_poses
from docking.ranking import APART, best_apart, ranked, refined_apart, spread
from docking.result import DockingResult, Pose
from docking.search.engine import Budget, Minima, refine, search
from docking.search.exhaustive import sweep
from docking.search.pose import at_rest, whole
from docking.search.problem import Flexible, Maps, flexible, search_maps
from docking.symmetry import Symmetry
from docking.terms import VINA, ScoringFunction
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.search.on_device import DeviceSearch

SPACING = 0.375
"""Lattice spacing of the search's maps, angstrom."""
_RIGID = 16  # candidates of a rigid ligand: as many found the same poses on val as 40
METHODS = ("chains", "batched", "grid")


class PhysicsModel:
    """Vina's energy: five pair terms, the ligand's own pairs and the torsion correction.

    Args:
        function: Constants of the pair terms.
        spacing: Spacing of the maps the search reads, angstrom; final scores never use them.
        device: Where ``method="batched"`` searches; on a GPU that is the default method. All else
            is computed on the CPU.

    Raises:
        ValueError: If the spacing is not positive.
    """

    name = "physics"
    candidates = 0
    """Minima ranked by the score itself, beyond those asked for."""

    def __init__(
        self,
        function: ScoringFunction = VINA,
        spacing: float = SPACING,
        device: str | torch.device = "cpu",
    ) -> None:
        if not spacing > 0:
            raise ValueError(f"spacing must be positive, got {spacing}")
        self.function = function
        self.spacing = spacing
        self.device = torch.device(device)
        self._maps: WeakKeyDictionary[PocketField, Maps] = WeakKeyDictionary()
        self._device_search: DeviceSearch | None = None

    def prepare(self, receptor: Receptor, box: Box) -> PocketField:
        """Compute the maps of a pocket, to be used for any number of ligands.

        Raises:
            InputError: If the box is far from the receptor or too large.
        """
        box.check_receptor(receptor)
        pocket = PocketField.build(
            receptor, box, spacing=self.spacing, method="linear", function=self.function
        )
        self._search_maps(pocket)
        return pocket

    def check_pocket(self, pocket: PocketField) -> None:
        """Refuse a pocket this model cannot use; one with maps is enough for physics.

        Raises:
            InputError: If it cannot.
        """

    def score(self, pocket: PocketField, ligand: Ligand, coords: Any = None) -> Any:
        """Minus the energy ``vina --score_only`` prints, by exact pair sums; higher is better.

        Args:
            pocket: A prepared pocket.
            ligand: The molecule.
            coords: Poses of all its atoms, ``(p, n, 3)`` or ``(n, 3)``, angstrom; its own if left
                out. A tensor gets gradients.

        Returns:
            One score per pose, an array, or a tensor if ``coords`` is one.

        Raises:
            ValueError: If the shape does not fit or a coordinate is not finite.
        """
        x, given = given_poses(ligand, coords)
        divisor = self.function.torsion_divisor(ligand.num_torsions)
        score = -self._inter(pocket, ligand, x.reshape(-1, len(ligand), 3)) / divisor
        score = score.reshape(x.shape[:-2])
        return score if isinstance(given, Tensor) else score.numpy()

    def minimize(
        self, pocket: PocketField, ligand: Ligand, coords: Any = None, *, rigid: bool = False
    ) -> tuple[Float[ndarray, "p n 3"], Float[ndarray, " p"]]:
        """Lead poses to the nearest minimum, torsions included; bonds, angles and rings stay.

        Args:
            pocket: A prepared pocket.
            ligand: The molecule.
            coords: Poses ``(p, n, 3)`` or ``(n, 3)``; the ligand's own if left out.
            rigid: Hold the torsions.

        Returns:
            The minima and their scores, in the order given.
        """
        given = given_poses(ligand, coords)[0].detach().cpu().double()
        x = given.numpy().reshape(-1, len(ligand), 3)
        minimised = []
        for pose in x:
            # Each pose is a conformer of its own: its lengths and angles are kept.
            body = flexible(
                ligand, pocket, pose[None], np.zeros(1), rigid=rigid, function=self.function
            )
            maps, body = self._laid(pocket, ligand, body, few=True)
            only = np.zeros(1, dtype=np.int64)
            start = Minima(np.zeros(1), only, at_rest(body), pose[body.order][None])
            best = refine(maps, body.body, start, only, iterations=50)
            minimised.append(whole(body, maps, best.conformers, best.states)[0])
        poses = np.array(minimised).reshape(x.shape)
        return poses, np.asarray(self.score(pocket, ligand, poses))

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
        conformers: int = 4,
        method: str | None = None,
    ) -> DockingResult:
        """Search for the best poses of a ligand.

        Args:
            pocket: A prepared pocket.
            ligand: The molecule. Its own conformer is used with ``rigid`` alone; without, lengths,
                angles and rings come from its graph (``docking.conformers``).
            num_poses: Most poses returned; any two differ by 1 angstrom or more.
            rigid: Hold torsions and rings as they are.
            seed: The result depends on it and on ``effort``, not on ``threads``.
            threads: Threads of the search.
            effort: Multiplies the default number of steps.
            conformers: Most ring shapes tried; 0 takes lengths, angles and rings of the given
                coordinates.
            method: ``"chains"``, Monte Carlo with minimisation from scattered starts, compiled;
                ``"batched"``, the same with all chains side by side on the model's device;
                ``"grid"``, every rotation of a grid (4608 of them at effort 1, 7 degrees apart)
                at every lattice translation, then descents: certain, and slower.

        Returns:
            Poses, best first. A pose's score is minus ``(inter + intra - intra of the best pose) /
            (1 + 0.05846 N)``, Vina's convention, so the first one's is ``score()`` of it.

        Raises:
            InputError: If the ligand cannot fit the box or the pocket has no maps for its types.
        """
        if method is None:
            method = "chains" if self.device.type == "cpu" else "batched"
        check_search(num_poses, conformers, method, METHODS)
        started = time.perf_counter()
        warnings = list(ligand.warnings)
        box = Box((pocket.low + pocket.high) / 2, pocket.high - pocket.low)
        box.check_fits(ligand)
        if rigid or not conformers:
            if ligand.coords is None:
                kind = "rigid docking" if rigid else "docking with conformers=0"
                raise InputError(f"{ligand.name}: {kind} needs a ligand with 3-D coordinates")
            coords = ligand.coords[None]
        else:
            made = generate(ligand, limit=conformers, seed=seed)
            coords = made.coords
            warnings += made.warnings
            box.check_fits(ligand.with_coords(coords[0]))
        level = np.zeros(len(coords))
        problem = flexible(ligand, pocket, coords, level, rigid=rigid, function=self.function)
        budget = Budget.of(len(problem.body.parents) - 1, len(problem.order), effort)
        few = method == "chains" and len(problem.body.parents) == 1
        maps, problem = self._laid(pocket, ligand, problem, few=few)
        if method == "chains":
            minima = self._by_chains(pocket, maps, problem, budget, seed=seed, threads=threads)
        elif method == "batched":
            minima = self._on_device().search(pocket, maps, problem.body, budget, seed)
        else:
            held = problem
            if not rigid:
                held = flexible(ligand, pocket, coords, level, rigid=True, function=self.function)
                held = self._laid(pocket, ligand, held)[1]
            minima = sweep(maps, held, problem, effort, 10 * budget.refined, threads=threads)
        symmetry = Symmetry.of(ligand.mol)
        wanted = max(num_poses, min(self.candidates, _RIGID) if rigid else self.candidates)
        refined = refined_apart(maps, problem, minima, symmetry, budget.refined, wanted, threads)
        some = spread(refined, problem, symmetry, APART, wanted)
        kept = refined.conformers[some]
        poses = whole(problem, maps, kept, refined.states[some])
        return DockingResult(
            ligand=ligand,
            poses=self._ranked(pocket, ligand, poses, kept, symmetry, num_poses),
            model=self.name,
            seed=seed,
            seconds=time.perf_counter() - started,
            warnings=warnings,
        )

    def screen(self, pocket: PocketField, library: Any, workers: int = 1, **rest: Any) -> Iterator:
        """Dock every record of a library; see ``docking.screen.screen``."""
        from docking.screen import screen

        return screen(self, pocket, library, workers, **rest)

    def _ranked(
        self,
        pocket: PocketField,
        ligand: Ligand,
        poses: Float[ndarray, "p n 3"],
        conformer: ndarray,
        symmetry: Symmetry,
        num_poses: int,
    ) -> list[Pose]:
        """The best of some minima, far enough apart."""
        x = torch.as_tensor(poses)
        inter = self._inter(pocket, ligand, x).numpy()
        intra = self._intra(ligand, x).numpy()
        kept = best_apart(poses, inter + intra, symmetry, num_poses)
        total = inter + intra - intra[kept[:1]]
        total = total / self.function.torsion_divisor(ligand.num_torsions)
        terms = {"inter": inter, "intra": intra, "total": total}
        return ranked(poses, -total, kept, conformer, symmetry, terms)

    def _inter(
        self, pocket: PocketField, ligand: Ligand, x: Float[Tensor, "p n 3"]
    ) -> Float[Tensor, " p"]:
        return intermolecular(
            x,
            torch.as_tensor(ligand.vina_type, device=x.device),
            torch.as_tensor(pocket.receptor_positions, dtype=x.dtype, device=x.device),
            torch.as_tensor(pocket.receptor_types, device=x.device),
            function=self.function,
            limit=ATOM_CAP,
        )

    def _intra(self, ligand: Ligand, x: Float[Tensor, "p n 3"]) -> Float[Tensor, " p"]:
        pairs = torch.as_tensor(ligand.tree.movable_pairs(ligand.bonds, ligand.heavy))
        types = torch.as_tensor(ligand.vina_type)
        return intramolecular(x, types, pairs, function=self.function)

    def _laid(
        self, pocket: PocketField, ligand: Ligand, problem: Flexible, *, few: bool = False
    ) -> tuple[Maps, Flexible]:
        """The maps a ligand reads, and the ligand with the map of each atom.

        ``few``: compiled code will read them some thousand times at most, so little should be
        spent on making them.
        """
        return self._search_maps(pocket), problem

    def _by_chains(
        self, pocket: PocketField, maps: Maps, problem: Flexible, budget: Budget, **how: int
    ) -> Minima:
        """Minima of the chains."""
        return search(maps, problem.body, budget, **how)

    def _on_device(self) -> "DeviceSearch":
        from docking.search.on_device import DeviceSearch

        if self._device_search is None:
            self._device_search = DeviceSearch(self.device)
        return self._device_search

    def _search_maps(self, pocket: PocketField) -> Maps:
        if pocket not in self._maps:
            self._maps[pocket] = search_maps(pocket, function=self.function)
        return self._maps[pocket]
