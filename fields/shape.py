"""Shapes as signals: oriented points of a surface, and points of the space around it."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from fields.meshing import surface_shape
from fields.point_cloud import SPOT, Frame, PointCloud, read_cloud
from fields.samples import Batch, PointStream, SignalSamples

MARGIN = 0.1  # free room around the shape's box when it is meshed, as a part of the longest side
RESOLUTION = 128  # samples along the longest axis unless another number is asked for
SCORED = 10_000  # most points that a validation looks at
BASELINE_SAMPLES = 20_000  # their errors are far above what this resolves
VOTES = 8  # nearest points that say on which side a point lies


class ShapeWarning(UserWarning):
    """Something about a shape that a fit of it should know."""


class ShapeStream:
    """Batches of surface points and points off the surface, the same for the same epoch.

    A batch is ``(x, normals, off, distance)``. Points off the surface are drawn anew for every
    step and process, uniformly from [-1, 1] cubed or from a pool whose distances are known; their
    distance is zero where it is not known.

    Args:
        surface: Points and normals in batches.
        off: Points off the surface in a batch; None is as many as there are on it.
        pool: Points ``(m, 3)`` and their signed distances ``(m,)``, or None.
        seed: Seed of the drawing.
    """

    def __init__(
        self,
        surface: PointStream,
        *,
        off: int | None = None,
        pool: tuple[Tensor, Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.surface, self.off, self.pool, self.seed = surface, off, pool, seed

    def __len__(self) -> int:
        return len(self.surface)

    def __iter__(self) -> Iterator[Batch]:
        start = self.surface.epoch() * len(self)
        for step in range(start, start + len(self)):
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step counted from the start of training."""
        x, normals = self.surface.batch(step)
        key = np.random.SeedSequence([self.seed, step, self.surface.rank]).generate_state(2)
        generator = torch.Generator().manual_seed(int(key[0]) << 16 ^ int(key[1]))
        count = len(x) if self.off is None else self.off
        if self.pool is None:
            off = torch.rand(count, 3, generator=generator) * 2 - 1
            return x, normals, off, torch.zeros(count)
        points, distances = self.pool
        rows = torch.randint(len(points), (count,), generator=generator)
        return x, normals, points[rows], distances[rows]


class ShapeSamples(SignalSamples):
    """The points of a shape, its box's centre at 0 and its longest side ``2 * fill``.

    Args:
        path: File of oriented points (``.xyz .npz .npy .ply``) or mesh (``.obj .ply .stl .off``);
            None is the cow inside the package.
        points: Points to draw from a mesh (by default 50,000), or to keep of a cloud (all).
        normals: Whether to use normals; without them only the size of the distance is known.
        fill: Part of [-1, 1] that the longest side of the shape takes.
        guide: Points off the surface whose signed distance to the cloud is measured once, for
            ``ShapeFit``'s guide; 0 draws fresh points instead, whose distance is not known.
        off_size: Points off the surface per step and process; None is ``batch_size``.
        batch_size: Surface points per step and process; None takes all of them in each step.
        epoch_steps: Steps in what the trainer calls an epoch; None is one pass over the points.
        seed: Seed of every drawing.

    Attributes:
        cloud: The shape as it was read, in the units of its file.
        frame: How it was moved into the cube.
        normals_at: Unit normals ``(n, 3)``; zeros where there are none.

    Raises:
        ValueError: If a number makes no sense.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        points: int | None = None,
        normals: bool = True,
        fill: float = 0.9,
        guide: int = 0,
        off_size: int | None = None,
        batch_size: int | None = None,
        epoch_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, epoch_steps=epoch_steps, seed=seed)
        for name, size in (("points", points), ("off_size", off_size)):
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if not 0 < fill <= 1:
            raise ValueError(f"fill must be in (0, 1], got {fill}")
        if guide < 0:
            raise ValueError(f"guide must not be negative, got {guide}")
        if guide and not normals:
            raise ValueError(f"guide must be 0 without normals, which give the sign, got {guide}")
        self.path = path
        self.points = points
        self.normals = normals
        self.fill = fill
        self.guide = guide
        self.off_size = off_size
        self.cloud: PointCloud
        self.frame: Frame
        self.normals_at = torch.empty(0, 3)
        self.pool: tuple[Tensor, Tensor] | None = None

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Read the shape and move it into the cube; warn of what was converted.

        Returns:
            Points ``(n, 3)``; the field's value there, which is zero, ``(n, 1)``; the description.

        Raises:
            InputError: If the file cannot be used.
        """
        self.cloud = cloud = read_cloud(
            SPOT if self.path is None else self.path,
            points=self.points,
            normals=self.normals,
            seed=self.seed,
        )
        for note in cloud.notes:
            warnings.warn(note, ShapeWarning, stacklevel=2)
        self.frame = Frame.around(cloud.points, self.fill)
        places = self.frame.inward(cloud.points)
        x = torch.from_numpy(places).float()
        self.normals_at = torch.zeros_like(x)
        if cloud.normals is not None:
            self.normals_at = torch.from_numpy(cloud.normals).float()
            if self.guide:
                random = np.random.default_rng([self.seed, 1])
                around = random.random((self.guide, 3)) * 2 - 1
                distance = oriented_distance(places, cloud.normals, around)
                self.pool = torch.from_numpy(around).float(), torch.from_numpy(distance).float()
        room = 2 * self.fill * MARGIN
        extent = [[float(axis.min()) - room, float(axis.max()) + room] for axis in places.T]
        signal = {
            "kind": "shape",
            "name": cloud.name,
            "shape": surface_shape(RESOLUTION, extent),
            "channels": 1,
            "extent": extent,
            "points": len(x),
            "oriented": cloud.normals is not None,
            "guided": self.pool is not None,
            "centre": list(self.frame.centre),
            "scale": self.frame.scale,
        }
        return x, torch.zeros(len(x), 1), signal

    def setup(self, stage: str | None = None) -> None:
        """Read the shape, once.

        Raises:
            InputError: If it cannot be used.
        """
        super().setup(stage)
        # a zero and, with normals, a direction at each point
        self.scalars_fitted = len(self.x) * (4 if self.signal["oriented"] else 1)

    def training(self) -> Batch:
        """Return what a training batch holds rows of: points and normals."""
        return self.x, self.normals_at

    def scoring(self) -> Batch:
        """Return points and normals spread over the cloud, and as many points of the cube."""
        step = -(-len(self.x) // SCORED)
        x, normals = self.x[::step], self.normals_at[::step]
        generator = torch.Generator().manual_seed(self.seed)
        return x, normals, torch.rand(len(x), 3, generator=generator) * 2 - 1

    def baselines(self) -> dict[str, dict[str, float]]:
        """Score what costs nothing: the convex hull, and the ellipsoid of equal moments."""
        from fields.shape_scores import shape_scores, trivial_surfaces

        surfaces = trivial_surfaces(self.cloud.points)
        return {
            name: shape_scores(surface, self.cloud, samples=BASELINE_SAMPLES)
            for name, surface in surfaces.items()
        }

    def train_dataloader(self) -> ShapeStream:  # type: ignore[override]
        """Return this process's share of the points in batches, with points off the surface."""
        stream = super().train_dataloader()
        return ShapeStream(stream, off=self.off_size, pool=self.pool, seed=self.seed)


def oriented_distance(
    points: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    x: Float[np.ndarray, "m 3"],
) -> Float[np.ndarray, " m"]:
    """Return the signed distance from ``x`` to a cloud of oriented points.

    The size is the distance to the nearest point, or to its tangent plane where that point is no
    farther than the spacing of the cloud; the sign is that of the mean height over the tangent
    planes of the eight nearest points, so that both sides of an edge are heard.
    """
    tree = cKDTree(points)
    far, near = tree.query(x, k=min(VOTES, len(points)))
    height = ((x[:, None] - points[near]) * normals[near]).sum(-1)
    spacing = np.median(tree.query(points[:: -(-len(points) // 1000)], k=2)[0][:, 1])
    size = np.where(far[:, 0] > 4 * spacing, far[:, 0], np.abs(height[:, 0]))
    return np.where(height.mean(1) < 0, -size, size)
