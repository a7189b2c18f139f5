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
    "Ligand": "ligand",
    "LigandNet": "learned.reference_net",
    "PhysicsModel": "model",
    "PocketField": "pocket_map",
    "Pose": "result",
    "Receptor": "molecule",
    "ReceptorNet": "learned.reference_net",
    "RotationLikelihood": "learned.losses",
    "ScoreFit": "learned.fit",
    "Symmetry": "symmetry",
    "TranslationLikelihood": "learned.losses",
    "HybridModel": "hybrid_model",
    "HybridScore": "learned.hybrid",
    "MinedComplexes": "mined_complexes",
    "MoleculeNet": "learned.lean_net",
    "PocketNet": "learned.lean_net",
    "PoseMiner": "learned.pose_set",
    "RankFit": "learned.rank_fit",
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
