"""HybridScore: Vina's energy plus a learned field, one score.

``S = -(sum_k w_k E_k + w_intra E_intra) / T + sum_n sum_q A[n, q] V_q(x_n)``. The five terms start
at Vina's weights and the field's coefficients at zero, so a new model ranks as Vina does, and what
is learned is what Vina misses.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from docking.learned.lean_net import MoleculeNet, PocketNet
from docking.learned.lean_paths import living, molecule_sizes, path_cost, pocket_sizes, smaller
from docking.learned.pair_field import PairField
from docking.learned.pocket_graph import MoleculeGraph, PocketGraph
from docking.learned.splines import RadialSplines
from docking.terms import TERMS
from overparam.path_family import PathFamily, Strand
from overparam.prunable import declared
from overparam.recipe import arguments, class_path


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

    def path_families(self) -> list[PathFamily]:
        """The channels of the field, which both networks speak; the rest they name themselves."""
        heads = ["pocket.readout.weight", "pocket.readout.bias"]
        heads += [f"pocket.mix.{d}.weight" for d in range(self.pocket.degree)]
        emitted = [Strand(name, width=self.pocket.radial) for name in heads]
        read = [Strand(f"molecule.readout.{part}", factor=1) for part in ("weight", "bias")]
        # Coefficients fit no cache: their eight passes are what a channel costs.
        moved = 8 * self.pocket.radial * (self.pocket.degree + 1) ** 2
        widths = [int(mix.weight.shape[1]) for mix in self.pocket.mix]  # type: ignore[index]
        directed = sum(width * (2 * d + 3) for d, width in enumerate(widths))
        made = self.pocket.radial * (self.pocket.width + directed)
        cost = path_cost(moved, made)
        return [PathFamily("channels", self.pocket.channels, (*emitted, *read), cost)]

    def compacted(self) -> "HybridScore":
        """A smaller score of equal values: paths that own nothing but zeros left out."""
        families = declared(self)
        kept = living(self, families.values())
        channels = len(kept["channels"])
        pocket = pocket_sizes(self.pocket, _under("pocket", kept))
        molecule = molecule_sizes(self.molecule, _under("molecule", kept))
        changes = {
            name: {
                "class_path": class_path(type(net)),
                "init_args": arguments(net) | sizes | {"channels": channels},
            }
            for name, net, sizes in (
                ("pocket", self.pocket, pocket),
                ("molecule", self.molecule, molecule),
            )
        }
        made = smaller(self, families.values(), kept, changes)
        with torch.no_grad():  # readouts are divided by the root of their number
            for parameter in made.molecule.readout.parameters():
                parameter.mul_(math.sqrt(channels / self.pocket.channels))
        return made


def _under(name: str, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{name}."
    return {k.removeprefix(start): v for k, v in kept.items() if k.startswith(start)}
