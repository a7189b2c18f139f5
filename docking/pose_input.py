"""Poses as a caller gives them: arrays or tensors, one or many, or a ligand's own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from docking.ligand import Ligand
from overparam.errors import InputError


def given_poses(ligand: Ligand, coords: Any) -> tuple[Tensor, Any]:
    """Poses as a tensor, and what was given.

    Args:
        ligand: The molecule.
        coords: Poses of all its atoms, ``(p, n, 3)`` or ``(n, 3)``, angstrom; its own if None.

    Raises:
        InputError: If it has no coordinates and none are given.
        ValueError: If the shape does not fit or a coordinate is not finite.
    """
    given = ligand.coords if coords is None else coords
    if given is None:
        raise InputError(f"{ligand.name}: no 3-D coordinates to score")
    x = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given, dtype=float))
    n = len(ligand)
    if x.ndim not in (2, 3) or tuple(x.shape[-2:]) != (n, 3):
        raise ValueError(f"coords must be ({n}, 3) or (poses, {n}, 3), got {tuple(x.shape)}")
    if not x.isfinite().all():
        raise ValueError("coords must be finite, got NaN or infinity")
    return x, given


def check_search(num_poses: int, conformers: int, method: str, methods: Sequence[str]) -> None:
    """Refuse arguments of a search that are out of range.

    Raises:
        ValueError: If one is.
    """
    if num_poses < 1:
        raise ValueError(f"num_poses must be at least 1, got {num_poses}")
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}, got {method!r}")
    if conformers < 0:
        raise ValueError(f"conformers must be 0 or more, got {conformers}")
