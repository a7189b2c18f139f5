"""The scoring models by name: physics, and learned ones from their weights."""

from importlib.resources import files
from pathlib import Path

import torch

from docking.model import PhysicsModel
from overparam.cli import did_you_mean
from overparam.errors import InputError

WEIGHTS = Path(str(files("docking"))) / "weights"
"""Folder of the shipped weights, ``<name>.ckpt`` each."""


def load_model(name: str | Path = "physics", *, device: str | torch.device = "cpu") -> PhysicsModel:
    """Load a scoring model: ``physics``, or the name or path of a learned one.

    Args:
        name: ``physics``, which needs no weights; the name of shipped weights, such as ``hybrid``;
            or the path of a checkpoint that ``python -m docking fit`` wrote.
        device: Where it searches.

    Raises:
        InputError: If there is no such model, or the file does not hold one.
    """
    if str(name) == "physics":
        return PhysicsModel(device=device)
    shipped = {file.stem: file for file in sorted(WEIGHTS.glob("*.ckpt"))}
    file = shipped.get(str(name), Path(name))
    if not file.is_file():
        known = ["physics", *shipped]
        near = did_you_mean(str(name), known)
        raise InputError(f"no model {str(name)!r}{near}; there is {', '.join(known)}, or a file")
    from docking.hybrid_model import HybridModel

    return HybridModel.load(file, device=device)
