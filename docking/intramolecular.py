"""A ligand's own energy: which pairs count, and their sum.

Source: Trott and Olson, J. Comput. Chem. 31 (2010) 455, "intramolecular": pairs that can move
relative to each other and are more than three bonds apart.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from docking.terms import VINA, ScoringFunction, pair_energy
from docking.vina_table import cap, table_terms

BONDS_APART = 3  # pairs this many bonds apart, or fewer, carry no energy
PAIR_CAP = 1000.0  # kcal/mol, Vina's limit on one pair


def movable_pairs(
    types: NDArray[np.int64],
    bonds: NDArray[np.int64],
    torsions: list[tuple[tuple[int, int], NDArray[np.int64]]],
) -> NDArray[np.int64]:
    """Atom pairs whose distance a torsion changes, more than three bonds apart.

    A pair is kept when two or more torsions lie between its atoms, or one whose axis holds neither
    of them: an atom on the axis keeps its distance to all that turns about it.

    Args:
        types: Atom types; pairs with a negative one (hydrogens) are left out.
        bonds: Bonded atoms, ``(m, 2)``.
        torsions: Per torsion its axis ``(i, j)``, ``j`` on the moved side, and the atoms it moves.

    Returns:
        Pairs ``(k, 2)``, the first index below the second, in order.
    """
    n = len(types)
    bonded = np.eye(n)
    bonded[bonds[:, 0], bonds[:, 1]] = bonded[bonds[:, 1], bonds[:, 0]] = 1
    near = np.linalg.matrix_power(bonded, BONDS_APART) > 0
    between = np.zeros((n, n), dtype=np.int64)
    turning = np.zeros((n, n), dtype=np.bool_)
    for axis, moved in torsions:
        side, on_axis = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        side[moved] = side[axis[1]] = True
        on_axis[list(axis)] = True
        apart = side[:, None] != side
        between += apart
        turning |= apart & ~(on_axis[:, None] | on_axis)
    typed = types >= 0
    keep = ~near & (turning | (between > 1)) & typed[:, None] & typed
    return np.argwhere(np.triu(keep, 1))


def intramolecular(
    x: Float[Tensor, "p n 3"],
    types: Int[Tensor, " n"],
    pairs: Int[Tensor, "k 2"],
    *,
    function: ScoringFunction = VINA,
    table: bool = False,
    limit: float = PAIR_CAP,
) -> Float[Tensor, " p"]:
    """Energy of a ligand's own pairs in each pose, each pair under the cap, kcal/mol.

    Args:
        x: Poses, angstrom.
        types: Ligand atom types.
        pairs: Which pairs count, as ``movable_pairs`` finds them.
        function: Constants.
        table: Look pairs up as Vina does; no gradient then.
        limit: Cap on the positive energy of one pair, kcal/mol.
    """
    i, j = pairs[:, 0], pairs[:, 1]
    # The floor keeps the gradient of the square root finite for atoms on top of each other.
    r = (x[:, i] - x[:, j]).square().sum(-1).clamp(min=1e-12).sqrt()
    type_i, type_j = types[i].expand_as(r), types[j].expand_as(r)
    if table:
        energy = table_terms(r, type_i, type_j, function=function).sum(-1)
    else:
        energy = pair_energy(r, type_i, type_j, function=function)
    return cap(energy, limit).sum(-1)
