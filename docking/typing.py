"""AutoDock Vina's atom types, straight from a molecule instead of a prepared PDBQT file.

Vina scores by twenty numbers per pair of types, so the type is all an atom has: its radius, whether
it is hydrophobic, and whether it gives or takes hydrogen bonds. The types are those of X-Score
(Wang, Lai and Wang, 2002) as Vina uses them (Trott and Olson, J. Comput. Chem. 31 (2010) 455), and
the rules that lead from chemistry to a type are those of AutoDock's atom names:

* carbon is polar if bonded to anything but carbon and hydrogen, else hydrophobic;
* nitrogen and oxygen give a hydrogen bond if they carry a hydrogen. Every oxygen takes one.
  A nitrogen takes one unless it is charged +1, or has three neighbours and valence three beside an
  aromatic atom, a trigonal carbon or the middle of a triazene (amide, aniline, pyrrole);
* sulphur never takes part in hydrogen bonds; selenium is read as sulphur;
* fluorine, chlorine, bromine and iodine are hydrophobic; metals give hydrogen bonds;
* hydrogen carries no energy.
"""

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docking.bonds import METALS

NO_TYPE = -1
"""What stands in place of a type for hydrogens, which carry no energy."""


class VinaType(IntEnum):
    """Vina's atom types; 0 to 18 are Vina's own numbers.

    ``P`` after the underscore is polar, ``H`` hydrophobic, ``D`` donor, ``A`` acceptor. ``MISC`` is
    ours: an element Vina refuses (boron, arsenic, xenon), given steric terms only.
    """

    C_H = 0
    C_P = 1
    N_P = 2
    N_D = 3
    N_A = 4
    N_DA = 5
    O_P = 6
    O_D = 7
    O_A = 8
    O_DA = 9
    S_P = 10
    P_P = 11
    F_H = 12
    CL_H = 13
    BR_H = 14
    I_H = 15
    SI = 16
    AT = 17
    MET_D = 18
    MISC = 19


RADIUS = np.array(
    [1.9] * 2 + [1.8] * 4 + [1.7] * 4 + [2.0, 2.1, 1.5, 1.8, 2.0, 2.2, 2.2, 2.3, 1.2, 1.9]
)
"""Radius of each type, angstrom."""
HYDROPHOBIC = np.array([kind.name.endswith("_H") for kind in VinaType])
"""Whether each type is hydrophobic."""
DONOR = np.array([kind.name.endswith(("_D", "_DA")) for kind in VinaType])
"""Whether each type gives hydrogen bonds."""
ACCEPTOR = np.array([kind.name.endswith(("_A", "_DA")) for kind in VinaType])
"""Whether each type takes hydrogen bonds."""

_PLAIN = {
    "S": VinaType.S_P,
    "Se": VinaType.S_P,
    "P": VinaType.P_P,
    "F": VinaType.F_H,
    "Cl": VinaType.CL_H,
    "Br": VinaType.BR_H,
    "I": VinaType.I_H,
    "Si": VinaType.SI,
    "At": VinaType.AT,
}
VINA_METALS = frozenset("Mg Mn Zn Ca Fe Cu Na K Hg Co U Cd Ni".split())  # noqa: SIM905
"""Metals that Vina itself reads; the others get the same type and a warning."""


def element_types(
    elements: list[str],
    polar: NDArray[np.bool_],
    donor: NDArray[np.bool_],
    acceptor: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Combine the facts about each atom into its type.

    Args:
        elements: Element symbols, ``"C"``, ``"Cl"``, ...; anything unknown becomes ``MISC``.
        polar: Whether each atom is bonded to a heteroatom (read for carbon).
        donor: Whether it carries a hydrogen (read for nitrogen and oxygen).
        acceptor: Whether it has a free lone pair (read for nitrogen and oxygen).

    Returns:
        One ``VinaType`` per atom, ``NO_TYPE`` for hydrogens.
    """
    types = np.empty(len(elements), dtype=np.int64)
    for i, element in enumerate(elements):
        if element == "C":
            types[i] = VinaType.C_P if polar[i] else VinaType.C_H
        elif element in ("N", "O"):
            base = VinaType.N_P if element == "N" else VinaType.O_P
            types[i] = base + int(donor[i]) + 2 * int(acceptor[i])
        elif element in ("H", "D", "T"):
            types[i] = NO_TYPE
        else:
            types[i] = _PLAIN.get(element, VinaType.MET_D if element in METALS else VinaType.MISC)
    return types


def autodock_types(
    kinds: list[str], bonds: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    """Elements and Vina types from the AutoDock names of a PDBQT file.

    Args:
        kinds: AutoDock names, one per atom: ``C A N NA OA HD SA Zn ...``.
        bonds: Bonds as pairs of atoms, shape ``(m, 2)``.

    Returns:
        Element symbols and one ``VinaType`` per atom (``NO_TYPE`` for hydrogens and glue atoms).
    """
    elements = [autodock_element(kind) for kind in kinds]
    polar = np.zeros(len(kinds), dtype=bool)
    donor = np.zeros(len(kinds), dtype=bool)
    for i, j in np.concatenate([bonds, bonds[:, ::-1]]):
        polar[i] |= elements[j] not in ("C", "H", "*")
        donor[i] |= kinds[j] == "HD"
    types = element_types(
        elements, polar, donor, np.array([kind in ("OA", "NA") for kind in kinds])
    )
    types[[element == "*" for element in elements]] = NO_TYPE
    return elements, types


def autodock_element(kind: str) -> str:
    """Element symbol of an AutoDock name; ``"*"`` for glue atoms, waters and names unknown."""
    if kind in ("A", "C", "N", "O", "H", "S", "NA", "OA", "SA", "NS", "OS", "HD", "HS"):
        return "C" if kind == "A" else kind[0]
    if kind.startswith("CG") and kind[2:].isdigit():
        return "C"
    symbol = kind.capitalize()
    if symbol == "W":  # AutoDock's water, not tungsten
        return "*"
    return symbol if symbol in _PLAIN or symbol in METALS or symbol == "B" else "*"


def type_ligand(mol: Any) -> NDArray[np.int64]:
    """Vina types of an RDKit molecule; explicit and implicit hydrogens give the same answer.

    Args:
        mol: RDKit molecule, sanitised, or at least with its property cache updated.

    Returns:
        One ``VinaType`` per atom in the molecule's order, ``NO_TYPE`` for hydrogens.
    """
    atoms = list(mol.GetAtoms())
    polar = [any(n.GetAtomicNum() not in (1, 6) for n in atom.GetNeighbors()) for atom in atoms]
    donor = [atom.GetTotalNumHs(includeNeighbors=True) > 0 for atom in atoms]
    acceptor = [atom.GetAtomicNum() == 8 or nitrogen_accepts(atom) for atom in atoms]
    symbols = [atom.GetSymbol() for atom in atoms]
    return element_types(symbols, np.array(polar), np.array(donor), np.array(acceptor))


def nitrogen_accepts(atom: Any) -> bool:
    """Whether an RDKit nitrogen takes hydrogen bonds by AutoDock's rules (module docstring)."""
    if atom.GetAtomicNum() != 7 or atom.GetFormalCharge() == 1:
        return False
    if atom.GetTotalDegree() != 3 or atom.GetTotalValence() != 3:
        return True
    for other in atom.GetNeighbors():
        if other.GetIsAromatic():
            return False
        if (
            other.GetAtomicNum() == 6
            and other.GetTotalDegree() == 3
            and other.GetTotalValence() == 4
        ):
            return False
        double = any(bond.GetBondTypeAsDouble() == 2 for bond in other.GetBonds())
        if other.GetAtomicNum() == 7 and other.GetTotalDegree() == 2 and double:
            return False
    return True
