"""HybridScore: Vina's energy plus a learned field, one score.

``S = -(sum_k w_k E_k + w_intra E_intra) / T + sum_n sum_q A[n, q] V_q(x_n)``. The five terms start
at Vina's weights and the field's coefficients at zero, so a new model ranks as Vina does, and what
is learned is what Vina misses.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from docking.learned.lean_net import MoleculeNet, PocketNet
from docking.learned.pair_field import PairField
from docking.learned.pocket_graph import MoleculeGraph, PocketGraph
from docking.learned.splines import RadialSplines
from docking.terms import TERMS


class HybridScore(nn.Module):
    """Physics and learned field.

    Args:
        pocket: Network from a ``PocketGraph`` to coefficients ``(emitters, q, k, lm)``.
        molecule: Network from a ``MoleculeGraph`` to coefficients ``(atoms, q)``.
        cutoff: Reach of the field, angstrom.
        start: Centre of its first radial function, angstrom.
        temperature: What Vina's energy is divided by at first, kcal/mol.
        physics: Whether there is Vina's energy at all.

    Raises:
        ValueError: If the networks differ in channels or a number is out of range.
    """

    def __init__(
        self,
        pocket: PocketNet,
        molecule: MoleculeNet,
        *,
        cutoff: float = 7.0,
        start: float = 2.2,
        temperature: float = 1.0,
        physics: bool = True,
    ) -> None:
        super().__init__()
        if pocket.channels != molecule.channels:
            raise ValueError(
                "pocket and molecule must have as many channels, "
                f"got {pocket.channels} and {molecule.channels}"
            )
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.cutoff, self.start = cutoff, start
        self.temperature, self.physics = temperature, physics
        self.pocket, self.molecule = pocket, molecule
        self.basis = RadialSplines(pocket.radial, start, cutoff)
        # Logarithms of factors: weights keep their sign.
        self.log_weights = nn.Parameter(torch.zeros(len(TERMS) + 1))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def fields(self, graph: PocketGraph) -> list[PairField]:
        """The field of every pocket in the graph."""
        coefficients = self.pocket(graph)
        counts = [int(part.sum()) for part in graph.emits.split(graph.counts)]
        places = graph.positions[graph.emits]
        parts = zip(coefficients.split(counts), places.split(counts), strict=True)
        return [PairField(b, y, self.basis) for b, y in parts]

    def readouts(self, graph: MoleculeGraph) -> Sequence[Float[Tensor, "n q"]]:
        """The coefficients of every ligand in the graph, small at first."""
        return (self.molecule(graph) / math.sqrt(self.molecule.channels)).split(graph.counts)

    def energies(
        self, terms: Float[Tensor, "p terms"], intra: Float[Tensor, " p"]
    ) -> Float[Tensor, " p"]:
        """The physics part of the score.

        Args:
            terms: Vina's weighted ligand-receptor terms, kcal/mol.
            intra: Energy of the ligand's own pairs, kcal/mol.
        """
        if not self.physics:
            return torch.zeros_like(intra)
        weights = self.log_weights.exp()
        return -(terms @ weights[:-1] + weights[-1] * intra) * (-self.log_temperature).exp()

    def own_weight(self) -> float:
        """What one kcal/mol of the ligand's own energy takes off the score."""
        if not self.physics:
            return 0.0
        return float((self.log_weights[-1] - self.log_temperature).exp())

    def temperature_now(self) -> float:
        """What Vina's energy is divided by after training, kcal/mol."""
        return float(self.log_temperature.exp())
