"""Which receptor nitrogens and oxygens give and take hydrogen bonds, with or without hydrogens.

Standard residues follow a table: the states at neutral pH that AutoDock's preparation gives them
(charged termini, aspartate, glutamate, lysine and arginine; every hydroxyl with its hydrogen). A
proline without hydrogens is taken as inside a chain: its nitrogen has none. Where a residue's own
hydrogens are in the file they decide what the table leaves open: the tautomer and charge of
histidine, protonated carboxylates, neutral lysine, a terminal proline.

Histidine without hydrogens: the nitrogen within 2.8 A of a metal (the nearer one) stays bare and
the other carries the hydrogen. Otherwise the hydrogen sits on ND1 if an acceptor (backbone or
side-chain amide and carboxylate oxygen) lies within 3.3 A of ND1 and nearer than any to NE2, else
on NE2, which is Meeko's choice. It is never taken as charged; a file that means that says HIP or
HSP, or gives the hydrogens.

Residues outside the table (cofactors, modified residues) are perceived in ``cofactor.py``.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree

from docking.bonds import METALS
from docking.cofactor import perceive_group

# Atoms that always carry a hydrogen, besides the backbone nitrogen.
_DONORS = {
    "ALA": "", "ARG": "NE NH1 NH2", "ASN": "ND2", "ASP": "", "CYS": "", "GLN": "NE2", "GLU": "",
    "GLY": "", "ILE": "", "LEU": "", "LYS": "NZ", "MET": "", "PHE": "", "PRO": "", "SER": "OG",
    "THR": "OG1", "TRP": "NE1", "TYR": "OH", "VAL": "", "HIS": "", "MSE": "", "SEC": "",
    "PYL": "", "CSO": "OD", "KCX": "NZ", "MLY": "NZ", "HYP": "OD1", "SEP": "", "TPO": "", "PTR": "",
    "ACE": "", "NME": "N", "NH2": "N", "ALY": "NZ",
    "A": "N6 O2'", "C": "N4 O2'", "G": "N1 N2 O2'", "U": "N3 O2'", "I": "N1 O2'",
    "DA": "N6", "DC": "N4", "DG": "N1 N2", "DT": "N3", "DU": "N3", "DI": "N1",
}  # fmt: skip
# Nitrogens with a free lone pair; every oxygen has one.
_ACCEPTORS = {
    "A": "N1 N3 N7", "DA": "N1 N3 N7", "C": "N3", "DC": "N3", "G": "N3 N7", "DG": "N3 N7",
    "I": "N3 N7", "DI": "N3 N7",
}  # fmt: skip
_NUCLEIC = frozenset("A C G U I DA DC DG DT DU DI".split())  # noqa: SIM905
# Names other programs give to a state of a residue: residue, extra donors, extra acceptors.
_STATES = {
    "HID": ("HIS", "ND1", "NE2"), "HSD": ("HIS", "ND1", "NE2"), "HIE": ("HIS", "NE2", "ND1"),
    "HSE": ("HIS", "NE2", "ND1"), "HIP": ("HIS", "ND1 NE2", ""), "HSP": ("HIS", "ND1 NE2", ""),
    "ASH": ("ASP", "OD2", ""), "GLH": ("GLU", "OE2", ""), "LYN": ("LYS", "", "NZ"),
    "CYX": ("CYS", "", ""), "CYM": ("CYS", "", ""), "CYS2": ("CYS", "", ""),
    "RA": ("A", "", ""), "RC": ("C", "", ""), "RG": ("G", "", ""), "RU": ("U", "", ""),
}  # fmt: skip
_RING = frozenset({"ND1", "NE2"})
_ACIDS = {"ASN": ("OD1",), "GLN": ("OE1",), "ASP": ("OD1", "OD2"), "GLU": ("OE1", "OE2")}
_METAL_REACH, _ACCEPTOR_REACH = 2.8, 3.3

TABULATED = frozenset(_DONORS) | frozenset(_STATES)
"""Residue names the tables cover."""
PROTEIN = TABULATED - _NUCLEIC - {"RA", "RC", "RG", "RU", "ACE", "NME", "NH2"}
"""Amino-acid residue names among them."""


@dataclass(frozen=True)
class HydrogenBonding:
    """What ``hydrogen_bonding`` found.

    Attributes:
        donor: Whether each atom gives hydrogen bonds (meaningful for nitrogen and oxygen).
        acceptor: Whether each atom takes them.
        perceived: Indices of residues whose chemistry was guessed from geometry.
        histidines: Residues whose tautomer was chosen, by the atom that carries the hydrogen.
    """

    donor: Bool[ndarray, " n"]
    acceptor: Bool[ndarray, " n"]
    perceived: list[int]
    histidines: dict[int, str]


def hydrogen_bonding(
    positions: Float[ndarray, "n 3"],
    elements: list[str],
    names: list[str],
    residue_index: Int[ndarray, " n"],
    residue_names: list[str],
    bonds: Int[ndarray, "m 2"],
) -> HydrogenBonding:
    """Donors and acceptors among the atoms of a receptor.

    Args:
        positions: Coordinates, angstrom.
        elements: Element symbols.
        names: Atom names within their residues.
        residue_index: Residue of each atom.
        residue_names: Name of each residue.
        bonds: Covalent bonds, hydrogens included.
    """
    n = len(elements)
    neighbours: list[list[int]] = [[] for _ in range(n)]
    for i, j in bonds.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    is_hydrogen = [element in ("H", "D", "T") for element in elements]
    hydrogens = np.array([sum(is_hydrogen[j] for j in near) for near in neighbours])
    donor = np.zeros(n, dtype=bool)
    acceptor = np.array([element == "O" for element in elements], dtype=bool)
    members: dict[int, list[int]] = defaultdict(list)
    for index, residue in enumerate(residue_index.tolist()):
        members[residue].append(index)
    perceived, histidines = [], {}
    geometry = _HistidineSites(positions, elements, names, residue_index, residue_names)
    for residue, atoms in members.items():
        name, gives, takes = _STATES.get(residue_names[residue], (residue_names[residue], "", ""))
        polar = [i for i in atoms if elements[i] in ("N", "O")]
        if name not in _DONORS:
            heavy = [i for i in atoms if not is_hydrogen[i]]
            if not polar:
                continue
            perceived.append(residue)
            given = bool(hydrogens[polar].any())
            found = perceive_group(
                positions, elements, neighbours, heavy, hydrogens if given else None
            )
            for i in polar:
                donor[i], acceptor[i] = found[i]
            continue
        donors = {*_DONORS[name].split(), *gives.split()}
        acceptors = {*_ACCEPTORS.get(name, "").split(), *takes.split()}
        sites = {names[i]: i for i in atoms}
        if name == "HIS" and not gives:
            carried = {site for site in _RING & sites.keys() if hydrogens[sites[site]]}
            if not carried:
                carried = {geometry.proton(sites)}
                histidines[residue] = next(iter(carried))
            donors |= carried
            acceptors |= _RING - carried
        if name == "LYS" and "NZ" in sites and hydrogens[sites["NZ"]] == 2:
            acceptors.add("NZ")
        for i in polar:
            atom = names[i]
            donor[i] = atom in donors or hydrogens[i] > 0
            if elements[i] == "N":
                acceptor[i] = atom in acceptors
                # The backbone: an amide or a charged terminus. Proline has no hydrogen inside a
                # chain; at the start of one only the file's own hydrogens say so, for most starts
                # follow residues that were not modelled.
                if atom == "N" and name not in _NUCLEIC:
                    donor[i] |= name not in ("PRO", "HYP")
            elif atom in ("O3'", "O5'") and name in _NUCLEIC:
                donor[i] |= _heavy_degree(neighbours[i], is_hydrogen) < 2
    return HydrogenBonding(donor, acceptor, perceived, histidines)


def _heavy_degree(neighbours: list[int], is_hydrogen: list[bool]) -> int:
    return sum(not is_hydrogen[j] for j in neighbours)


class _HistidineSites:
    """Metals and acceptors near which a histidine picks its tautomer."""

    def __init__(
        self,
        positions: Float[ndarray, "n 3"],
        elements: list[str],
        names: list[str],
        residue_index: Int[ndarray, " n"],
        residue_names: list[str],
    ) -> None:
        self.positions = positions
        metals = [i for i, element in enumerate(elements) if element in METALS]
        accept = [
            i
            for i, (name, residue) in enumerate(zip(names, residue_index.tolist(), strict=True))
            if elements[i] == "O"
            and (name == "O" or name in _ACIDS.get(residue_names[residue], ()))
        ]
        self.metals = cKDTree(positions[metals].reshape(-1, 3))
        self.acceptors = cKDTree(positions[accept].reshape(-1, 3))

    def proton(self, sites: dict[str, int]) -> str:
        """``"ND1"`` or ``"NE2"``: the atom that carries the hydrogen."""
        if not sites.keys() >= _RING:
            return "NE2"
        ring = self.positions[[sites["ND1"], sites["NE2"]]]
        delta, epsilon = self.metals.query(ring)[0] if self.metals.n else (np.inf, np.inf)
        if min(delta, epsilon) < _METAL_REACH:
            return "ND1" if epsilon < delta else "NE2"
        delta, epsilon = self.acceptors.query(ring)[0] if self.acceptors.n else (np.inf, np.inf)
        return "ND1" if delta < min(_ACCEPTOR_REACH, epsilon) else "NE2"
