"""Marching cubes over a field, evaluated only where its zero level set can pass.

A field whose slope is at most L keeps its sign in a block of half-diagonal r around a point where
its size exceeds L r. Blocks that pass this test are filled with the value at their centre; the
mesh is the one of the full grid, at a cost that grows with the surface instead of the volume.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from fields.chunk import chunk_size
from fields.lattice import Extent, lattice
from overparam.errors import InputError

SUFFIXES = (".ply", ".obj", ".stl")
BLOCK = 8  # cells an axis: smaller ones cost centres, larger ones cost corners
SLOPE = 1.5  # default bound on the slope: a fitted distance has 1 but for its errors
# The grid, which of it is known, and three comparisons of one axis with its neighbour.
BYTES_PER_POINT = 8

Field = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Surface:
    """A triangle mesh; seen from outside its triangles run anticlockwise.

    Attributes:
        vertices: Corners.
        faces: Rows of three vertex numbers.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Integer[np.ndarray, "m 3"]

    @property
    def volume(self) -> float:
        """Volume inside, by the divergence theorem; negative if the mesh is inside out."""
        a, b, c = np.moveaxis(self.vertices[self.faces].astype(np.float64), 1, 0)
        return float((a * np.cross(b, c)).sum() / 6)

    @property
    def area(self) -> float:
        """Area of all triangles."""
        return float(np.linalg.norm(self._crossed(), axis=1).sum() / 2)

    @property
    def is_closed(self) -> bool:
        """Whether every edge belongs to two triangles that agree on the orientation."""
        count = len(self.vertices)
        start, end = self.faces.astype(np.int64), np.roll(self.faces, -1, axis=1).astype(np.int64)
        there, back = (start * count + end).ravel(), (end * count + start).ravel()
        there.sort()
        back.sort()
        return bool((there == back).all() and (there[1:] != there[:-1]).all())

    def sample(
        self, n: int, seed: int = 0
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """Return points uniform by area, and the unit normals of their triangles."""
        random = np.random.default_rng(seed)
        crossed = self._crossed()
        areas = np.linalg.norm(crossed, axis=1)
        edges = areas.cumsum()
        chosen = np.searchsorted(edges, random.random(n) * edges[-1], side="right")
        chosen = np.minimum(chosen, len(areas) - 1)
        u, v = random.random((2, n, 1))
        root = np.sqrt(u)
        a, b, c = np.moveaxis(self.vertices[self.faces[chosen]].astype(np.float64), 1, 0)
        points = (1 - root) * a + root * (1 - v) * b + root * v * c
        return points, crossed[chosen] / areas[chosen, None]

    def _crossed(self) -> np.ndarray:
        """Normals of the triangles, twice their area long."""
        a, b, c = np.moveaxis(self.vertices[self.faces].astype(np.float64), 1, 0)
        return np.cross(b - a, c - a)

    def write(self, path: str | Path) -> None:
        """Write ``.ply``, ``.obj`` or ``.stl``, as the suffix says.

        Raises:
            InputError: If the suffix is another.
        """
        file = Path(path)
        if file.suffix.lower() not in SUFFIXES:
            raise InputError(f"a mesh must be written as {' '.join(SUFFIXES)}, got {file.name}")
        import trimesh

        trimesh.Trimesh(self.vertices, self.faces, process=False).export(file)


def mesh_field(
    field: Field,
    shape: list[int],
    extent: Extent,
    *,
    slope: float | None = SLOPE,
    chunk: int | None = None,
    device: torch.device | str = "cpu",
) -> Surface:
    """Return the zero level set of a field inside a box, in the field's coordinates.

    Args:
        field: Map from points ``(n, 3)`` to values ``(n, 1)``, negative inside.
        shape: Samples along each axis, at least 2 each.
        extent: First and last coordinate of each axis.
        slope: Bound on the size of the field's gradient; blocks of the grid that cannot hold the
            surface then are skipped. 1 is enough for an exact distance. Where the bound fails the
            surface is still followed from block to block, and only a piece of it that lies inside
            one skipped block can be missed. None evaluates the whole grid.
        chunk: Points at a time; None suits the device.
        device: Where to evaluate.

    Raises:
        ValueError: If a size or the slope makes no sense.
        InputError: If the field has no zero level set there.
    """
    from skimage.measure import marching_cubes

    values = grid_values(field, shape, extent, slope=slope, chunk=chunk, device=device)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"the field must be finite in {_told(extent)}, got {low:g} to {high:g}")
    if low >= 0 or high <= 0:
        raise InputError(
            f"the field has no zero level set in {_told(extent)}: its values go from {low:.3g} to "
            f"{high:.3g}; train longer, or render another --region"
        )
    vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
    starts = np.array([axis[0] for axis in extent])
    return Surface(starts + vertices.astype(np.float64) * _spacing(shape, extent), faces)


def grid_values(
    field: Field,
    shape: list[int],
    extent: Extent,
    *,
    slope: float | None = SLOPE,
    chunk: int | None = None,
    device: torch.device | str = "cpu",
) -> Float[np.ndarray, "x y z"]:
    """Evaluate a field on a grid; exactly near its zero level set, elsewhere right in sign.

    Arguments are those of :func:`mesh_field`.
    """
    if len(shape) != 3 or min(shape) < 2:
        raise ValueError(f"shape must be three axes of at least 2 samples, got {shape}")
    if slope is not None and not slope > 0:
        raise ValueError(f"slope must be positive, got {slope}")
    place = torch.device(device)
    size = chunk_size(chunk, place)
    axes = [
        torch.linspace(low, high, n).numpy() for n, (low, high) in zip(shape, extent, strict=True)
    ]

    @torch.no_grad()
    def evaluate(points: Tensor) -> np.ndarray:
        parts = [field(part.to(place))[:, 0].float().cpu() for part in points.split(size)]
        return torch.cat(parts).numpy()

    def fill(values: np.ndarray, wanted: np.ndarray) -> None:
        for i, layer in enumerate(wanted):  # a layer at a time: indices take 16 bytes a point
            rows, columns = np.nonzero(layer)
            if len(rows):
                points = np.empty((len(rows), 3), dtype=np.float32)
                points[:, 0] = axes[0][i]
                points[:, 1], points[:, 2] = axes[1][rows], axes[2][columns]
                values[i, rows, columns] = evaluate(torch.from_numpy(points))

    blocks = [-(-(n - 1) // BLOCK) for n in shape]
    of = [np.minimum(np.arange(n) // BLOCK, b - 1) for n, b in zip(shape, blocks, strict=True)]
    if slope is None:
        values = np.empty(shape, dtype=np.float32)
        fill(values, np.broadcast_to(np.ones((), bool), shape))
        return values
    step = _spacing(shape, extent) * BLOCK
    firsts = [low + gap / 2 for (low, _), gap in zip(extent, step, strict=True)]
    middles = [
        [first, first + gap * (b - 1)] for first, gap, b in zip(firsts, step, blocks, strict=True)
    ]
    centre = evaluate(lattice(blocks, middles)).reshape(blocks)
    # a centre that is not finite settles nothing
    active = ~(np.abs(centre) > slope * np.linalg.norm(step) / 2)
    values = centre[np.ix_(*of)]
    known = np.zeros(shape, dtype=bool)
    while True:
        wanted = _corners(active, shape)
        wanted &= ~known
        fill(values, wanted)
        known |= wanted
        del wanted
        added = _crossed_borders(values, known, of, active)
        if not added.any():
            return values
        active |= added


def surface_shape(resolution: int, extent: Extent) -> list[int]:
    """Return the samples along each axis when the longest has ``resolution``, cells near cubic."""
    spans = [high - low for low, high in extent]
    return [max(2, round((resolution - 1) * span / max(spans)) + 1) for span in spans]


def surface_memory(shape: list[int]) -> int:
    """Return the bytes that meshing takes at most, the mesh included."""
    points = int(np.prod([int(n) for n in shape]))
    # a closed surface crosses a few cells in each column; 60 bytes for vertex and triangles
    return points * BYTES_PER_POINT + 60 * 12 * max(shape) ** 2


def _corners(active: Bool[np.ndarray, "a b c"], shape: list[int]) -> Bool[np.ndarray, "x y z"]:
    """Mark the grid points of all active blocks, their far sides included."""
    for axis, n in enumerate(shape):
        blocks = active.shape[axis]
        own = np.minimum(np.arange(n) // BLOCK, blocks - 1)
        before = np.maximum(np.arange(n) - 1, 0) // BLOCK
        active = active.take(own, axis) | active.take(before, axis)
    return active


def _crossed_borders(
    values: Float[np.ndarray, "x y z"],
    known: Bool[np.ndarray, "x y z"],
    of: list[np.ndarray],
    active: Bool[np.ndarray, "a b c"],
) -> Bool[np.ndarray, "a b c"]:
    """Find skipped blocks that disagree in sign with a neighbour."""
    added = np.zeros_like(active)
    for axis in range(3):
        first, last = ([slice(None)] * 3 for _ in range(2))
        first[axis], last[axis] = slice(None, -1), slice(1, None)
        here, there = tuple(first), tuple(last)
        crossing = (values[here] < 0) != (values[there] < 0)
        crossing &= ~(known[here] & known[there])
        found = np.argwhere(crossing)
        for shift in (0, 1):
            place = found.copy()
            place[:, axis] += shift
            added[tuple(of[k][place[:, k]] for k in range(3))] = True
    return added & ~active


def _spacing(shape: list[int], extent: Extent) -> np.ndarray:
    return np.array([(high - low) / (n - 1) for n, (low, high) in zip(shape, extent, strict=True)])


def _told(extent: Extent) -> str:
    return "the box " + " x ".join(f"[{low:g}, {high:g}]" for low, high in extent)
