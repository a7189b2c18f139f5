"""LeanFields: two lean networks that turn a complex into two smooth scalar fields.

Source: Jing, Jaakkola & Berger, ICLR 2024, arXiv:2312.04323, whose score this is; the fields differ
(``docking.learned.lean_esf``).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from docking.basis import SolidGaussians
from docking.learned.lean_esf import LeanLigandNet, LeanReceptorNet, ligand_tables
from docking.learned.neighbourhood import Neighbourhood
from docking.learned.reference_graph import Complex
from docking.scalar_field import ScalarField
from overparam.errors import InputError


class LeanFields(nn.Module):
    """The field of a pocket and the field of a ligand; their overlap is the score.

    Both are sums of solid-harmonic Gaussians, smooth everywhere. The score has no unit: it is a
    log-probability up to a constant of the receptor and ligand.

    Args:
        receptor: Network of the pocket.
        ligand: Network of the ligand.
        receptor_widths: Standard deviations of the pocket's radial functions, angstrom.
        ligand_widths: Those of the ligand's.
        reach: Receptor atoms farther than this from all of a ligand's atoms are not felt, angstrom.
        k_max: Largest wave number of the score, radians per angstrom.
        scale: Factor of the score of a new model, learned from there: new fields should leave all
            poses about alike.

    Raises:
        ValueError: If the networks differ in channels, the widths do not fit them or a number is
            not positive.
    """

    def __init__(
        self,
        receptor: LeanReceptorNet,
        ligand: LeanLigandNet,
        *,
        receptor_widths: Sequence[float] = (1.1, 2.2),
        ligand_widths: Sequence[float] = (1.1,),
        reach: float = 6.0,
        k_max: float = 2.5,
        scale: float = 0.03,
    ) -> None:
        super().__init__()
        if receptor.channels != ligand.channels:
            raise ValueError(
                "receptor and ligand must have as many channels, "
                f"got {receptor.channels} and {ligand.channels}"
            )
        for name, net, widths in (
            ("receptor_widths", receptor, receptor_widths),
            ("ligand_widths", ligand, ligand_widths),
        ):
            if len(widths) != net.radial:
                raise ValueError(f"{name} must be {net.radial} numbers, got {tuple(widths)}")
        for name, value in (("reach", reach), ("k_max", k_max), ("scale", scale)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        self.receptor_widths, self.ligand_widths = tuple(receptor_widths), tuple(ligand_widths)
        self.reach, self.k_max, self.scale = reach, k_max, scale
        self.receptor, self.ligand = receptor, ligand
        self.receptor_basis = SolidGaussians(self.receptor_widths)
        self.ligand_basis = SolidGaussians(self.ligand_widths)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(
        self, pocket: Neighbourhood, molecule: Neighbourhood
    ) -> list[tuple[ScalarField, ScalarField]]:
        """The fields of receptor and ligand of every complex."""
        return list(zip(self.receptor_fields(pocket), self.ligand_fields(molecule), strict=True))

    def receptor_fields(self, graph: Neighbourhood) -> list[ScalarField]:
        """The field of every pocket."""
        return self._fields(self.receptor(graph), graph, self.receptor_basis)

    def ligand_fields(self, graph: Neighbourhood) -> list[ScalarField]:
        """The field of every ligand."""
        return self._fields(self.ligand(graph) * self.log_scale.exp(), graph, self.ligand_basis)

    @staticmethod
    def _fields(
        coefficients: Tensor, graph: Neighbourhood, basis: SolidGaussians
    ) -> list[ScalarField]:
        places = graph.positions.index_select(0, graph.emitters)
        parts = zip(coefficients.split(graph.counts), places.split(graph.counts), strict=True)
        return [ScalarField(a, x, basis) for a, x in parts]

    def of(
        self, example: Complex, places: Float[ndarray, "p 3"] | None = None
    ) -> tuple[ScalarField, ScalarField]:
        """The two fields of one complex.

        Args:
            example: The complex.
            places: Where ligand atoms may be, angstrom; default where they are.

        Raises:
            InputError: If the ligand has no coordinates.
        """
        ligand = example.ligand
        if ligand.coords is None:
            raise InputError(f"{example.id}: a ligand without coordinates has no field")
        coords = ligand.coords[ligand.heavy]
        pocket = self.receptor.around(
            example.receptor, coords if places is None else np.asarray(places), self.reach
        )
        molecule = self.ligand.around(*ligand_tables(ligand), coords)
        like = next(self.parameters())
        graphs = (graph.to(like.device).to(like.dtype) for graph in (pocket, molecule))
        return self(*graphs)[0]
