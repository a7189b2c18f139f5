"""The five pair terms of Vina-like scoring functions.

Source: Trott and Olson, "AutoDock Vina", J. Comput. Chem. 31 (2010) 455, doi 10.1002/jcc.21334,
table 1 and the section on the scoring function; weights with the digits of Vina 1.2.
Vinardo: Quiroga and Villarreal, PLoS ONE 11 (2016) e0155183.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.typing import ACCEPTOR, DONOR, HYDROPHOBIC, RADIUS, VinaType

TERMS = ("gauss1", "gauss2", "repulsion", "hydrophobic", "hydrogen_bond")


@dataclass(frozen=True)
class ScoringFunction:
    """Constants of a pair scoring function; every energy is ``sum_k weights[k] * term_k(d)``.

    The surface distance is ``d = r - R_i - R_j``. Terms, in the order of ``TERMS``: two Gaussians
    ``exp(-((d - offset) / width)**2)``, repulsion ``d**2`` for ``d < 0``, and two ramps that are 1
    up to ``full`` and fall linearly to 0 at ``none``: hydrophobic pairs, donor-acceptor pairs.
    A pair that could bind both ways (donor and acceptor on both sides) counts once.

    Args:
        name: What reports call it.
        weights: kcal/mol per unit of each term, in the order of ``TERMS``.
        gauss1: Offset and width of the first Gaussian, angstrom.
        gauss2: Offset and width of the second Gaussian, angstrom.
        hydrophobic: Surface distances ``full`` and ``none`` of the hydrophobic ramp, angstrom.
        hydrogen_bond: Surface distances ``full`` and ``none`` of the hydrogen-bond ramp, angstrom.
        torsion: Weight of a rotatable bond in the divisor ``1 + torsion * N``.
        cutoff: Pairs at this distance or beyond carry no energy, angstrom.
        radii: Radius of each atom type, angstrom.

    Raises:
        ValueError: If the number of weights or radii is wrong, or a length is not positive.
    """

    name: str = "vina"
    weights: tuple[float, ...] = (-0.035579, -0.005156, 0.840245, -0.035069, -0.587439)
    gauss1: tuple[float, float] = (0.0, 0.5)
    gauss2: tuple[float, float] = (3.0, 2.0)
    hydrophobic: tuple[float, float] = (0.5, 1.5)
    hydrogen_bond: tuple[float, float] = (-0.7, 0.0)
    torsion: float = 0.05846
    cutoff: float = 8.0
    radii: tuple[float, ...] = field(default=tuple(float(r) for r in RADIUS), repr=False)

    def __post_init__(self) -> None:
        if len(self.weights) != len(TERMS):
            raise ValueError(f"weights must be {len(TERMS)}, one per term, got {self.weights}")
        if len(self.radii) != len(RADIUS):
            raise ValueError(f"radii must be {len(RADIUS)}, one per type, got {len(self.radii)}")
        for name, value in (
            ("cutoff", self.cutoff),
            ("width", min(self.gauss1[1], self.gauss2[1])),
        ):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")

    def torsion_divisor(self, num_torsions: float) -> float:
        """Divisor of the intermolecular energy of a ligand with ``num_torsions`` rotors."""
        return 1.0 + self.torsion * num_torsions


def _vinardo_radii() -> tuple[float, ...]:
    changed = {"C": 2.0, "N": 1.7, "O": 1.6}
    return tuple(changed.get(t.name.split("_")[0], float(RADIUS[t])) for t in VinaType)


VINA = ScoringFunction()
# Vinardo has one Gaussian: the second keeps a shape and gets no weight.
VINARDO = ScoringFunction(
    name="vinardo",
    weights=(-0.045, 0.0, 0.8, -0.035, -0.6),
    gauss1=(0.0, 0.8),
    hydrophobic=(0.0, 2.5),
    hydrogen_bond=(-0.6, 0.0),
    radii=_vinardo_radii(),
)

HYDROPHOBIC_PAIR = HYDROPHOBIC[:, None] & HYDROPHOBIC[None, :]
HYDROGEN_BOND_PAIR = (DONOR[:, None] & ACCEPTOR[None, :]) | (ACCEPTOR[:, None] & DONOR[None, :])


def ramp(d: Float[Tensor, "*pairs"], full: float, none: float) -> Float[Tensor, "*pairs"]:
    """Fall linearly from 1 at ``d <= full`` to 0 at ``d >= none``."""
    return ((none - d) / (none - full)).clamp(0.0, 1.0)


def pair_terms(
    r: Float[Tensor, "*pairs"],
    type_i: Int[Tensor, "*pairs"],
    type_j: Int[Tensor, "*pairs"],
    *,
    function: ScoringFunction = VINA,
) -> Float[Tensor, "*pairs terms"]:
    """Unweighted terms of atom pairs at distance ``r``; zero at the cut-off and beyond.

    Args:
        r: Distances, angstrom.
        type_i: Atom types, ``docking.typing.VinaType`` numbers; no negative ones.
        type_j: Atom types of the other atoms.
        function: Constants.

    Returns:
        The terms in the order of ``TERMS``, differentiable in ``r``.
    """
    radii = torch.tensor(function.radii, dtype=r.dtype, device=r.device)
    d = r - radii[type_i] - radii[type_j]
    greasy = torch.as_tensor(HYDROPHOBIC_PAIR, device=r.device)[type_i, type_j]
    bonding = torch.as_tensor(HYDROGEN_BOND_PAIR, device=r.device)[type_i, type_j]
    terms = (
        torch.exp(-(((d - function.gauss1[0]) / function.gauss1[1]) ** 2)),
        torch.exp(-(((d - function.gauss2[0]) / function.gauss2[1]) ** 2)),
        d.clamp(max=0.0) ** 2,
        ramp(d, *function.hydrophobic) * greasy,
        ramp(d, *function.hydrogen_bond) * bonding,
    )
    return torch.stack(terms, dim=-1) * (r < function.cutoff)[..., None]


def pair_energy(
    r: Float[Tensor, "*pairs"],
    type_i: Int[Tensor, "*pairs"],
    type_j: Int[Tensor, "*pairs"],
    *,
    function: ScoringFunction = VINA,
    weights: Float[Tensor, " terms"] | None = None,
) -> Float[Tensor, "*pairs"]:
    """Energy of atom pairs, kcal/mol, differentiable in ``r`` and in ``weights``.

    Args:
        r: Distances, angstrom.
        type_i: Atom types.
        type_j: Atom types of the other atoms.
        function: Constants.
        weights: Replaces ``function.weights``, for training them.
    """
    if weights is None:
        weights = torch.tensor(function.weights, dtype=r.dtype, device=r.device)
    return pair_terms(r, type_i, type_j, function=function) @ weights.to(r.dtype)
