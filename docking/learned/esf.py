"""EsfFields: two networks that turn a complex into two scalar fields.

Source: Jing, Jaakkola & Berger, "Equivariant Scalar Fields for Molecular Docking with Fast Fourier
Transforms", ICLR 2024, arXiv:2312.04323.
"""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from docking.basis import GaussianShells
from docking.learned.reference_graph import Complex, ComplexGraph, LigandGraph, ReceptorGraph
from docking.scalar_field import ScalarField

Pair = tuple[ScalarField, ScalarField]


class EsfFields(nn.Module):
    """The receptor's field, emitted by CA atoms, and the ligand's, by all its heavy atoms.

    Their overlap is the score: ``docking.correlate`` searches it over translations,
    ``docking.rotational`` over rotations. Both turn with their molecule, and mirror images of a
    molecule have fields that are no mirror images.

    Args:
        receptor: Network from a ``ReceptorGraph`` to coefficients ``(residues, c, j, 9)``.
        ligand: Network from a ``LigandGraph`` to coefficients ``(atoms, c, j, 9)``.
        cutoff: Radius of the outermost Gaussian shell of either field, angstrom; positive.

    Raises:
        ValueError: If the networks differ in channels or radial functions.
    """

    def __init__(self, receptor: nn.Module, ligand: nn.Module, *, cutoff: float = 5.0) -> None:
        super().__init__()
        sizes = [_sizes(net) for net in (receptor, ligand)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                "receptor and ligand must have as many channels and radial functions, "
                f"got {sizes[0]} and {sizes[1]}"
            )
        self.cutoff = cutoff
        self.basis = GaussianShells(sizes[0][1], cutoff)
        self.receptor = receptor
        self.ligand = ligand

    def forward(self, graph: ComplexGraph) -> list[Pair]:
        """The fields of receptor and ligand of every complex in the graph."""
        fields = self.receptor_fields(graph.receptor), self.ligand_fields(graph.ligand)
        return list(zip(*fields, strict=True))

    def of(self, example: Complex) -> Pair:
        """The two fields of one complex, on the networks' device and in their precision.

        Raises:
            InputError: If the ligand has no coordinates or no residue has N, CA and C.
        """
        like = next(self.parameters())
        return self(ComplexGraph.of(example).to(like.device).to(like.dtype))[0]

    def receptor_fields(self, graph: ReceptorGraph) -> list[ScalarField]:
        """The field of every receptor in the graph."""
        return self._fields(self.receptor(graph), graph.centers, graph.batch)

    def ligand_fields(self, graph: LigandGraph) -> list[ScalarField]:
        """The field of every ligand in the graph."""
        return self._fields(self.ligand(graph), graph.positions, graph.batch)

    def _fields(
        self,
        coefficients: Float[Tensor, "n c j lm"],
        positions: Float[Tensor, "n 3"],
        batch: Int[Tensor, " n"],
    ) -> list[ScalarField]:
        counts = batch.bincount().tolist()
        parts = zip(coefficients.split(counts), positions.split(counts), strict=True)
        return [ScalarField(a, x, self.basis) for a, x in parts]


def _sizes(net: Any) -> tuple[int, int]:
    return net.channels, net.radial
