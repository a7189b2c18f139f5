"""Poses as SDF: the input molecule with new coordinates, nothing of its chemistry lost.

Bonds, charges, stereochemistry, title and data fields are the input's; ``score``, ``rank`` and
``model`` are added to every pose.
"""

import gzip
from collections.abc import Mapping, Sequence
from io import TextIOBase
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rdkit import Chem
from rdkit.Geometry import Point3D

from docking.ligand import Ligand
from docking.readers.chemistry import quiet
from overparam.errors import InputError


def sdf_block(
    ligand: Ligand, coords: Float[ndarray, "n 3"], fields: Mapping[str, object] | None = None
) -> str:
    """One SDF record, its closing ``$$$$`` included.

    Args:
        ligand: Molecule; its title and properties are written.
        coords: Coordinates of all its atoms, angstrom.
        fields: Further data fields; they win over the ligand's of the same name.

    Raises:
        InputError: If the coordinates are not finite or not one row per atom.
    """
    array = np.asarray(coords, dtype=np.float64)
    if array.shape != (len(ligand), 3) or not np.isfinite(array).all():
        raise InputError(f"{ligand.name}: coords must be finite, of shape ({len(ligand)}, 3)")
    mol = Chem.RWMol(ligand.mol)
    mol.RemoveAllConformers()
    conformer = Chem.Conformer(len(array))
    for index, xyz in enumerate(array.tolist()):
        conformer.SetAtomPosition(index, Point3D(*xyz))
    mol.AddConformer(conformer)
    mol.SetProp("_Name", " ".join(ligand.name.split()))
    sanitised = not any(warning.startswith("not sanitised") for warning in ligand.warnings)
    with quiet():
        block = Chem.MolToMolBlock(mol, includeStereo=sanitised, kekulize=sanitised)
    lines = [block.rstrip("\n")]
    for name, value in {**ligand.properties, **(fields or {})}.items():
        # A blank line ends a data field, and "$$$$" a record, so neither may stand in a value.
        text = "\n".join(line or " " for line in str(value).splitlines()).replace("$$$$", "$ $ $ $")
        key = "".join(c for c in str(name) if c not in "<>\r\n")
        lines.append(f">  <{key}>\n{text}\n")
    return "\n".join([*lines, "$$$$", ""])


def write_sdf(
    target: str | Path | TextIOBase,
    ligand: Ligand,
    coords: Float[ndarray, "p n 3"],
    scores: Sequence[float | int] | ndarray | None = None,
    model: str = "",
    fields: Sequence[Mapping[str, object]] | None = None,
) -> None:
    """Write poses, best first as given.

    Args:
        target: Path (compressed if it ends in ``.gz``) or an open text file.
        ligand: The molecule that was docked.
        coords: Coordinates of every pose, angstrom.
        scores: Score of every pose, higher is better.
        model: Name of what scored them.
        fields: Further data fields of every pose.

    Raises:
        InputError: If the file cannot be written.
        ValueError: If ``scores`` or ``fields`` do not match the poses.
    """
    coords = np.asarray(coords, dtype=np.float64)
    for name, given in (("scores", scores), ("fields", fields)):
        if given is not None and len(given) != len(coords):
            raise ValueError(
                f"{name} must have one entry per pose ({len(coords)}), got {len(given)}"
            )
    blocks = []
    for index, pose in enumerate(coords):
        row: dict[str, object] = {"rank": index + 1, "model": model}
        if scores is not None:
            row["score"] = f"{float(scores[index]):.6g}"
        blocks.append(sdf_block(ligand, pose, {**row, **(fields[index] if fields else {})}))
    text = "".join(blocks)
    if not isinstance(target, str | Path):
        target.write(text)
        return
    try:
        if Path(target).suffix == ".gz":
            with gzip.open(target, "wt", encoding="utf-8") as packed:
                packed.write(text)
        else:
            Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror})") from None
