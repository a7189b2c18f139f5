"""Protein-ligand docking as correlation of scalar fields: scoring, search and screening."""

import importlib
from typing import Any

# Public name -> module that holds it; imported on first use, so that `import docking` stays light.
_PUBLIC = {
    "Box": "box",
    "Complexes": "complexes",
    "DockingResult": "result",
    "EsfFields": "learned.esf",
    "Example": "complexes",
    "FieldFit": "learned.field_fit",
    "HybridModel": "hybrid_model",
    "HybridScore": "learned.hybrid",
    "LeanFields": "learned.lean_fields",
    "LeanLigandNet": "learned.lean_esf",
    "LeanReceptorNet": "learned.lean_esf",
    "Ligand": "ligand",
    "LigandNet": "learned.reference_net",
    "MinedComplexes": "mined_complexes",
    "MoleculeNet": "learned.lean_net",
    "PhysicsModel": "model",
    "PocketField": "pocket_map",
    "PocketNet": "learned.lean_net",
    "Pose": "result",
    "PoseMiner": "learned.pose_set",
    "RankFit": "learned.rank_fit",
    "Receptor": "molecule",
    "ReceptorNet": "learned.reference_net",
    "RotationLikelihood": "learned.losses",
    "ScoreFit": "learned.fit",
    "ShiftLikelihood": "learned.soft_losses",
    "Symmetry": "symmetry",
    "TranslationLikelihood": "learned.losses",
    "TurnLikelihood": "learned.soft_losses",
    "load_model": "models",
    "vina_energy": "physics",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'docking' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"docking.{_PUBLIC[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
