"""RDKit's view of a molecule, made as far as it goes and never by a traceback.

A molecule RDKit refuses is repaired where the repair is certain (a four-valent nitrogen without its
charge, as crystal ligands often have) and otherwise kept with the steps that fail left out: no
kekulisation, aromatic flags as the file gives them. ``warnings`` says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rdkit import Chem, rdBase

_CHARGED = {("N", 4): 1, ("P", 4): 1, ("O", 3): 1, ("S", 3): 1, ("B", 4): -1}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep RDKit from writing to standard error."""
    block = rdBase.BlockLogs()
    try:
        yield
    finally:
        del block


def sanitise(mol: Any) -> tuple[Any, list[str]]:
    """Sanitise a molecule read without sanitising.

    Args:
        mol: RDKit molecule; left as it is.

    Returns:
        A sanitised copy, or the best there is, and what had to be done.

    Raises:
        ValueError: If RDKit can do nothing with the graph.
    """
    warnings: list[str] = []
    with quiet():
        if (done := _try(mol)) is not None:
            return done, warnings
        fixed = Chem.RWMol(mol)
        charged = _charge_overvalent(fixed)
        if charged and (done := _try(fixed)) is not None:
            return done, [f"gave a formal charge to over-valent {', '.join(charged)}"]
        problems = Chem.DetectChemistryProblems(mol)
        reasons = "; ".join(dict.fromkeys(p.Message() for p in problems)) or "unknown reason"
        if (done := _partial(mol)) is None:
            raise ValueError(f"RDKit cannot use the molecule: {reasons}")
        warnings.append(f"not sanitised, bonds kept as written: {reasons}")
        return done, warnings


def _try(mol: Any) -> Any | None:
    copy = Chem.Mol(mol)
    try:
        Chem.SanitizeMol(copy)
    except (ValueError, RuntimeError):
        return None
    return copy


def _partial(mol: Any) -> Any | None:
    copy = Chem.Mol(mol)
    skipped = (
        Chem.SANITIZE_KEKULIZE
        | Chem.SANITIZE_PROPERTIES
        | Chem.SANITIZE_SETAROMATICITY
        | Chem.SANITIZE_CLEANUP
    )
    try:
        copy.UpdatePropertyCache(strict=False)
        Chem.SanitizeMol(copy, Chem.SANITIZE_ALL ^ skipped)
        for atom in copy.GetAtoms():
            atom.GetTotalNumHs(includeNeighbors=True)
    except (ValueError, RuntimeError):
        return None
    return copy


def _charge_overvalent(mol: Any) -> list[str]:
    mol.UpdatePropertyCache(strict=False)
    changed = []
    for atom in mol.GetAtoms():
        valence = sum(bond.GetBondTypeAsDouble() for bond in atom.GetBonds())
        charge = _CHARGED.get((atom.GetSymbol(), round(valence)))
        if charge and atom.GetFormalCharge() == 0 and valence == round(valence):
            atom.SetFormalCharge(charge)
            changed.append(f"{atom.GetSymbol()}{atom.GetIdx() + 1}")
    return changed
