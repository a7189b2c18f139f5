"""A field of time and two coordinates as a film."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fields.film import write_film
from fields.rendering import Order, whole_numbers
from fields.rendering.picture import picture_size, render_image
from overparam.errors import InputError

AXES = "ROWSxCOLUMNS or FRAMESxROWSxCOLUMNS"


def render_frames(field: nn.Module, order: Order) -> Iterator[np.ndarray]:
    """Yield the frames as bytes ``(rows, columns, channels)``, one in memory at a time."""
    frames, rows, columns = order.size
    (first, last), *plane = order.extent
    for time in torch.linspace(first, last, frames).tolist():
        yield render_image(
            field, rows, columns, plane, time=time, chunk=order.chunk, device=order.device
        ).numpy()


class FilmRendering:
    """Films: mp4. More frames over the same stretch are a higher rate, so that speed stays."""

    suffixes = (".mp4",)
    corners = ("FIRST", "TOP", "LEFT", "LAST", "BOTTOM", "RIGHT")
    scaled_axes = 2

    def size(self, resolution: str, shape: list[int]) -> list[int]:
        """Return frames, rows and columns.

        ``resolution`` is the longer side (proportions and frames stay), rows and columns, or all
        three.

        Raises:
            InputError: If it is none of these.
        """
        asked = whole_numbers(resolution, AXES)
        if len(asked) > 3:
            raise InputError(f"resolution must be a positive number, {AXES}, got {resolution!r}")
        if len(asked) == 3:
            return asked
        return [shape[0], *picture_size(resolution, shape[1:])]

    def memory(self, order: Order) -> int:
        """Return the bytes of the frames that the encoder looks ahead, 60 at most."""
        frames, rows, columns = order.size
        return 3 * rows * columns * min(frames, 60)

    def write(self, field: nn.Module, out: Path, order: Order) -> str:
        """Draw the frames one by one and write the film."""
        frames, rows, columns = order.size
        (first, last), (own_first, own_last) = order.extent[0], order.signal["extent"][0]
        rate = float(order.signal["rate"])
        if frames > 1 and last > first and own_last > own_first:
            own = (own_last - own_first) / (order.signal["shape"][0] - 1)
            rate *= own * (frames - 1) / (last - first)
        write_film(render_frames(field, order), rate, out)
        return f"{frames} frames of {rows}x{columns}, {rate:g} a second"


RENDERING = FilmRendering()
