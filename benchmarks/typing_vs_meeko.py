"""Our atom types against Meeko's PDBQT files as Vina reads them, atom by atom.

``python benchmarks/typing_vs_meeko.py FOLDER --count 150`` takes ``<id>_protein.pdb`` and
``<id>_ligand.sdf`` from a folder, prepares both with Meeko 0.8 and compares every heavy atom, then
checks the number of torsions against the one Vina's own score implies. It prints a summary, lists
every disagreement and writes ``results/typing_vs_meeko.json``. Needs vina and meeko (the ``bench``
extra).

Residues Meeko has no template for (cofactors, ions, damaged residues) are listed, not compared.
Histidines are given to Meeko in the tautomer we chose; how many differ from its default (hydrogen
on NE2) is printed.
"""

import contextlib
import json
import logging
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from meeko import MoleculePreparation, PDBQTWriterLegacy, Polymer, ResidueChemTemplates
from rdkit import Chem
from scipy.spatial import cKDTree
from vina import Vina

from docking.bonds import perceive_bonds
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.typing import VinaType, autodock_element, autodock_types

TEMPLATES = ResidueChemTemplates.create_from_defaults()
SAME_PLACE = 0.002  # A; PDBQT keeps three decimals


def pdbqt_types(text: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Coordinates, Vina types and labels of the heavy atoms of a PDBQT text."""
    rows = [line for line in text.splitlines() if line.startswith(("ATOM", "HETATM"))]
    xyz = np.array([[float(r[30:38]), float(r[38:46]), float(r[46:54])] for r in rows])
    kinds = [row[77:].strip() for row in rows]
    elements = [autodock_element(kind) for kind in kinds]
    _, types = autodock_types(kinds, perceive_bonds(xyz, elements))
    heavy = [i for i, element in enumerate(elements) if element != "H"]
    labels = [f"{rows[i][17:21].strip()} {rows[i][12:16].strip()}" for i in heavy]
    return xyz[heavy], types[heavy], labels


def meeko_receptor(path: Path, receptor: Receptor) -> tuple[str, list[str]]:
    """Meeko's PDBQT of the residues it knows, and the residues it does not."""
    structure = gemmi.read_structure(str(path))
    known = set(TEMPLATES.ambiguous) | set(TEMPLATES.residue_templates)
    states = {}
    for index, residue in enumerate(receptor.residues):
        if residue.name == "HIS":
            atoms = np.flatnonzero(receptor.residue_index == index)
            types = {receptor.names[i]: receptor.vina_type[i] for i in atoms}
            if {"ND1", "NE2"} <= types.keys():
                states[residue.id] = "HID" if types["ND1"] == VinaType.N_D else "HIE"
    drop(structure, lambda chain, residue: residue.name not in known)
    while True:
        try:
            return run_meeko(structure, states), [
                k for k, state in states.items() if state == "HID"
            ]
        except RuntimeError as error:  # "unable to build rdkit mol for residue PHE ... key A:39"
            key = str(error).rpartition(" ")[2]
            if not drop(structure, lambda c, residue, key=key: f"{c.name}:{residue.seqid}" == key):
                raise
            states.pop(key, None)


def drop(structure: gemmi.Structure, unwanted: Callable[..., bool]) -> int:
    """Delete residues; return how many."""
    count = 0
    for chain in structure[0]:
        for i in reversed(range(len(chain))):
            if unwanted(chain, chain[i]):
                del chain[i]
                count += 1
    return count


def run_meeko(structure: gemmi.Structure, states: dict[str, str]) -> str:
    """PDBQT text of a structure all of whose residue names Meeko knows."""
    text = structure.make_pdb_string(gemmi.PdbWriteOptions(minimal=True))
    with contextlib.redirect_stdout(None):
        polymer = Polymer.from_pdb_string(
            text, TEMPLATES, MoleculePreparation(), set_template=states, allow_bad_res=True
        )
        return PDBQTWriterLegacy.write_string_from_polymer(polymer)[0]


def same_places(xyz: np.ndarray, theirs: np.ndarray) -> list[tuple[int, int]]:
    """Our rows and Meeko's that hold the same atom."""
    distance, row = cKDTree(theirs).query(xyz)
    return [(int(i), int(row[i])) for i in np.flatnonzero(distance < SAME_PLACE)]


def check_receptor(path: Path) -> tuple[dict[str, Any], str]:
    """Compare one receptor; also its PDBQT text."""
    receptor = Receptor.from_file(path)
    pdbqt, delta = meeko_receptor(path, receptor)
    xyz, types, _ = pdbqt_types(pdbqt)
    heavy = np.flatnonzero(receptor.heavy)
    pairs = same_places(receptor.positions[heavy], xyz)
    differ = []
    for i, j in pairs:
        atom = heavy[i]
        if receptor.vina_type[atom] != types[j]:
            where = receptor.residues[receptor.residue_index[atom]]
            differ.append(
                [f"{where.name} {where.id} {receptor.names[atom]}",
                 VinaType(receptor.vina_type[atom]).name, VinaType(types[j]).name]
            )  # fmt: skip
    missing = set(receptor.residue_index[heavy]) - {
        receptor.residue_index[heavy[i]] for i, _ in pairs
    }
    named = sorted(f"{receptor.residues[i].name} {receptor.residues[i].id}" for i in missing)
    return {"atoms": len(pairs), "differ": differ, "delta": len(delta), "no_template": named}, pdbqt


def check_ligand(path: Path, receptor_pdbqt: Path | None) -> dict[str, Any]:
    """Compare one ligand."""
    ligand = Ligand.from_file(path)
    full = Chem.AddHs(ligand.mol, addCoords=True)
    setup = MoleculePreparation(rigid_macrocycles=True).prepare(full)[0]
    pdbqt, good, message = PDBQTWriterLegacy.write_string(setup)
    if not good:
        return {"error": message.strip()}
    xyz, types, _ = pdbqt_types(pdbqt)
    heavy = np.flatnonzero(ligand.heavy)
    assert ligand.coords is not None
    pairs = same_places(ligand.coords[heavy], xyz)
    differ = [
        [f"{ligand.elements[heavy[i]]}{heavy[i] + 1}",
         VinaType(ligand.vina_type[heavy[i]]).name, VinaType(types[j]).name]
        for i, j in pairs
        if ligand.vina_type[heavy[i]] != types[j]
    ]  # fmt: skip
    row = {"atoms": len(pairs), "heavy": len(heavy), "differ": differ}
    with tempfile.NamedTemporaryFile("w", suffix=".pdbqt") as file:
        file.write(pdbqt)
        file.flush()
        again = Ligand.from_file(file.name)
    row["torsions"] = [ligand.num_torsions, again.num_torsions]
    row["active"] = [len(ligand.torsions), len(again.torsions)]
    if receptor_pdbqt is not None:
        row["torsions"].append(vina_torsions(receptor_pdbqt, pdbqt, ligand.coords))
    return row


def vina_torsions(receptor: Path, ligand: str, coords: np.ndarray) -> float:
    """The number of torsions that turns Vina's interaction energy into its total."""
    vina = Vina(cpu=1, seed=1, verbosity=0)
    vina.set_receptor(str(receptor))
    vina.set_ligand_from_string(ligand)
    low, high = coords.min(0) - 2, coords.max(0) + 2
    vina.compute_vina_maps(center=((low + high) / 2).tolist(), box_size=(high - low).tolist())
    energy = vina.score()
    return round(2 * (energy[1] / energy[0] - 1) / 0.05846) / 2


def main(args: list[str] | None = None) -> int:
    """Run the comparison and return the number of disagreements."""
    parser = ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument(
        "--vina", action="store_true", help="check torsions with Vina itself, 1 s each"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--resume", action="store_true", help="keep the rows already written")
    options = parser.parse_args(args)
    logging.disable(logging.ERROR)
    options.out.mkdir(exist_ok=True)
    written = options.out / "typing_vs_meeko.json"
    rows: dict[str, Any] = {}
    if options.resume and written.exists():
        rows = json.loads(written.read_text())
    for path in sorted(options.folder.glob("*_protein.pdb"))[: options.count]:
        key = path.name.removesuffix("_protein.pdb")
        if key in rows:
            continue
        rows[key] = check_complex(path, path.with_name(f"{key}_ligand.sdf"), options.vina)
        print(key, *(len(part.get("differ", "-")) for part in rows[key].values()), flush=True)
        written.write_text(json.dumps(rows, indent=1) + "\n")
    return report(rows)


def check_complex(receptor: Path, ligand: Path, vina: bool) -> dict[str, Any]:
    """Compare both parts; a refusal of Meeko or Vina is part of the result."""
    row: dict[str, Any] = {}
    with tempfile.NamedTemporaryFile("w", suffix=".pdbqt") as file:
        try:
            row["receptor"], text = check_receptor(receptor)
            file.write(text)
            file.flush()
        except Exception as error:
            row["receptor"], vina = {"error": refusal(error)}, False
        try:
            row["ligand"] = check_ligand(ligand, Path(file.name) if vina else None)
        except Exception as error:
            row["ligand"] = {"error": refusal(error)}
    return row


def refusal(error: Exception) -> str:
    """The first line of an error."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def report(rows: dict[str, Any]) -> int:
    """Print the summary."""
    total = 0
    kinds: Counter[tuple[str, str, str]] = Counter()
    for part in ("receptor", "ligand"):
        done = {key: row[part] for key, row in rows.items() if "error" not in row[part]}
        atoms = sum(row["atoms"] for row in done.values())
        differ = [(key, *item) for key, row in done.items() for item in row["differ"]]
        total += len(differ)
        print(f"{part}s={len(done)} atoms={atoms} disagreements={len(differ)}")
        for key, where, ours, theirs in differ:
            print(f"  {key} {where}: ours {ours}, Meeko's {theirs}")
            name = f"{where.split()[0]} {where.split()[-1]}" if part == "receptor" else part
            kinds[(name, ours, theirs)] += 1
        for key, row in rows.items():
            if "error" in row[part]:
                print(f"  {key} {part} not compared: {row[part]['error']}")
    torsions = {k: r["ligand"]["torsions"] for k, r in rows.items() if "torsions" in r["ligand"]}
    wrong = {key: counts for key, counts in torsions.items() if len(set(counts)) > 1}
    print(f"torsion_counts={len(torsions)} disagreements={len(wrong)} {wrong}")
    left = Counter(
        item.split()[0] for row in rows.values() for item in row["receptor"].get("no_template", [])
    )
    print(f"without_template={dict(left)}")
    print(f"histidines_on_nd1={sum(row['receptor'].get('delta', 0) for row in rows.values())}")
    return total + len(wrong)


if __name__ == "__main__":
    sys.exit(0 if main() == 0 else 3)
