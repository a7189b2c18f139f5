"""A field of two coordinates as a picture."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from fields.chunk import chunk_size
from fields.lattice import Extent
from fields.photograph import quantise
from fields.rendering import Order, whole_numbers
from overparam.errors import InputError


@torch.no_grad()
def render_image(
    field: nn.Module,
    rows: int,
    columns: int,
    extent: Extent,
    *,
    time: float | None = None,
    chunk: int | None = None,
    device: torch.device | str = "cpu",
) -> UInt8[Tensor, "rows columns channels"]:
    """Evaluate ``field`` on a grid of pixels and round to 8 bits.

    Whole rows go through the field a few at a time and are kept as bytes, so that memory is that
    of the finished picture and of one chunk.

    Args:
        field: Map from (row, column) coordinates to values in [-1, 1].
        rows: Pixels down.
        columns: Pixels across.
        extent: First and last coordinate of each axis.
        time: Coordinate put in front of the two, for a frame of a film.
        chunk: Points at a time; None suits the device.
        device: Where to evaluate.
    """
    place = torch.device(device)
    size = chunk_size(chunk, place)
    (top, bottom), (left, right) = extent
    down, across = torch.linspace(top, bottom, rows), torch.linspace(left, right, columns)
    axes = [] if time is None else [torch.tensor([time])]
    out: Tensor | None = None
    step = max(1, size // columns)
    for start in range(0, rows, step):
        lines = torch.cartesian_prod(*axes, down[start : start + step], across)
        values = torch.cat([field(part.to(place)).cpu() for part in lines.split(size)])
        if out is None:
            out = torch.empty(rows, columns, values.shape[-1], dtype=torch.uint8)
        out[start : start + step] = quantise((values + 1) / 2).view(-1, columns, out.shape[-1])
    assert out is not None
    return out


def picture_size(resolution: str, shape: list[int]) -> tuple[int, int]:
    """Return rows and columns for ``"1024"`` (longer side, proportions kept) or ``"600x800"``.

    Raises:
        InputError: If it is neither, or below one pixel.
    """
    asked = whole_numbers(resolution, "ROWSxCOLUMNS")
    if len(asked) > 2:
        raise InputError(
            f"resolution must be a positive number or ROWSxCOLUMNS, got {resolution!r}"
        )
    if len(asked) == 2:
        return asked[0], asked[1]
    rows, columns = shape
    scale = asked[0] / max(rows, columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


class PictureRendering:
    """Pictures: png."""

    suffixes = (".png",)
    corners = ("TOP", "LEFT", "BOTTOM", "RIGHT")
    scaled_axes = 2

    def size(self, resolution: str, shape: list[int]) -> list[int]:
        """Return rows and columns; ``resolution`` is the longer side or ROWSxCOLUMNS."""
        return list(picture_size(resolution, shape))

    def memory(self, order: Order) -> int:
        """Return the bytes of the picture and of their copy inside the PNG writer."""
        rows, columns = order.size
        return 2 * rows * columns * int(order.signal["channels"])

    def write(self, field: nn.Module, out: Path, order: Order) -> str:
        """Draw the field and write the picture."""
        rows, columns = order.size
        picture = render_image(
            field, rows, columns, order.extent, chunk=order.chunk, device=order.device
        ).numpy()
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(out)
        return f"{rows}x{columns}"


RENDERING = PictureRendering()
