"""How near a surface is to a shape: Chamfer distances, F-score, normals, overlap of volumes."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull, cKDTree

from fields.meshing import Surface, mesh_field
from fields.point_cloud import PointCloud

SAMPLES = 100_000
OVERLAP_POINTS = 20_000
NEAR = 1.0  # per cent of the diagonal: reach of the F-score

Points = Float[np.ndarray, "n 3"]


def cloud_scores(
    points: Points,
    normals: Points | None,
    others: Float[np.ndarray, "m 3"],
    other_normals: Float[np.ndarray, "m 3"] | None,
    unit: float,
) -> dict[str, float]:
    """Compare two samples of surfaces, each with the nearest points of the other.

    Args:
        points: Points of the surface that is judged.
        normals: Unit normals there, or None.
        others: Points of the reference.
        other_normals: Unit normals there, or None.
        unit: Length that counts as 100 per cent.

    Returns:
        In per cent of ``unit``: ``accuracy``, the mean distance from the surface to the reference;
        ``completeness``, the mean distance back; ``chamfer_l1``, their mean; ``chamfer_l2``, the
        root of the mean of both mean squares; ``hausdorff``, the largest distance either way.
        Besides ``f_score``, the harmonic mean of the parts of either sample within 1 per cent of
        the other, and with normals ``normal_consistency``, the mean size of the cosine between a
        point's normal and its nearest point's, both ways.
    """
    there, theirs = cKDTree(others).query(points)
    back, ours = cKDTree(points).query(others)
    there, back = 100 / unit * there, 100 / unit * back
    precision, recall = (there <= NEAR).mean(), (back <= NEAR).mean()
    scores = {
        "chamfer_l1": (there.mean() + back.mean()) / 2,
        "chamfer_l2": np.sqrt(((there**2).mean() + (back**2).mean()) / 2),
        "accuracy": there.mean(),
        "completeness": back.mean(),
        "hausdorff": max(there.max(), back.max()),
        "f_score": 2 * precision * recall / max(precision + recall, 1e-300),
    }
    if normals is not None and other_normals is not None:
        cosines = (
            np.abs((normals * other_normals[theirs]).sum(1)).mean(),
            np.abs((other_normals * normals[ours]).sum(1)).mean(),
        )
        scores["normal_consistency"] = sum(cosines) / 2
    return {name: float(value) for name, value in scores.items()}


def shape_scores(
    surface: Surface, cloud: PointCloud, *, samples: int = SAMPLES, seed: int = 0
) -> dict[str, float]:
    """Score a surface against the shape that a cloud was taken from.

    The reference is the cloud itself or, where it was drawn from a mesh, fresh points of the mesh.
    Two samples of one surface are a distance apart too, about half the spacing of their points:
    what a perfect surface would score is in ``floor``.

    Args:
        surface: What is judged, in the units of the cloud.
        cloud: The shape.
        samples: Points drawn from each mesh.
        seed: Seed of the drawing.

    Returns:
        The scores of :func:`cloud_scores` in per cent of the diagonal of the cloud's box;
        ``floor``, the ``chamfer_l1`` of a second sample of the reference or, for a bare cloud,
        between its halves; ``iou``, the overlap of the volumes by 20,000 random points, if both
        meshes are closed; ``samples`` and ``reference_samples``.
    """
    points, normals = surface.sample(samples, seed)
    others, other_normals = cloud.points, cloud.normals
    if cloud.surface is not None:
        others, other_normals = cloud.surface.sample(samples, seed + 1)
        second = cloud.surface.sample(samples, seed + 2)[0]
        first = others
    else:
        order = np.random.default_rng(seed).permutation(len(others))
        first, second = np.array_split(others[order], 2)
    scores = cloud_scores(points, normals, others, other_normals, cloud.diagonal)
    scores["floor"] = cloud_scores(second, None, first, None, cloud.diagonal)["chamfer_l1"]
    if cloud.surface is not None and surface.is_closed and cloud.surface.is_closed:
        scores["iou"] = overlap(surface, cloud.surface, seed=seed)
    return scores | {"samples": len(points), "reference_samples": len(others)}


def overlap(one: Surface, other: Surface, *, points: int = OVERLAP_POINTS, seed: int = 0) -> float:
    """Return the volume inside both closed meshes over that inside either, by random points."""
    corners = np.concatenate([one.vertices, other.vertices]).astype(np.float64)
    low, high = corners.min(0), corners.max(0)
    x = low + np.random.default_rng(seed).random((points, 3)) * (high - low)
    first, second = inside(one, x), inside(other, x)
    either = (first | second).sum()
    return float((first & second).sum() / either) if either else 1.0


def inside(surface: Surface, points: Points) -> Bool[np.ndarray, " n"]:
    """Tell which points a closed mesh holds: those with an odd number of triangles above.

    Triangles are sorted into the cells of a grid in x and y that they may lie over. Points exactly
    over an edge are not treated: ask about random ones.
    """
    corners = surface.vertices[surface.faces].astype(np.float64)
    low, high = (getattr(corners[..., :2], end)(axis=(0, 1)) for end in ("min", "max"))
    cells = int(np.clip(np.sqrt(len(corners)) / 2, 1, 1024))
    width = np.where(high > low, high - low, 1.0) / cells
    first, last = (
        ((getattr(corners[..., :2], end)(axis=1) - low) / width).astype(int).clip(0, cells - 1)
        for end in ("min", "max")
    )
    across, down = (last - first + 1).T
    triangle = np.repeat(np.arange(len(corners)), across * down)
    place = np.arange(len(triangle)) - np.repeat(
        (across * down).cumsum() - across * down, across * down
    )
    x, y = (
        first[triangle, 0] + place % across[triangle],
        first[triangle, 1] + place // across[triangle],
    )
    order = np.argsort(x * cells + y, kind="stable")
    triangle = triangle[order]
    starts = np.searchsorted((x * cells + y)[order], np.arange(cells**2 + 1))
    mine = ((points[:, :2] - low) / width).astype(int).clip(0, cells - 1) @ (cells, 1)
    count = starts[mine + 1] - starts[mine]
    which = np.repeat(np.arange(len(points)), count)
    step = np.arange(len(which)) - np.repeat(count.cumsum() - count, count)
    a, b, c = np.moveaxis(corners[triangle[np.repeat(starts[mine], count) + step]], 1, 0)
    p = points[which]
    wa, wb, wc = (_turn(b, c, p), _turn(c, a, p), _turn(a, b, p))
    hit = ((wa > 0) & (wb > 0) & (wc > 0)) | ((wa < 0) & (wb < 0) & (wc < 0))
    total = np.where(hit, wa + wb + wc, 1.0)
    above = hit & ((wa * a[:, 2] + wb * b[:, 2] + wc * c[:, 2]) / total > p[:, 2])
    return np.bincount(which[above], minlength=len(points)) % 2 == 1


def _turn(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Twice the signed area of the triangle a, b, p seen along the third axis."""
    return (b[:, 0] - a[:, 0]) * (p[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (p[:, 0] - a[:, 0])


def trivial_surfaces(points: Points, detail: int = 64) -> dict[str, Surface]:
    """Return what costs nothing to fit: the convex hull and the ellipsoid of equal moments.

    Args:
        points: Points of the shape's surface.
        detail: Samples along the longest axis of the ellipsoid's grid.
    """
    hull = ConvexHull(points)
    corners = points[hull.simplices]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    turned = (outward * hull.equations[:, :3]).sum(1) < 0
    faces = hull.simplices.copy()
    faces[turned] = faces[turned][:, ::-1]
    used, numbers = np.unique(faces, return_inverse=True)
    centre = points.mean(0)
    spread, axes = np.linalg.eigh(np.cov(points.T))
    # points spread evenly over directions of an ellipsoid have a third of each squared half-axis
    axes[:, 0] *= np.linalg.det(axes)  # a rotation: no triangle is turned over
    radii = np.sqrt(3 * np.maximum(spread, 1e-12 * spread.max()))
    ball = mesh_field(
        lambda x: x.norm(dim=-1, keepdim=True) - 1, [detail] * 3, [[-1.1, 1.1]] * 3, slope=1.0
    )
    return {
        "convex hull": Surface(points[used], numbers.reshape(faces.shape)),
        "ellipsoid": replace(ball, vertices=centre + ball.vertices * radii @ axes.T),
    }
