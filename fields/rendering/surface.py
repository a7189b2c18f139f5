"""A field of three coordinates as the triangle mesh of its zero level set."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fields.meshing import SLOPE, SUFFIXES, Surface, mesh_field, surface_memory, surface_shape
from fields.point_cloud import Frame
from fields.rendering import Order, whole_numbers
from overparam.errors import InputError


class SurfaceRendering:
    """Meshes: ply, obj or stl, in the coordinates of the file that the shape was read from."""

    suffixes = SUFFIXES
    corners = ("LOW_X", "LOW_Y", "LOW_Z", "HIGH_X", "HIGH_Y", "HIGH_Z")
    scaled_axes = 3

    def size(self, resolution: str, shape: list[int]) -> list[int]:
        """Return the samples along each axis.

        ``resolution`` is that of the longest axis (the others follow it), or all three.

        Raises:
            InputError: If it is neither, or a single sample.
        """
        asked = whole_numbers(resolution, "XxYxZ")
        if len(asked) not in (1, 3) or min(asked) < 2:
            raise InputError(
                f"resolution must be a number from 2 on, or XxYxZ of them, got {resolution!r}"
            )
        if len(asked) == 3:
            return asked
        spans = [[0.0, float(max(n, 2) - 1)] for n in shape]
        return surface_shape(asked[0], spans)

    def memory(self, order: Order) -> int:
        """Return the bytes of the grid and of the mesh."""
        return surface_memory(order.size)

    def write(self, field: nn.Module, out: Path, order: Order) -> str:
        """Mesh the zero level set and write it.

        Raises:
            InputError: If there is none.
        """
        surface = surface_of(
            field, order.signal, order.size, order.extent, chunk=order.chunk, device=order.device
        )
        surface.write(out)
        return f"{len(surface.vertices):,} vertices, {len(surface.faces):,} triangles"


def surface_of(
    field: nn.Module,
    signal: dict[str, Any],
    shape: list[int],
    extent: list[list[float]],
    *,
    slope: float | None = SLOPE,
    chunk: int | None = None,
    device: torch.device | str = "cpu",
) -> Surface:
    """Return the zero level set of a fitted shape in the coordinates of its file.

    Args:
        field: Map from the cube's points to signed distances.
        signal: Description of the shape, which holds its place in the world.
        shape: Samples along each axis.
        extent: First and last coordinate of each axis, in the cube.
        slope: As in :func:`fields.meshing.mesh_field`.
        chunk: Points at a time; None suits the device.
        device: Where to evaluate.

    Raises:
        InputError: If there is none.
    """
    found = mesh_field(field, shape, extent, slope=slope, chunk=chunk, device=device)
    frame = Frame(tuple(signal["centre"]), signal["scale"])
    return Surface(frame.outward(found.vertices), found.faces)


RENDERING = SurfaceRendering()
