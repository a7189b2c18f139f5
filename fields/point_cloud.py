"""Clouds of oriented points: read from files of points, or sampled from meshes."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from fields.meshing import Surface
from overparam.errors import InputError

SPOT = Path(__file__).parent / "shapes" / "spot.ply"
FEWEST = 100  # points that say anything about a surface
SAMPLED = 50_000  # points drawn from a mesh unless another number is asked for
TABLES = (".xyz", ".txt", ".pts", ".npy", ".npz")
MESHES = (".ply", ".obj", ".stl", ".off")
THINNEST = 1e-6  # shortest side of a usable box, as a part of the longest

Points = Float[np.ndarray, "n 3"]


@dataclass(frozen=True)
class PointCloud:
    """Points of a surface and its outward unit normals there.

    Attributes:
        name: Name of the file.
        points: Points, in the units of the file.
        normals: Unit normals; None if there are none.
        surface: Mesh that the points were drawn from; None if there is none.
        notes: One sentence for every doubt and every conversion.
    """

    name: str
    points: Points
    normals: Points | None
    surface: Surface | None = None
    notes: tuple[str, ...] = ()

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner of the circumscribed box."""
        return self.points.min(0), self.points.max(0)

    @property
    def diagonal(self) -> float:
        """Length of the box's diagonal."""
        low, high = self.box
        return float(np.linalg.norm(high - low))


@dataclass(frozen=True)
class Frame:
    """A similarity between the world of a shape and the cube [-1, 1] cubed.

    Attributes:
        centre: World point that goes to 0.
        scale: World length that goes to 1.
    """

    centre: tuple[float, float, float]
    scale: float

    @classmethod
    def around(cls, points: Points, fill: float) -> "Frame":
        """Centre the box of ``points`` and give its longest side the part ``fill`` of the cube."""
        low, high = points.min(0), points.max(0)
        x, y, z = ((low + high) / 2).tolist()
        return cls((x, y, z), float((high - low).max()) / (2 * fill))

    def inward(self, points: Points) -> Points:
        """Return world points as points of the cube."""
        return (points - np.asarray(self.centre)) / self.scale

    def outward(self, points: Points) -> Points:
        """Return points of the cube as world points."""
        return points * self.scale + np.asarray(self.centre)


def read_cloud(
    path: str | Path, *, points: int | None = None, normals: bool = True, seed: int = 0
) -> PointCloud:
    """Read oriented points, or draw them from a mesh uniformly by area.

    Tables have a point in each row, ``x y z nx ny nz`` (``.xyz .txt .pts .npy``); ``.npz`` has
    arrays ``points`` and ``normals``. ``.ply`` may hold either, ``.obj .stl .off`` hold meshes,
    whose normals are those of the triangles.

    Args:
        path: The file.
        points: Points to draw from a mesh (by default 50,000), or to keep of a table (all).
        normals: Whether normals are wanted; a table may then do without them.
        seed: Seed of the drawing.

    Raises:
        InputError: If the file cannot be used.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if not file.is_file():
        raise InputError(f"shape must be an existing file, got {file}")
    if file.stat().st_size == 0:
        raise InputError(f"shape {file} is empty")
    if suffix not in TABLES + MESHES:
        known = " ".join(TABLES + MESHES)
        raise InputError(f"shape {file} must be a file of points or triangles ({known})")
    if suffix in MESHES and not _is_bare_ply(file):
        return _from_mesh(file, points or SAMPLED, normals, seed)
    try:
        place, normal = _split(_table(file), normals)
    except InputError as error:
        raise InputError(f"shape {file} {error}") from None
    except Exception as error:  # readers of corrupt files raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"shape {file} cannot be read: {reason}") from None
    cloud = _cleaned(PointCloud(file.name, place, normal))
    if points is not None and points < len(cloud.points):
        kept = np.sort(np.random.default_rng(seed).permutation(len(cloud.points))[:points])
        oriented = None if cloud.normals is None else cloud.normals[kept]
        cloud = replace(cloud, points=cloud.points[kept], normals=oriented)
    return checked(cloud)


def checked(cloud: PointCloud) -> PointCloud:
    """Refuse a cloud that says too little about a surface.

    Raises:
        InputError: If there are fewer than 100 points, or their box is flat.
    """
    if len(cloud.points) < FEWEST:
        raise InputError(
            f"shape {cloud.name} must have at least {FEWEST} usable points, got {len(cloud.points)}"
        )
    low, high = cloud.box
    sides = high - low
    if not sides.min() > THINNEST * sides.max():
        told = " x ".join(f"{side:.3g}" for side in sides)
        raise InputError(f"shape {cloud.name} must extend along all three axes, got {told}")
    return cloud


def _from_mesh(file: Path, points: int, normals: bool, seed: int) -> PointCloud:
    from fields.domains import Mesh

    mesh = Mesh.from_file(file)
    surface = Surface(mesh.vertices.numpy(), mesh.faces.numpy())
    place, normal = surface.sample(points, seed)
    notes = tuple(f"{file.name}: {warning}" for warning in mesh.warnings)
    return checked(PointCloud(file.name, place, normal if normals else None, surface, notes))


def _is_bare_ply(file: Path) -> bool:
    """Whether a file is a ``.ply`` of points, without triangles."""
    if file.suffix.lower() != ".ply":
        return False
    with file.open("rb") as opened:
        head = opened.read(2**16).split(b"end_header")[0]
    count = re.search(rb"element\s+face\s+(\d+)", head)
    return head.startswith(b"ply") and (count is None or int(count[1]) == 0)


def _table(file: Path) -> np.ndarray:
    """Return the numbers of a file of points, one row each."""
    suffix = file.suffix.lower()
    if suffix == ".ply":
        import trimesh

        loaded: Any = trimesh.load(file)
        data = loaded.metadata["_ply_raw"]["vertex"]["data"]
        names = [n for n in ("x", "y", "z", "nx", "ny", "nz") if n in _names(data)]
        return np.stack([np.asarray(data[n], float).ravel() for n in names], axis=1)
    if suffix in (".npy", ".npz"):
        read = np.load(file, allow_pickle=False)
        if isinstance(read, np.ndarray):
            return read.astype(float)
        with read:
            if "points" not in read:
                raise InputError(f"must hold an array points, got {', '.join(read) or 'none'}")
            held = [read[name].astype(float) for name in ("points", "normals") if name in read]
        return np.concatenate(held, axis=1)
    return np.loadtxt(file, ndmin=2)


def _names(data: Any) -> list[str]:
    return list(data) if isinstance(data, dict) else list(data.dtype.names or ())


def _split(table: np.ndarray, normals: bool) -> tuple[Points, Points | None]:
    """Take points and normals out of a table."""
    if table.ndim != 2 or table.shape[1] < 3:
        raise InputError(f"must have 3 or 6 columns, got an array of shape {table.shape}")
    columns = table.shape[1]
    bad = ~np.isfinite(table[:, : 6 if normals else 3]).all(axis=1)
    if bad.any():
        raise InputError(
            f"must be finite, got NaN or infinity in {bad.sum()} rows, first in row "
            f"{int(bad.argmax()) + 1}"
        )
    if not normals:
        return table[:, :3].copy(), None
    if columns < 6:
        raise InputError(
            f"must have 6 columns x y z nx ny nz, got {columns}: without normals add "
            "--data.init_args.normals false"
        )
    return table[:, :3].copy(), table[:, 3:6].copy()


def _cleaned(cloud: PointCloud) -> PointCloud:
    """Drop repeated points and zero normals, make normals unit, and say so."""
    notes, points, normals = [], cloud.points, cloud.normals
    _, first = np.unique(points, axis=0, return_index=True)
    if len(first) < len(points):
        notes.append(f"{len(points) - len(first)} repeated points left out")
        first.sort()
        points, normals = points[first], None if normals is None else normals[first]
    if normals is not None:
        length = np.linalg.norm(normals, axis=1)
        some = length > 1e-12
        if not some.all():
            notes.append(f"{(~some).sum()} points with a zero normal left out")
            points, normals, length = points[some], normals[some], length[some]
        if len(length) and np.abs(length - 1).max() > 1e-3:
            low, high = length.min(), length.max()
            notes.append(f"normals of length {low:.3g} to {high:.3g} made unit")
        normals = normals / length[:, None]
        # the divergence theorem, up to the area of a point: outward normals span a volume
        if len(points) and ((points - points.mean(0)) * normals).sum() < 0:
            notes.append("normals seem to point inward: the field will be negative outside")
    return replace(
        cloud,
        points=points,
        normals=normals,
        notes=tuple(f"{cloud.name}: {note}" for note in notes),
    )
