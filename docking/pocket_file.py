"""The file a prepared pocket is kept in: tensors and plain data, with a format version."""

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from docking.channels import Channels
from docking.lattice import Lattice
from docking.terms import ScoringFunction
from overparam.errors import InputError

FORMAT, VERSION = "pocket-field", 1


def write_pocket(path: Path, field: dict[str, Any]) -> None:
    """Write a field, as the constructor arguments of ``PocketField``, to a file.

    The file opens with ``torch.load(weights_only=True)``.
    """
    channels: Channels | None = field["channels"]
    plain = channels and {
        "names": channels.names,
        "probes": channels.probes,
        "terms": channels.terms.tolist(),
        "member": channels.member.tolist(),
        "function": asdict(channels.function),
    }
    state = {
        "format": FORMAT,
        "version": VERSION,
        "grid": field["grid"].cpu(),
        "lattice": asdict(field["lattice"]),
        "method": field["method"],
        "channels": plain,
        "names": field["names"],
        "box": [corner.tolist() for corner in field["box"]],
        "receptor": [torch.as_tensor(array) for array in field["receptor"]],
    }
    if field["learned"] is not None:
        state["learned"] = {
            "model": field["learned"].model,
            "coefficients": [c.cpu() for c in field["learned"].coefficients],
            "positions": field["learned"].positions.cpu(),
        }
    torch.save(state, path)


def read_pocket(path: Path) -> dict[str, Any]:
    """Constructor arguments of the field in a file.

    Raises:
        InputError: If the file is missing, damaged, of another kind or from a newer version.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged or not a pocket file") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"{path} is not a pocket file")
    if state.get("version", 0) > VERSION:
        raise InputError(f"{path} has format version {state['version']}, newer than {VERSION}")
    try:
        low, high = (np.array(corner) for corner in state["box"])
        positions, types = (tensor.numpy() for tensor in state["receptor"])
        return {
            "grid": state["grid"],
            "lattice": Lattice(**state["lattice"]),
            "method": state["method"],
            "channels": _channels(state["channels"]),
            "names": tuple(state["names"]),
            "box": (low, high),
            "receptor": (positions, types),
            "learned": _learned(state.get("learned")),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


@dataclass(frozen=True, eq=False)
class Learned:
    """What a learned model keeps of a receptor.

    Attributes:
        model: Fingerprint of the model; no other can use it.
        coefficients: Of each of its fields, ``(m, channels, radial, lm)``.
        positions: The emitters, ``(m, 3)``, angstrom.
    """

    model: str
    coefficients: tuple[Tensor, ...]
    positions: Tensor


def learned_by(pocket: Any, model: str, name: str) -> Learned:
    """What the model with this fingerprint keeps of a pocket.

    Raises:
        InputError: If it did not prepare the pocket.
    """
    kept: Learned | None = pocket.learned
    if kept is None or kept.model != model:
        raise InputError(f"the pocket was not prepared by this {name} model: prepare it with it")
    return kept


def _learned(state: dict[str, Any] | None) -> Learned | None:
    if state is None:
        return None
    return Learned(state["model"], tuple(state["coefficients"]), state["positions"])


def _channels(state: dict[str, Any] | None) -> Channels | None:
    if state is None:
        return None
    return Channels(
        tuple(state["names"]),
        tuple(state["probes"]),
        np.array(state["terms"], dtype=bool),
        np.array(state["member"], dtype=bool),
        ScoringFunction(**state["function"]),
    )
