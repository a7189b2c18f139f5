"""What a fit of a shape leaves for a person: its mesh, pictures of it, slices, errors, scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from jaxtyping import Float, UInt8
from pytorch_lightning.callbacks import Callback
from scipy.spatial import cKDTree

from fields.lattice import lattice
from fields.meshing import Surface, surface_shape
from fields.point_cloud import PointCloud
from fields.rendering.surface import surface_of
from fields.shape import RESOLUTION, ShapeSamples
from fields.shape_fit import ShapeFit
from fields.shape_scores import SAMPLES, shape_scores
from overparam.errors import InputError

SIDE = 640  # pixels of a drawn mesh
SLICE = 240  # samples along an axis of a slice


class ShapePictures(Callback):
    """Write ``mesh.ply``, ``shape.png``, ``slices.png`` and ``errors.png`` when a fit ends.

    The scores of the mesh go to ``report.json`` as ``shape``. A field without a zero level set
    leaves its slices alone, and the report says why. Fits of other signals are left alone.

    Args:
        resolution: Samples along the longest axis of the mesh's grid.
        samples: Points drawn from the mesh to score it.
        folder: Where to write; None is the run's own folder.

    Raises:
        ValueError: If a number makes no sense.
    """

    def __init__(
        self, resolution: int = RESOLUTION, samples: int = SAMPLES, folder: str | None = None
    ) -> None:
        for name, size in (("resolution", resolution), ("samples", samples)):
            if size < 2:
                raise ValueError(f"{name} must be at least 2, got {size}")
        self.resolution = resolution
        self.samples = samples
        self.folder = folder

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the files, on the first process."""
        data = getattr(trainer, "datamodule", None)
        if not (isinstance(pl_module, ShapeFit) and isinstance(data, ShapeSamples)):
            return
        # asked of every process, because Lightning's answer is broadcast
        folder = Path(self.folder or trainer.log_dir or trainer.default_root_dir)
        if not trainer.is_global_zero:
            return
        folder.mkdir(parents=True, exist_ok=True)
        draw_shape(pl_module, data, folder, resolution=self.resolution, samples=self.samples)


def draw_shape(
    module: ShapeFit,
    data: ShapeSamples,
    folder: str | Path,
    *,
    resolution: int = RESOLUTION,
    samples: int = SAMPLES,
) -> list[Path]:
    """Mesh a fitted shape, score and draw it; the scores are left in ``module.shape_scores``.

    Args:
        module: The fit.
        data: The shape it was fitted to.
        folder: Existing folder.
        resolution: Samples along the longest axis of the mesh's grid.
        samples: Points drawn from the mesh to score it.

    Returns:
        The files written.
    """
    folder = Path(folder)
    draw_slices(module, folder / "slices.png")
    extent = module.signal["extent"]
    shape = surface_shape(resolution, extent)
    try:
        surface = surface_of(
            module.field, module.signal, shape, extent, chunk=module.chunk, device=module.device
        )
    except InputError as error:
        module.shape_scores = {"mesh": str(error)}
        return [folder / "slices.png"]
    surface.write(folder / "mesh.ply")
    scores = shape_scores(surface, data.cloud, samples=samples)
    module.shape_scores = {"resolution": resolution, **scores}
    draw_surface(surface, data.cloud, folder / "shape.png", scores)
    draw_errors(surface, data.cloud, folder / "errors.png", scores, samples)
    return [folder / name for name in ("mesh.ply", "shape.png", "slices.png", "errors.png")]


def draw_slices(module: ShapeFit, file: Path) -> None:
    """Draw the field on the three planes through the middle of the shape's box."""
    from matplotlib.colors import TwoSlopeNorm

    axes_names, extent = "xyz", module.signal["extent"]
    figure = _figure(13.5, 4.6)
    for normal, axes in enumerate(figure.subplots(1, 3)):
        first, second = [k for k in range(3) if k != normal]
        middle = sum(extent[normal]) / 2
        size = [1 if k == normal else SLICE for k in range(3)]
        box = [[middle, middle] if k == normal else extent[k] for k in range(3)]
        x = lattice(size, box).to(module.device)
        values = module.evaluate(x).view(SLICE, SLICE).T.cpu().numpy()
        across, up = (np.linspace(extent[k][0], extent[k][1], SLICE) for k in (first, second))
        low, high = min(float(values.min()), -1e-6), max(float(values.max()), 1e-6)
        step = (high - low) / 30
        levels = step * np.arange(np.floor(low / step), np.ceil(high / step) + 1)
        drawn = axes.contourf(
            across, up, values, levels, cmap="RdBu", norm=TwoSlopeNorm(0, low, high)
        )
        axes.contour(across, up, values, levels, colors="k", linewidths=0.3, alpha=0.5)
        if values.min() < 0 < values.max():
            axes.contour(across, up, values, [0.0], colors="k", linewidths=1.6)
        axes.set_aspect("equal")
        axes.set_xlabel(axes_names[first])
        axes.set_ylabel(axes_names[second])
        axes.set_title(f"signed distance at {axes_names[normal]} = {middle:.2f}", fontsize=10)
        figure.colorbar(drawn, ax=axes, shrink=0.75)
    figure.savefig(file, dpi=100)


def draw_surface(surface: Surface, cloud: PointCloud, file: Path, scores: dict[str, float]) -> None:
    """Draw the mesh from two sides, shaded, and by its distance from the reference."""
    reference = cloud.points
    if cloud.surface is not None:
        reference = cloud.surface.sample(SAMPLES, 1)[0]
    distance = cKDTree(reference).query(surface.vertices)[0]
    reach = max(float(np.quantile(distance, 0.99)), 1e-12)
    figure = _figure(13.5, 5.2)
    views = [(30.0, 20.0, None), (210.0, 20.0, None), (30.0, 20.0, distance / reach)]
    titles = [
        f"{cloud.name}: {len(surface.faces):,} triangles",
        "from the other side",
        f"distance to the reference; yellow: {100 * reach / cloud.diagonal:.2f} % of the diagonal\n"
        f"Chamfer-L1 {scores['chamfer_l1']:.3f} %",
    ]
    for axes, view, title in zip(figure.subplots(1, 3), views, titles, strict=True):
        axes.imshow(shaded(surface, *view))
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    figure.savefig(file, dpi=100)


def draw_errors(
    surface: Surface, cloud: PointCloud, file: Path, scores: dict[str, float], samples: int
) -> None:
    """Draw how the distances between mesh and reference are spread, both ways."""
    points, _ = surface.sample(samples)
    reference = cloud.points
    if cloud.surface is not None:
        reference = cloud.surface.sample(samples, 1)[0]
    there = 100 / cloud.diagonal * cKDTree(reference).query(points)[0]
    back = 100 / cloud.diagonal * cKDTree(points).query(reference)[0]
    figure = _figure(6.5, 4.2)
    axes = figure.subplots()
    reach = 1.5 * max(np.quantile(there, 0.99), np.quantile(back, 0.99), 1e-9)
    edges = np.linspace(0, reach, 60)
    for values, label in ((there, "mesh to reference"), (back, "reference to mesh")):
        told = f"{label}: mean {values.mean():.3f}, largest {values.max():.3f}"
        axes.hist(values, edges, density=True, histtype="step", linewidth=1.5, label=told)
    axes.axvline(scores["floor"], color="k", linestyle=":", label="another sample of the reference")
    axes.set_xlabel("distance to the nearest point, % of the box's diagonal")
    axes.set_ylabel("density")
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=100)


def shaded(
    surface: Surface,
    azimuth: float,
    elevation: float,
    colour: Float[np.ndarray, " n"] | None = None,
    side: int = SIDE,
) -> UInt8[np.ndarray, "side side 3"]:
    """Draw a mesh by parallel projection, nearest points first, on white.

    Args:
        surface: The mesh; y points up.
        azimuth: Turn of the eye around the vertical, degrees.
        elevation: Height of the eye, degrees.
        colour: A number in [0, 1] for each vertex; None is a plain material.
        side: Pixels of the picture.
    """
    from matplotlib import colormaps

    turn, lift = np.radians(azimuth), np.radians(elevation)
    toward = np.array([np.cos(lift) * np.sin(turn), np.sin(lift), np.cos(lift) * np.cos(turn)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    up = np.cross(toward, right)
    seen = surface.vertices @ np.stack([right, up, toward], axis=1)
    low, high = seen.min(0), seen.max(0)
    seen = (seen - (low + high) / 2) * (0.94 * side / max(float((high - low)[:2].max()), 1e-12))
    normals = _vertex_normals(surface)
    # samples of every triangle, denser than pixels: a picture without holes
    corners = seen[surface.faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(1)
    depth = np.full(side * side, -np.inf)
    picture = np.ones((side * side, 3))
    light = (0.35 * right + 0.65 * up + 0.75 * toward) / np.linalg.norm([0.35, 0.65, 0.75])
    for count in np.unique(_steps(longest)):
        faces = surface.faces[_steps(longest) == count]
        weights = _barycentric(int(count))
        for part in np.array_split(faces, max(1, len(faces) * len(weights) // 2_000_000)):
            place = np.einsum("wk,fkd->fwd", weights, seen[part]).reshape(-1, 3)
            normal = np.einsum("wk,fkd->fwd", weights, normals[part]).reshape(-1, 3)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
            column = (place[:, 0] + side / 2).astype(int).clip(0, side - 1)
            row = (side / 2 - place[:, 1]).astype(int).clip(0, side - 1)
            pixel = row * side + column
            order = np.argsort(place[:, 2])  # the nearest is written last
            order = order[place[order, 2] > depth[pixel[order]]]
            bright = 0.25 + 0.75 * np.maximum(normal[order] @ light, 0)
            gloss = 0.25 * np.maximum(normal[order] @ light, 0) ** 30
            base = np.array([0.55, 0.68, 0.82])
            if colour is not None:
                values = np.einsum("wk,fk->fw", weights, colour[part]).ravel()[order]
                base = colormaps["viridis"](values.clip(0, 1))[:, :3]
            picture[pixel[order]] = base * bright[:, None] + gloss[:, None]
            depth[pixel[order]] = place[order, 2]
    return (255 * picture.clip(0, 1)).astype(np.uint8).reshape(side, side, 3)


def _steps(longest: Float[np.ndarray, " m"]) -> np.ndarray:
    """Return subdivisions of a triangle's edges: powers of two, at least 1.5 a pixel."""
    return 2 ** np.ceil(np.log2(np.maximum(1.5 * longest, 1))).clip(0, 10).astype(int)


def _barycentric(steps: int) -> np.ndarray:
    """Return evenly spread barycentric coordinates."""
    i, j = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    kept = i + j <= steps
    return np.stack([i[kept], j[kept], steps - i[kept] - j[kept]], axis=1) / steps


def _vertex_normals(surface: Surface) -> np.ndarray:
    """Return the sum of the normals around each vertex, weighted by area."""
    a, b, c = np.moveaxis(surface.vertices[surface.faces], 1, 0)
    crossed = np.cross(b - a, c - a)
    total = np.zeros_like(surface.vertices, dtype=np.float64)
    for corner in range(3):
        np.add.at(total, surface.faces[:, corner], crossed)
    return total


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
