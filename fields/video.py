"""Films as signals: pixels at their times and places."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fields.film import Film, read_film
from fields.image import with_channels
from fields.lattice import lattice, unit_extent
from fields.photograph import shrink
from fields.samples import SignalSamples
from fields.specimen import moving_shapes
from overparam.errors import InputError


class FilmWarning(UserWarning):
    """A film was converted on reading."""


class VideoSamples(SignalSamples):
    """The pixels of a film: coordinates (frame, row, column), values in [-1, 1].

    Args:
        path: Video file, folder of pictures, or ``.npy`` array; None is a short film of moving
            shapes made by formula.
        side: Pixels of the longer side, reached by averaging over areas; None keeps all.
        start: First frame.
        stride: Step between frames.
        frames: Most frames to take; None takes all.
        channels: 1 for grey, 3 for colour; None keeps the film's.
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
        side: int | None = None,
        start: int = 0,
        stride: int = 1,
        frames: int | None = None,
        channels: int | None = None,
        batch_size: int | None = None,
        epoch_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, epoch_steps=epoch_steps, seed=seed)
        if side is not None and side < 2:
            raise ValueError(f"side must be at least 2, got {side}")
        if start < 0:
            raise ValueError(f"start must not be negative, got {start}")
        for name, size in (("stride", stride), ("frames", frames)):
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1, 3 or null, got {channels}")
        self.path = path
        self.side = side
        self.start = start
        self.stride = stride
        self.frames = frames
        self.channels = channels

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Read, reduce and scale the film; warn of what was converted.

        Raises:
            InputError: If the source cannot be used.
        """
        film = self._shapes() if self.path is None else self._read(self.path)
        for note in film.notes:
            warnings.warn(note, FilmWarning, stacklevel=2)
        values = with_channels(film.values, self.channels)
        *shape, channels = values.shape
        name = "moving shapes" if self.path is None else Path(self.path).name
        if shape[0] * shape[1] * shape[2] < 2:
            raise InputError(f"film {name} must have at least 2 pixels at this side, got 1")
        extent = unit_extent(shape)
        signal = {
            "kind": "video",
            "name": name,
            "shape": shape,
            "channels": channels,
            "extent": extent,
            "rate": film.rate,
        }
        y = (values.reshape(-1, channels) * 2 - 1).contiguous()
        return lattice(shape, extent), y, signal

    def _read(self, path: str) -> Film:
        return read_film(
            path, side=self.side, start=self.start, stride=self.stride, frames=self.frames
        )

    def _shapes(self) -> Film:
        whole = moving_shapes()
        stop = None if self.frames is None else self.start + self.stride * self.frames
        taken = whole[self.start : stop : self.stride]
        if not len(taken):
            raise InputError(f"the moving shapes have no frame {self.start}: they are {len(whole)}")
        if self.side is not None:
            taken = torch.stack([shrink(frame, self.side) for frame in taken])
        return Film(taken, 12.0 / self.stride)
