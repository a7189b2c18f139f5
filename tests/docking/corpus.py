"""Corpora made of the demo complexes, in every layout a corpus may have."""

import csv
import functools
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from docking.complex_reader import crop

from .demo import IDS, ligand, ligand_path, mol2_text, pdb_text, receptor

COLUMNS = (
    "id", "max_seqid_test", "max_tanimoto_same_protein", "nearest_test", "leak_loose",
    "leak_strict90", "leak_strict30", "covalent", "timesplit", "ts_test_no_rec_overlap",
    "in_posebusters",
)  # fmt: skip
Row = Mapping[str, object]


def demo_of(key: str) -> str:
    """The demo complex that stands behind an id: its last digit chooses."""
    return IDS[int(key[-1]) % len(IDS)]


@functools.cache
def pocket_text(key: str) -> str:
    """PDB text of the residues around a demo ligand: little to read."""
    near = {residue.id for residue in crop(receptor(key), ligand(key), 6.0).residues}
    rows = pdb_text(key).splitlines(keepends=True)
    return "".join(row for row in rows if f"{row[21:22]}:{row[22:27].strip()}" in near)


def write_pair(folder: Path, key: str, *, processed: bool = False, mol2: bool = False) -> None:
    """The two files of a complex."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{key}_protein{'_processed' if processed else ''}.pdb"
    file.write_text(pocket_text(demo_of(key)))
    if mol2:
        (folder / f"{key}_ligand.mol2").write_text(mol2_text(demo_of(key)))
    else:
        shutil.copy(ligand_path(demo_of(key)), folder / f"{key}_ligand.sdf")


def write_manifest(file: Path, rows: Mapping[str, Row]) -> None:
    """A manifest in which nothing is close to anything unless a row says so."""
    with file.open("w", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, COLUMNS, restval="")
        table.writeheader()
        table.writerows({"id": key, "covalent": 0} | dict(row) for key, row in rows.items())


def write_lists(root: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """The ids of each part."""
    root.mkdir(parents=True, exist_ok=True)
    for part, ids in parts.items():
        (root / f"{part}_ids.txt").write_text("\n".join(ids) + "\n")


def write_corpus(
    root: Path,
    parts: Mapping[str, Sequence[str]],
    rows: Mapping[str, Row] | None = None,
    layout: str = "folders",
) -> Path:
    """A corpus: ``folders`` and ``archives`` of each part, or ``pdbbind``'s of each complex."""
    write_lists(root, parts)
    if rows is not None:
        every = {key: {} for ids in parts.values() for key in ids}
        write_manifest(root / "manifest.csv", every | dict(rows))
    for part, ids in parts.items():
        for key in ids:
            own = layout == "pdbbind"
            write_pair(root / (key if own else part), key, processed=own)
        if layout == "archives":
            with tarfile.open(root / f"{part}.tar.xz", "w:xz", preset=0) as archive:
                archive.add(root / part, part)
            shutil.rmtree(root / part)
    return root


def write_names(root: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Folders with files that have the right names and nothing in them."""
    write_lists(root, parts)
    for part, ids in parts.items():
        (root / part).mkdir()
        for key in ids:
            (root / part / f"{key}_protein.pdb").touch()
            (root / part / f"{key}_ligand.sdf").touch()
