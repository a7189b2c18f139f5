"""How a fitted field is written to a file: one file here for each kind of signal.

To add a kind: a module whose ``RENDERING`` is a :class:`Rendering`, and its line in ``KINDS``.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from fields.lattice import Extent
from overparam.errors import InputError

# kind of signal -> module that writes it, imported when asked for
KINDS = {
    "image": "fields.rendering.picture",
    "audio": "fields.rendering.sound",
    "video": "fields.rendering.film",
    "shape": "fields.rendering.surface",
}


@dataclass(frozen=True)
class Order:
    """What is to be written.

    Attributes:
        size: Samples along each axis.
        extent: First and last coordinate of each axis.
        signal: Description of the signal, from the checkpoint.
        chunk: Points at a time; None suits the device.
        device: Where to evaluate.
    """

    size: list[int]
    extent: Extent
    signal: dict[str, Any]
    chunk: int | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009  # immutable


@runtime_checkable
class Rendering(Protocol):
    """What a kind of signal can be written as, and how.

    Attributes:
        suffixes: Of the files it can be written as.
        corners: Names of ``--region``'s numbers: the low end of every axis, then the high ends.
        scaled_axes: How many axes ``--resolution`` stretches; memory grows with that power.
    """

    suffixes: tuple[str, ...]
    corners: tuple[str, ...]
    scaled_axes: int

    def size(self, resolution: str, shape: list[int]) -> list[int]:
        """Return the samples along each axis for ``--resolution``.

        Raises:
            InputError: If it does not say a size of this kind.
        """

    def memory(self, order: Order) -> int:
        """Return the bytes that writing takes."""

    def write(self, field: nn.Module, out: Path, order: Order) -> str:
        """Evaluate, write, and say in a few words what was written.

        Raises:
            InputError: If the field has nothing to write.
        """


def rendering(kind: str) -> Rendering:
    """Return what writes signals of ``kind``.

    Raises:
        InputError: If nothing does; the message lists the kinds.
    """
    if kind not in KINDS:
        raise InputError(f"rendering kind {kind} is not supported; kinds: {', '.join(KINDS)}")
    found: Rendering = importlib.import_module(KINDS[kind]).RENDERING
    return found


def whole_numbers(resolution: str, axes: str) -> list[int]:
    """Read ``"1024"`` or ``"600x800"`` as positive whole numbers.

    Args:
        resolution: What the user gave.
        axes: What the error calls the long form; empty where there is none.

    Raises:
        InputError: If a part is no positive whole number.
    """
    parts = resolution.lower().split("x")
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        rule = "a positive number" + (f" or {axes}" if axes else "")
        raise InputError(f"resolution must be {rule}, got {resolution!r}")
    return [int(part) for part in parts]
