"""Photographs as signals: pixels at their places in [-1, 1] squared."""

import warnings
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from fields.lattice import Extent, lattice
from fields.photograph import CAMERA, read_photograph, shrink
from fields.samples import SignalSamples
from overparam.errors import InputError


class PictureWarning(UserWarning):
    """A picture was converted on reading."""


def warn_of(notes: list[str]) -> None:
    """Warn of every conversion."""
    for note in notes:
        warnings.warn(note, PictureWarning, stacklevel=3)


def pixel_extent(rows: int, columns: int, *, aspect: bool = False) -> Extent:
    """Return the first and last coordinate of each axis.

    Args:
        rows: Pixels down.
        columns: Pixels across.
        aspect: Whether pixels are square, the longer axis spanning [-1, 1]; otherwise each axis
            spans it. An axis of one pixel sits at 0.
    """
    longest = max(rows, columns) - 1
    spans = [((n - 1) / longest if aspect else 1.0) if n > 1 else 0.0 for n in (rows, columns)]
    return [[-span, span] for span in spans]


def pixel_grid(rows: int, columns: int, extent: Extent) -> Float[Tensor, "n 2"]:
    """Return the pixels' coordinates in matrix order (row, column), both ends included."""
    return lattice((rows, columns), extent)


class ImageSamples(SignalSamples):
    """The pixels of a photograph: coordinates (row, column), values in [-1, 1].

    Args:
        path: Picture file; None is the photograph inside the package.
        side: Pixels of the longer side, reached by averaging over areas; None keeps all.
        channels: 1 for grey, 3 for colour; None keeps the file's.
        aspect: Whether pixels stay square; otherwise the picture is stretched to [-1, 1] squared.
        batch_size: Pixels per step and process; None takes all of them in each step.
        epoch_steps: Steps in what the trainer calls an epoch; None is one pass over the pixels.
        seed: Seed of the shuffling.

    Raises:
        ValueError: If a size makes no sense.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        side: int | None = 256,
        channels: int | None = None,
        aspect: bool = False,
        batch_size: int | None = None,
        epoch_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, epoch_steps=epoch_steps, seed=seed)
        if side is not None and side < 2:
            raise ValueError(f"side must be at least 2, got {side}")
        if channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1, 3 or null, got {channels}")
        self.path = path
        self.side = side
        self.channels = channels
        self.aspect = aspect

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Read, shrink and scale the picture; warn of what was converted.

        Raises:
            InputError: If the file cannot be used.
        """
        file = CAMERA if self.path is None else self.path
        values = self.picture(file)
        rows, columns, channels = values.shape
        extent = pixel_extent(rows, columns, aspect=self.aspect)
        signal = {
            "kind": "image",
            "name": Path(file).name,
            "shape": [rows, columns],
            "channels": channels,
            "extent": extent,
        }
        y = (values.reshape(-1, channels) * 2 - 1).contiguous()
        return pixel_grid(rows, columns, extent), y, signal

    def picture(self, file: str | Path) -> Float[Tensor, "rows columns channels"]:
        """Read a picture as asked for; warn of what was converted.

        Raises:
            InputError: If the file cannot be used.
        """
        values, notes = read_photograph(file)
        if self.side is not None:
            if max(values.shape[:2]) < self.side:
                notes.append(f"picture {file}: smaller than side = {self.side}, kept as it is")
            values = shrink(values, self.side)
        warn_of(notes)
        if values.shape[0] * values.shape[1] < 2:
            raise InputError(f"picture {file} must have at least 2 pixels at this side, got 1")
        return with_channels(values, self.channels)


def with_channels(
    values: Float[Tensor, "*size c"], channels: int | None
) -> Float[Tensor, "*size channels"]:
    """Turn colour into grey or grey into colour; None leaves the channels as they are."""
    if channels == 1 and values.shape[-1] == 3:
        # Rec. 601 luma, the weights by which Pillow turns colour into grey
        return (values @ values.new_tensor([0.299, 0.587, 0.114]))[..., None]
    if channels == 3 and values.shape[-1] == 1:
        return values.expand(*values.shape[:-1], 3)
    return values
