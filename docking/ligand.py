"""The ligand: an RDKit molecule with its Vina types, its torsions and, if it has any, a pose."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from docking.readers.record import RecordError
from docking.torsion import Torsion, TorsionTree, torsion_tree
from docking.typing import NO_TYPE, VinaType, type_ligand
from overparam.errors import InputError

FORMATS = ("sdf", "sd", "mol", "mol2", "smi", "smiles", "pdbqt")
"""File types ``Ligand.from_file`` reads, each also with ``.gz``."""
MAX_ATOMS = 1000
"""Largest ligand taken, hydrogens included."""


@dataclass(frozen=True)
class Failure:
    """A record that could not be read.

    Attributes:
        record: Its number in the file, from 1.
        reason: One line: file, record, line and what is wrong.
    """

    record: int
    reason: str


class Ligand:
    """A small molecule, its atoms in the order of the input, hydrogens kept as given.

    Attributes:
        mol: RDKit molecule.
        coords: Coordinates of the input, angstrom, ``(n, 3)``; None if it had none in space.
        name: Name, unique among the records of a file.
        title: Name in the file, maybe empty or shared.
        properties: Data fields of the record.
        warnings: What was repaired, left out or missing, one sentence each.
        input_atoms: Place of each atom in the input record; the counting is unbroken unless
            smaller fragments of a salt were left out.
        record: Number of the record in its file, from 1.
        vina_type: ``VinaType`` of each atom, ``NO_TYPE`` for hydrogens.

    Raises:
        InputError: If there is no heavy atom, more than ``MAX_ATOMS`` atoms, a dummy atom, atoms
            without bonds, or a coordinate that is not finite.
    """

    def __init__(
        self,
        mol: Any,
        coords: Float[ndarray, "n 3"] | None = None,
        *,
        name: str = "",
        title: str | None = None,
        properties: dict[str, str] | None = None,
        warnings: Sequence[str] = (),
        record: int = 1,
        vina_type: Int[ndarray, " n"] | None = None,
        tree: TorsionTree | None = None,
    ) -> None:
        from docking.readers.molecule import check_molecule, largest_fragment

        self.title = name if title is None else title
        self.name = name or self.title or f"ligand_{record}"
        self.properties = dict(properties or {})
        self.warnings = list(warnings)
        self.record = record
        check_molecule(mol, coords, self.name)
        self.mol, self.input_atoms, dropped = largest_fragment(mol)
        if dropped:
            self.warnings.append(dropped)
        self.coords = None
        if coords is not None:
            self.coords = np.array(coords, dtype=np.float64).reshape(-1, 3)[self.input_atoms]
        types = type_ligand(self.mol) if vina_type is None else vina_type
        self.vina_type = np.array(types, dtype=np.int64)
        odd = {self.elements[i] for i in np.flatnonzero(self.vina_type == VinaType.MISC)}
        if odd:
            self.warnings.append(
                f"element {', '.join(sorted(odd))} has no Vina type; given steric terms only"
            )
        self._tree = tree

    @classmethod
    def from_file(cls, path: str | Path, record: int = 0, template: Any = None) -> "Ligand":
        """Read one molecule of an SDF, MOL, MOL2, SMILES or PDBQT file, compressed or not.

        Args:
            path: File named ``.sdf``, ``.mol``, ``.mol2``, ``.smi`` or ``.pdbqt``, maybe ``.gz``.
            record: Which molecule, from 0. If there are more, a sentence in ``warnings`` says so.
            template: For PDBQT, a molecule with the bond orders (``Ligand`` or RDKit).

        Raises:
            InputError: If the file or that record cannot be read, naming record and line.
        """
        from docking.readers.molecule import read_ligands

        reader = read_ligands(cls, path, template)
        for index, found in enumerate(reader):
            if index == record:
                if isinstance(found, InputError):
                    raise found
                if record == 0 and next(reader, None) is not None:
                    found.warnings.append("the file has more records; the first is used")
                return found
            if isinstance(found, InputError) and not isinstance(found, RecordError):
                raise found
        raise InputError(f"{path}: no record {record + 1}; the file has none or fewer")

    @classmethod
    def iter_file(
        cls,
        path: str | Path,
        on_error: str = "skip",
        failures: list[Failure] | None = None,
    ) -> Iterator["Ligand"]:
        """Read every molecule of a file, streaming.

        Names are made unique: the second ``aspirin`` becomes ``aspirin_2``, a record without a
        title ``<file>_<record>``.

        Args:
            path: As in ``from_file``.
            on_error: ``"skip"`` leaves a bad record out, ``"raise"`` stops at it.
            failures: Filled with a ``Failure`` for every record left out.

        Raises:
            InputError: If the file cannot be read at all, at a bad record with
                ``on_error="raise"``, or where a compressed file breaks off if no
                ``failures`` are kept.
        """
        from docking.readers.molecule import read_ligands

        if on_error not in ("skip", "raise"):
            raise ValueError(f"on_error must be skip or raise, got {on_error!r}")
        return _skipping(read_ligands(cls, path, None), on_error, failures)

    @classmethod
    def from_rdkit(cls, mol: Any, conformer: int = -1) -> "Ligand":
        """Take an RDKit molecule; ``conformer`` is the id of the coordinates to take."""
        from docking.readers.molecule import from_rdkit

        return from_rdkit(cls, mol, conformer)

    @classmethod
    def from_smiles(cls, smiles: str, name: str = "") -> "Ligand":
        """Take a SMILES string; the ligand has no coordinates and a warning says so."""
        from docking.readers.molecule import from_record
        from docking.readers.record import Record
        from docking.readers.smiles import parse_smiles

        return from_record(cls, Record("SMILES", 1, 1, [f"{smiles} {name}"]), parse_smiles)

    @classmethod
    def from_pdbqt(cls, path: str | Path, template: Any = None, model: int = 0) -> "Ligand":
        """Read a model of a PDBQT file.

        Without a template the atoms, their types and the torsions are exactly the file's (types as
        Vina derives them from AutoDock names and distances); bond orders are unknown and a warning
        says so. With one, the chemistry and atom order are the template's and the file gives the
        coordinates of its heavy atoms; hydrogens of the template are placed anew.

        Raises:
            InputError: If the file cannot be read, or its atoms do not match the template.
        """
        return cls.from_file(path, model, template)

    @cached_property
    def tree(self) -> TorsionTree:
        """Rigid bodies and rotatable bonds."""
        return self._tree or torsion_tree(self.mol)

    @property
    def torsions(self) -> tuple[Torsion, ...]:
        """Rotatable bonds that move heavy atoms, root outward."""
        return self.tree.torsions

    @property
    def num_torsions(self) -> float:
        """Vina's number of torsions, ``n`` in ``energy / (1 + 0.05846 n)``."""
        return self.tree.num_torsions

    @property
    def fragments(self) -> Int[ndarray, " n"]:
        """Rigid body of each atom; 0 is the root."""
        return self.tree.fragments

    @cached_property
    def elements(self) -> list[str]:
        """Element symbols."""
        return [atom.GetSymbol() for atom in self.mol.GetAtoms()]

    @cached_property
    def bonds(self) -> Int[ndarray, "m 2"]:
        """Bonds as pairs of atoms, in the molecule's order."""
        pairs = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in self.mol.GetBonds()]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def heavy(self) -> Bool[ndarray, " n"]:
        """Which atoms are not hydrogens."""
        return self.vina_type != NO_TYPE

    def with_coords(self, coords: Float[ndarray, "n 3"]) -> "Ligand":
        """The same molecule in another pose."""
        coords = np.array(coords, dtype=np.float64)
        if coords.shape != (len(self), 3):
            raise ValueError(f"coords must have shape ({len(self)}, 3), got {coords.shape}")
        if not np.isfinite(coords).all():
            raise InputError(f"{self.name}: coordinates must be finite")
        other = object.__new__(Ligand)
        other.__dict__.update(self.__dict__)
        other.warnings = [w for w in self.warnings if w != NO_COORDINATES]
        other.coords = coords
        return other

    def __len__(self) -> int:
        return int(self.mol.GetNumAtoms())

    def __repr__(self) -> str:
        placed = "in space" if self.coords is not None else "no coordinates"
        return (
            f"Ligand({self.name!r}: {self.mol.GetNumHeavyAtoms()} heavy atoms, "
            f"{len(self.torsions)} torsions, {placed}, {len(self.warnings)} warnings)"
        )


NO_COORDINATES = "no 3-D coordinates: a conformer has to be made before it can be docked or scored"
"""The warning of a ligand whose ``coords`` is None."""


def _skipping(
    reader: Iterator[Ligand | InputError], on_error: str, failures: list[Failure] | None
) -> Iterator[Ligand]:
    seen = 0
    for found in reader:
        seen += 1
        if not isinstance(found, InputError):
            yield found
            continue
        # An error of the whole file (a gzip stream cut short) ends it; it may count as a failure
        # only if somebody keeps count and something came before it.
        whole = not isinstance(found, RecordError)
        if on_error == "raise" or (whole and (failures is None or seen == 1)):
            raise found
        if failures is not None:
            failures.append(Failure(getattr(found, "record", seen), str(found)))
