"""Receptors and ligands as PDBQT, prepared once and read by both methods.

Meeko adds hydrogens and types to the residues it knows; what it does not (cofactors, modified or
incomplete residues) goes through Open Babel at pH 7.4. Every heavy atom of the input arrives, and
none moves, or the preparation counts as failed.
"""

import contextlib
import functools
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.benchmark.protocols import DECIMALS, read_ligand, start_pose, with_conformer
from docking.bonds import METALS
from docking.box import Box
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.typing import VINA_METALS, VinaType, autodock_element

PH = 7.4
_HISTIDINE = 10  # heavy atoms of a complete one
_KNOWN = frozenset(
    "C A N NA O OA S SA P F Cl Br I Si At H HD".split()  # noqa: SIM905
) | {metal.capitalize() for metal in VINA_METALS}


def warm_up(settings: dict[str, Any]) -> None:
    """Load what preparation needs; ``peer`` says whether PDBQT files are wanted."""
    logging.disable(logging.ERROR)
    if settings["peer"]:
        templates()
        from openbabel import openbabel  # type: ignore[import-not-found,import-untyped,unused-ignore]

        openbabel.obErrorLog.SetOutputLevel(0)


def run(job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Draw the start pose, and write ``receptor_pdbqt`` and ``ligand_pdbqt`` if the job names them.

    Returns:
        ``start`` coordinates, ``center`` and ``size`` of the box, number of ``torsions``; with
        PDBQT files ``fallback_residues``, how many went through Open Babel, and ``order``, the row
        of the ligand's PDBQT that holds each of its atoms.
    """
    ligand = read_ligand(job["ligand"])
    box = Box.from_ligand(ligand, padding=job["padding"])
    start = start_pose(job["protocol"], job["id"], ligand, box, job["seed"])
    done = {
        "start": start, "center": box.center, "size": box.size,
        "heavy_atoms": len(ligand), "torsions": len(ligand.torsions),
    }  # fmt: skip
    say(done)  # a refusal to write PDBQT must not cost those who do not read it their start
    if "receptor_pdbqt" not in job:
        return {}
    target = Path(job["receptor_pdbqt"])
    if not target.is_file():
        _write(target, receptor_pdbqt(job["receptor"]))
    text = ligand_pdbqt(ligand, start, rigid=job["protocol"] == "rigid")
    _write(Path(job["ligand_pdbqt"]), text)
    fallback = int(target.read_text(encoding="utf-8").split("\n", 1)[0].split()[2])
    return {"fallback_residues": fallback, "order": atom_order(text, ligand, start)}


@functools.cache
def templates() -> Any:
    """Meeko's residue templates, loaded once."""
    from meeko import ResidueChemTemplates  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return ResidueChemTemplates.create_from_defaults()


def atom_rows(pdbqt: str) -> list[str]:
    """The atom records of a PDBQT text."""
    return [row for row in pdbqt.splitlines() if row.startswith(("ATOM", "HETATM"))]


def positions(pdbqt: str) -> Float[ndarray, "n 3"]:
    """Coordinates of the atom records, angstrom."""
    rows = atom_rows(pdbqt)
    return np.array([[float(row[i : i + 8]) for i in (30, 38, 46)] for row in rows]).reshape(-1, 3)


def heavy_rows(pdbqt: str) -> Int[ndarray, " k"]:
    """Which atom records are heavy atoms, neither hydrogens nor glue."""
    kinds = [row[77:].strip() for row in atom_rows(pdbqt)]
    keep = [i for i, kind in enumerate(kinds) if autodock_element(kind) not in ("H", "*")]
    return np.array(keep, dtype=np.int64)


def receptor_pdbqt(path: str | Path) -> str:
    """PDBQT text of a receptor; its first line says how many residues Open Babel did.

    Raises:
        ValueError: If a heavy atom is lost or moved, or has no AutoDock type.
    """
    import gemmi

    structure = gemmi.read_structure(str(path))
    while len(structure) > 1:
        del structure[len(structure) - 1]
    structure.remove_alternative_conformations()
    structure.remove_hydrogens()
    structure.remove_waters()
    structure.remove_empty_chains()
    known = set(templates().ambiguous) | set(templates().residue_templates)
    rows = _meeko_rows(structure, known, _histidines(path, structure))
    seen = _spots(rows)
    residues = [residue for chain in structure[0] for residue in chain]
    left = [r for r in residues if any(_spot(atom.pos.tolist()) not in seen for atom in r)]
    if left:
        drop = {
            id_ for id_, r in _keyed(structure) if all(_spot(a.pos.tolist()) in seen for a in r)
        }
        done = _spots(fallback := _babel_rows(_pdb(structure, lambda key, _: key not in drop)))
        # A residue Meeko has done in part is Open Babel's as a whole.
        rows = [row for row in rows if not _spots([row]) & done] + fallback
    wanted = Counter(_spot(atom.pos.tolist()) for r in residues for atom in r)
    arrived = Counter(_spots(rows, heavy_only=True, repeat=True))
    if wanted != arrived:
        lost, new = sum((wanted - arrived).values()), sum((arrived - wanted).values())
        raise ValueError(f"receptor: {lost} of {sum(wanted.values())} heavy atoms lost, {new} new")
    unknown = sorted({row[77:].strip() for row in rows} - _KNOWN)
    if unknown:
        raise ValueError(f"receptor: no AutoDock type for {', '.join(unknown)}")
    return f"REMARK fallback {len(left)}\n" + "\n".join(rows) + "\n"


def ligand_pdbqt(ligand: Ligand, coords: Float[ndarray, "n 3"], *, rigid: bool) -> str:
    """PDBQT text of a ligand in a pose; rings stay closed, ``rigid`` leaves no torsion.

    Raises:
        ValueError: If Meeko refuses it.
    """
    from meeko import PDBQTWriterLegacy  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from rdkit import Chem

    full = Chem.AddHs(with_conformer(ligand.mol, coords), addCoords=True)
    setup = _meeko().prepare(full)[0]
    text, fine, error = PDBQTWriterLegacy.write_string(setup)
    if not fine:
        raise ValueError(f"Meeko refuses the ligand: {error.strip()}")
    if rigid:
        text = "\n".join(["ROOT", *atom_rows(text), "ENDROOT", "TORSDOF 0", ""])
    return str(text)


def atom_order(pdbqt: str, ligand: Ligand, coords: Float[ndarray, "n 3"]) -> Int[ndarray, " n"]:
    """Row of the PDBQT that holds each atom of the ligand.

    Raises:
        ValueError: If they do not match one to one.
    """
    heavy = heavy_rows(pdbqt)
    if len(heavy) != len(ligand):
        raise ValueError(f"ligand: {len(ligand)} heavy atoms, {len(heavy)} in the PDBQT")
    gap = np.linalg.norm(coords[:, None] - positions(pdbqt)[heavy], axis=-1)
    order = gap.argmin(1)
    if gap.min(1).max() > 2 * 10.0**-DECIMALS or len(set(order.tolist())) != len(order):
        raise ValueError("ligand: atoms of the PDBQT are not where the start pose has them")
    return np.asarray(heavy[order])


def _meeko() -> Any:
    """Meeko as used here: rings closed, and no charges, which Vina does not read.

    Its charge model refuses molecules that all else can do, such as a haem.
    """
    from meeko import MoleculePreparation  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return MoleculePreparation(rigid_macrocycles=True, charge_model="zero")


def _histidines(path: str | Path, structure: Any) -> dict[str, str]:
    """Tautomer of each complete histidine as our reader chooses it, for Meeko to follow.

    Meeko's own choice is the same for all of them; this one looks at what is around.
    """
    receptor = Receptor.from_file(path)
    chosen: dict[str, str] = {}
    for atom in range(len(receptor)):
        residue = receptor.residues[receptor.residue_index[atom]]
        if residue.name == "HIS" and receptor.names[atom] == "ND1":
            donor = receptor.vina_type[atom] in (VinaType.N_D, VinaType.N_DA)
            chosen[residue.id] = "HID" if donor else "HIE"
    return {
        key: chosen[key]
        for key, residue in _keyed(structure)
        if key in chosen and residue.name == "HIS" and len(residue) == _HISTIDINE
    }


def _meeko_rows(structure: Any, known: set[str], states: dict[str, str]) -> list[str]:
    """Atom records of the residues Meeko can do."""
    from meeko import PDBQTWriterLegacy, Polymer  # type: ignore[import-not-found,import-untyped,unused-ignore]

    refused: set[str] = set()
    while True:
        text = _pdb(structure, lambda key, r: r.name in known and key not in refused)
        if not any(line.startswith(("ATOM", "HETATM")) for line in text.splitlines()):
            return []
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                polymer = Polymer.from_pdb_string(
                    text, templates(), _meeko(), allow_bad_res=True,
                    set_template={k: v for k, v in states.items() if k not in refused},
                )  # fmt: skip
                return atom_rows(PDBQTWriterLegacy.write_string_from_polymer(polymer)[0])
        except RuntimeError as error:
            # "unable to build rdkit mol for residue PHE ... key A:39": that one is left out
            key = str(error).rpartition(" ")[2]
            if key in refused or key not in {k for k, _ in _keyed(structure)}:
                raise
            refused.add(key)


def _babel_rows(pdb: str) -> list[str]:
    """Atom records by Open Babel, its odd types replaced by ones Vina reads."""
    from openbabel import openbabel, pybel  # type: ignore[import-not-found,import-untyped,unused-ignore]

    molecule = pybel.readstring("pdb", pdb)
    molecule.OBMol.AddHydrogens(False, True, PH)
    writer = openbabel.OBConversion()
    writer.SetOutFormat("pdbqt")
    writer.AddOption("r", openbabel.OBConversion.OUTOPTIONS)  # no torsion tree
    writer.AddOption("n", openbabel.OBConversion.OUTOPTIONS)  # keep atom names
    rows = []
    for row in atom_rows(writer.WriteString(molecule.OBMol)):
        kind = row[77:].strip()
        if kind.capitalize() == "Se":
            kind = "SA"
        elif kind.capitalize() in METALS and kind.capitalize() not in VINA_METALS:
            kind = "Fe"  # Vina gives all metals the same parameters
        rows.append(f"{row[:77]}{kind}")
    return rows


def _keyed(structure: Any) -> list[tuple[str, Any]]:
    return [(f"{c.name}:{r.seqid}", r) for c in structure[0] for r in c]


def _pdb(structure: Any, keep: Callable[[str, Any], bool]) -> str:
    """PDB text of some residues."""
    import gemmi

    part = structure.clone()
    for chain in part[0]:
        for i in reversed(range(len(chain))):
            if not keep(f"{chain.name}:{chain[i].seqid}", chain[i]):
                del chain[i]
    part.remove_empty_chains()
    return str(part.make_pdb_string(gemmi.PdbWriteOptions(minimal=True)))


def _spot(xyz: Iterable[float]) -> tuple[int, ...]:
    return tuple(round(c * 10**DECIMALS) for c in xyz)


def _spots(rows: list[str], heavy_only: bool = False, repeat: bool = False) -> Any:
    """Where atom records are, as a set, or one by one with ``repeat``."""
    kept = [row for row in rows if not heavy_only or autodock_element(row[77:].strip()) != "H"]
    spots = [_spot(xyz) for xyz in positions("\n".join(kept)).tolist()]
    return spots if repeat else set(spots)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
