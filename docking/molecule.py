"""The receptor: typed atoms of a protein or nucleic acid with its ions and cofactors."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from docking.bonds import check_density, perceive_bonds
from docking.typing import NO_TYPE, VINA_METALS, VinaType, element_types
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.ligand import Ligand

FORMATS = ("pdb", "ent", "cif", "mmcif", "pdbqt")
"""File types ``Receptor.from_file`` reads, each also with ``.gz``."""


class Residue(NamedTuple):
    """Where a residue is in its file.

    Attributes:
        chain: Author's chain id, ``""`` if blank.
        number: Author's residue number with the insertion code: ``"45"``, ``"45A"``.
        name: Residue name.
        label_chain: mmCIF ``label_asym_id``, ``""`` outside mmCIF.
        label_number: mmCIF ``label_seq_id``, ``""`` where there is none.
    """

    chain: str
    number: str
    name: str
    label_chain: str = ""
    label_number: str = ""

    @property
    def id(self) -> str:
        """``"A:45A"``, as ``Box.from_residues`` and ``Receptor.residue_atoms`` take it."""
        return f"{self.chain}:{self.number}"


class Receptor:
    """Atoms of the receptor, their Vina types and what was left out on the way.

    Attributes:
        positions: Coordinates, angstrom, shape ``(n, 3)``; hydrogens of the file included.
        elements: Element symbols.
        names: Atom names.
        residue_index: Residue of each atom, an index into ``residues``.
        residues: The residues, in file order.
        vina_type: ``VinaType`` of each atom, ``NO_TYPE`` for hydrogens.
        bonds: Covalent bonds, pairs ``i < j``.
        warnings: What was left out, repaired or guessed, one sentence each.
        source: Path the atoms came from.

    Raises:
        InputError: If there is no atom or a coordinate is not finite.
    """

    def __init__(
        self,
        positions: Float[ndarray, "n 3"],
        elements: Sequence[str],
        names: Sequence[str],
        residue_index: Int[ndarray, " n"],
        residues: Sequence[Residue],
        *,
        vina_type: Int[ndarray, " n"] | None = None,
        warnings: Sequence[str] = (),
        source: str = "receptor",
    ) -> None:
        from docking.protonation import hydrogen_bonding

        self.positions = np.array(positions, dtype=np.float64).reshape(-1, 3)
        self.elements = list(elements)
        self.names = list(names)
        self.residue_index = np.array(residue_index, dtype=np.int64)
        self.residues = list(residues)
        self.warnings = list(warnings)
        self.source = source
        n = len(self.positions)
        if n == 0:
            raise InputError(f"{source}: the receptor has no atom")
        if not (len(self.elements) == len(self.names) == len(self.residue_index) == n):
            raise ValueError(
                f"positions, elements, names and residue_index must agree, got {n} atoms"
            )
        if not np.isfinite(self.positions).all():
            raise InputError(f"{source}: coordinates must be finite")
        check_density(self.positions, source)
        self.bonds = perceive_bonds(self.positions, self.elements)
        if vina_type is None:
            residue_names = [residue.name for residue in self.residues]
            roles = hydrogen_bonding(
                self.positions,
                self.elements,
                self.names,
                self.residue_index,
                residue_names,
                self.bonds,
            )
            vina_type = element_types(self.elements, self._polar(), roles.donor, roles.acceptor)
            self._report_roles(roles.perceived, roles.histidines)
            self._report_elements(vina_type)
        self.vina_type = np.array(vina_type, dtype=np.int64)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        chains: Iterable[str] | None = None,
        keep_hetero: str | bool | Iterable[str] = "auto",
        altloc: str = "highest",
        keep_waters: bool = False,
    ) -> "Receptor":
        """Read a PDB, mmCIF or PDBQT file, compressed or not; the first model counts.

        Residues are named by the author's chain and number, also in mmCIF. Hydrogens are kept as
        given; without them the types come out the same (``docking.protonation``). Residues with
        missing atoms stay, with what they have. Everything left out, guessed or repaired is a
        sentence in ``warnings``. A PDBQT file is prepared: it keeps its types and all its atoms.

        Args:
            path: File named ``.pdb``, ``.ent``, ``.cif``, ``.mmcif`` or ``.pdbqt``, or any with
                ``.gz``.
            chains: Author's chain ids to keep; ions and cofactors go with their chain id.
            keep_hetero: ``"auto"`` keeps everything but waters in a prepared file; in a deposited
                entry (header records or waters present) it keeps ions, known cofactors and bonded
                sugars and leaves out crystallisation additives and other small molecules, one of
                which is usually the ligand. ``True`` or ``"all"`` keeps all, ``False`` or
                ``"none"`` the polymer alone, a list of residue names exactly those.
            altloc: ``"highest"`` takes in each residue the conformer of highest occupancy (the
                first on a tie); a letter takes that conformer where it exists. Atoms the chosen
                conformer lacks come from the highest that has them.
            keep_waters: Whether waters stay (in a PDBQT file they do).

        Raises:
            InputError: If the file cannot be read, a coordinate is damaged, it holds no polymer
                (only ``HETATM`` records), or a chain is not there.
        """
        from docking.readers.receptor import read_receptor

        parts = read_receptor(path, chains, keep_hetero, altloc, keep_waters)
        return cls(**parts)

    @property
    def heavy(self) -> Bool[ndarray, " n"]:
        """Which atoms carry energy (all but hydrogens)."""
        return self.vina_type != NO_TYPE

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        return (
            f"Receptor({self.source}: {int(self.heavy.sum())} heavy atoms, "
            f"{len(self.residues)} residues, {len(self.warnings)} warnings)"
        )

    def residue_atoms(self, residue: str) -> Int[ndarray, " k"]:
        """Atoms of a residue given as ``"A:45"``, ``"A:45A"`` or, with a blank chain, ``"45"``.

        Raises:
            InputError: If there is no such residue, with the nearest ones there are.
        """
        chain, _, wanted = residue.rpartition(":")
        found = [i for i, r in enumerate(self.residues) if (r.chain, r.number) == (chain, wanted)]
        if not found:
            raise InputError(f"{self.source}: no residue {residue!r}; {self._hint(chain, wanted)}")
        return np.flatnonzero(np.isin(self.residue_index, found))

    def _hint(self, chain: str, wanted: str) -> str:
        there = [r for r in self.residues if r.chain == chain]
        if not there:
            chains = sorted({r.chain for r in self.residues})
            return f"chains are {', '.join(map(repr, chains))}"
        digits = "".join(c for c in wanted if c.isdigit() or c == "-")
        same = [r.id for r in there if r.number.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == digits]
        labelled = [r.id for r in there if r.label_number == wanted]
        if same or labelled:
            return f"there is {', '.join((same or labelled)[:5])}"
        return f"chain {chain!r} runs from {there[0].number} to {there[-1].number}"

    def take(self, atoms: Bool[ndarray, " n"]) -> "Receptor":
        """The receptor with only the atoms of a mask; their types stay what they are."""
        index = np.flatnonzero(atoms)
        used, renumbered = np.unique(self.residue_index[index], return_inverse=True)
        return Receptor(
            self.positions[index],
            [self.elements[i] for i in index],
            [self.names[i] for i in index],
            renumbered,
            [self.residues[i] for i in used],
            vina_type=self.vina_type[index],
            warnings=self.warnings,
            source=self.source,
        )

    def without(self, residues: Iterable[str]) -> "Receptor":
        """The receptor less some residues, each given as ``"A:401"``."""
        keep = np.ones(len(self), dtype=bool)
        for residue in residues:
            keep[self.residue_atoms(residue)] = False
        return self.take(keep)

    def without_ligand(self, ligand: "Ligand", overlap: float | int = 0.8) -> "Receptor":
        """Leave out residues that are the ligand itself, still sitting in its pocket.

        A residue goes if more than half of its heavy atoms lie within ``overlap`` of a ligand atom;
        a sentence in ``warnings`` names it. Amino acids and nucleotides of the polymer always stay.

        Args:
            ligand: Ligand with coordinates in the receptor's frame.
            overlap: Distance, angstrom, below which two atoms are the same atom.
        """
        from scipy.spatial import cKDTree

        from docking.protonation import TABULATED

        if ligand.coords is None:
            return self
        distance = cKDTree(ligand.coords).query(self.positions)[0]
        count = np.bincount(self.residue_index, self.heavy, len(self.residues))
        over = np.bincount(
            self.residue_index, self.heavy & (distance < overlap), len(self.residues)
        )
        gone = [
            i for i in np.flatnonzero(over > 0.5 * count) if self.residues[i].name not in TABULATED
        ]
        if not gone:
            return self
        named = ", ".join(f"{self.residues[i].name} {self.residues[i].id}" for i in gone)
        rest = self.take(~np.isin(self.residue_index, gone))
        rest.warnings.append(f"left out {named}: it is the ligand in its pocket")
        return rest

    def _polar(self) -> Bool[ndarray, " n"]:
        """Which atoms are bonded to a heteroatom."""
        hetero = np.array([element not in ("C", "H", "D", "T") for element in self.elements])
        polar = np.zeros(len(self), dtype=bool)
        np.logical_or.at(polar, self.bonds[:, 0], hetero[self.bonds[:, 1]])
        np.logical_or.at(polar, self.bonds[:, 1], hetero[self.bonds[:, 0]])
        return polar

    def _report_roles(self, perceived: list[int], histidines: dict[int, str]) -> None:
        if perceived:
            named = listing([f"{self.residues[i].name} {self.residues[i].id}" for i in perceived])
            self.warnings.append(f"hydrogen bonding of {named} was perceived from geometry")
        delta = [self.residues[i].id for i, atom in histidines.items() if atom == "ND1"]
        if delta:
            self.warnings.append(
                f"histidine {listing(delta)} taken with its hydrogen on ND1 "
                f"({len(histidines) - len(delta)} others on NE2)"
            )

    def _report_elements(self, types: Int[ndarray, " n"]) -> None:
        odd = {self.elements[i] for i in np.flatnonzero(types == VinaType.MISC)}
        if odd:
            self.warnings.append(
                f"element {', '.join(sorted(odd))} has no Vina type; given steric terms only"
            )
        metals = {self.elements[i] for i in np.flatnonzero(types == VinaType.MET_D)} - VINA_METALS
        if metals:
            self.warnings.append(
                f"metal {', '.join(sorted(metals))} is unknown to Vina; typed as its other metals"
            )


def listing(items: Sequence[str], limit: int = 6) -> str:
    """The first few items, and how many more there are."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
