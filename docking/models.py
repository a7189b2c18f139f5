"""The scoring models by name: physics, and learned ones from their weights."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from docking.model import PhysicsModel
from overparam.checkpoint import read_checkpoint
from overparam.cli import did_you_mean
from overparam.errors import InputError
from overparam.recipe import locate

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
    return _of_checkpoint(file).load(file, device=device)


def _of_checkpoint(file: Path) -> Any:
    """The class of model that a checkpoint's networks make.

    Raises:
        InputError: If they make none.
    """
    from docking.esf_model import EsfModel
    from docking.hybrid_model import HybridModel
    from docking.learned.field_fit import FieldFit
    from docking.learned.rank_fit import RankFit

    name = read_checkpoint(file).get("hyper_parameters", {}).get("_class_path")
    try:
        held = locate(name) if isinstance(name, str) else None
    except ValueError:
        held = None
    models = {RankFit: HybridModel, FieldFit: EsfModel}
    for fit, model in models.items():
        if isinstance(held, type) and issubclass(held, fit):
            return model
    known = " or ".join(f"a {fit.__name__}" for fit in models)
    raise InputError(f"checkpoint {file} holds a {name}, no model: that takes {known}")
