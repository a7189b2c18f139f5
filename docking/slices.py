"""Slices of a pocket's maps and of its learned field around a ligand, the ligand drawn on them.

All panels show what is good for an atom there: physics maps minus their energy, kcal/mol; the
hybrid score's field what an average carbon, nitrogen, ... of the ligand would gain, and single
channels; of equivariant fields the channels themselves, which only the ligand's field gives a sign.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial import cKDTree

from docking.ligand import Ligand
from docking.model import PhysicsModel
from docking.pictures import COLOURS
from docking.pocket_file import learned_by
from docking.pocket_map import PocketField
from docking.typing import VinaType
from overparam.run_folder import write_whole

OFFSETS = (-1.5, 0.0, 1.5)
"""Of the planes from the ligand's own plane, angstrom."""
PHYSICS = "physics"
"""First word of the names of physics panels."""
_MARGIN = 3.0  # angstrom around the ligand
_STEP = 0.5  # angstrom
_TYPES, _ELEMENTS, _CHANNELS = 2, 3, 3  # panels of each kind
_NEAR = 0.9  # angstrom from a plane: atoms drawn full
_FADED = 4.5  # widths at which u**3 exp(-u**2 / 2) is 3e-3 of its largest
_FAINTEST = 0.98  # quantile of the values that has the strongest colour
_WALL = 1.0  # kcal/mol: no colour tells clashes apart
_EDGE = 0.0  # kcal/mol: where an atom is no longer welcome

Values = Callable[[Float[ndarray, "p 3"]], Float[ndarray, " p"]]


class Slices(NamedTuple):
    """Values on planes parallel to the one a ligand fills most.

    Attributes:
        names: Of the panels.
        values: ``(panels, planes, u, v)``; NaN outside the box.
        u: Coordinates along the ligand's longest axis from its middle, angstrom.
        v: Along its second axis.
        offsets: Of the planes along its third, angstrom.
        center: Middle of the ligand, angstrom.
        axes: The three axes, rows.
    """

    names: tuple[str, ...]
    values: Float[ndarray, "c k u v"]
    u: Float[ndarray, " u"]
    v: Float[ndarray, " v"]
    offsets: tuple[float, ...]
    center: Float[ndarray, " 3"]
    axes: Float[ndarray, "3 3"]

    def write(self, file: Path) -> None:
        """All values as a table: offset, u, v and a column for each panel."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["offset", "u", "v", *self.names])
        for k, offset in enumerate(self.offsets):
            for i, u in enumerate(self.u.tolist()):
                for j, v in enumerate(self.v.tolist()):
                    row = self.values[:, k, i, j].tolist()
                    told = ("" if x != x else f"{x:.4g}" for x in row)
                    table.writerow([f"{offset:g}", f"{u:.2f}", f"{v:.2f}", *told])
        write_whole(file, text.getvalue())


def field_slices(
    pocket: PocketField,
    ligand: Ligand,
    file: str | Path | None = None,
    *,
    model: PhysicsModel | None = None,
    pose: Float[ndarray, "n 3"] | None = None,
    title: str = "",
) -> Slices:
    """Slice the maps of a pocket, and the field of the model that prepared it.

    Args:
        pocket: The pocket.
        ligand: The molecule.
        file: Picture to write; its ending says the format. None draws none.
        model: The model that prepared the pocket; physics alone if left out.
        pose: Coordinates of the ligand, angstrom; its own if left out.
        title: Words above.

    Raises:
        ValueError: If the ligand has no coordinates and none are given.
        InputError: If another model prepared the pocket.
    """
    x = ligand.coords if pose is None else np.asarray(pose, dtype=np.float64)
    if x is None:
        raise ValueError("pose must be given: the ligand has no coordinates")
    heavy = x[ligand.heavy]
    center = heavy.mean(0)
    axes = np.linalg.svd(heavy - center, full_matrices=True)[2]
    flat = (heavy - center) @ axes.T
    u, v = (_axis(flat[:, k]) for k in range(2))
    grid = np.stack(np.meshgrid(u, v, OFFSETS, indexing="ij"), -1)  # (u, v, k, 3)
    points = (grid @ axes + center).reshape(-1, 3)
    inside = ((points >= pocket.low) & (points <= pocket.high)).all(1)
    panels = [*_physics(pocket, ligand), *(_learned(model, pocket, ligand, points))]
    values = np.full((len(panels), len(points)), np.nan)
    for k, (_, read) in enumerate(panels):
        values[k, inside] = read(points[inside])
    shaped = np.moveaxis(values.reshape(len(panels), len(u), len(v), len(OFFSETS)), 3, 1)
    names = tuple(name for name, _ in panels)
    made = Slices(names, shaped, u, v, OFFSETS, center, axes)
    if file is not None:
        _draw(Path(file), made, ligand, x, title)
    return made


def _axis(along: Float[ndarray, " n"]) -> Float[ndarray, " k"]:
    low, high = float(along.min()) - _MARGIN, float(along.max()) + _MARGIN
    return np.linspace(low, high, int(np.ceil((high - low) / _STEP)) + 1)


def _physics(pocket: PocketField, ligand: Ligand) -> list[tuple[str, Values]]:
    """Minus the energy of an atom of the ligand's most frequent types."""
    if pocket.channels is None or not pocket.channels.terms.all():
        return []
    channel = pocket.channel_of_type().tolist()
    kinds = [int(k) for k in ligand.vina_type if k >= 0 and channel[int(k)] >= 0]
    often = [kind for kind, _ in Counter(kinds).most_common(_TYPES)]

    def reader(index: int) -> Values:
        return lambda x: (
            -np.minimum(
                pocket.sample(torch.as_tensor(x).to(pocket.grid))[:, index].double().cpu().numpy(),
                _WALL,
            )
        )

    return [(f"{PHYSICS} {VinaType(kind).name}", reader(channel[kind])) for kind in often]


def _learned(
    model: PhysicsModel | None, pocket: PocketField, ligand: Ligand, points: Float[ndarray, "p 3"]
) -> list[tuple[str, Values]]:
    """Panels of the learned field of a model, if it has one."""
    if model is None or pocket.learned is None:
        return []
    from docking.esf_model import EsfModel
    from docking.hybrid_model import HybridModel

    if isinstance(model, HybridModel):
        return _hybrid(model, pocket, ligand, points)
    if isinstance(model, EsfModel):
        return _equivariant(model, pocket, points)
    return []


def _hybrid(
    model: Any, pocket: PocketField, ligand: Ligand, points: Float[ndarray, "p 3"]
) -> list[tuple[str, Values]]:
    from docking.learned.pair_field import PairField
    from docking.learned.pocket_graph import MoleculeGraph

    kept = learned_by(pocket, model.fingerprint, model.name)
    field = PairField(kept.coefficients[0], kept.positions, model.net.basis)
    with torch.no_grad():
        A = model.net.readouts(MoleculeGraph.of(ligand))[0]
    elements = np.asarray(ligand.elements)[ligand.heavy]
    often = [name for name, _ in Counter(elements.tolist()).most_common(_ELEMENTS)]
    rows = {f"field for {e}": A[torch.as_tensor(elements == e)].mean(0) for e in often}
    single = torch.eye(A.shape[1], dtype=A.dtype)
    some = torch.as_tensor(points[:: max(1, len(points) // 200)]).to(A)[:, None]
    with torch.no_grad():
        spread = torch.stack(
            [field.scores(single[q : q + 1], some).std() for q in range(len(single))]
        )
    for q in spread.argsort(descending=True)[:_CHANNELS].tolist():
        rows[f"channel {q}"] = single[q]

    def reader(row: torch.Tensor) -> Values:
        def read(x: Float[ndarray, "p 3"]) -> Float[ndarray, " p"]:
            with torch.no_grad():
                found = field.scores(row[None], torch.as_tensor(x).to(row)[:, None])
            return found.double().numpy()

        return read

    return [(name, reader(row)) for name, row in rows.items()]


def _equivariant(
    model: Any, pocket: PocketField, points: Float[ndarray, "p 3"]
) -> list[tuple[str, Values]]:
    from docking.scalar_field import ScalarField

    kept = learned_by(pocket, model.fingerprint, model.name)
    basis, reach = model.net.receptor_basis, _FADED * max(model.net.receptor_widths)
    every: dict[bytes, ndarray] = {}

    def read(x: Float[ndarray, "p 3"]) -> Float[ndarray, "p channels"]:
        key = x.tobytes()
        if key not in every:
            tree = cKDTree(x)
            found = np.zeros((len(x), kept.coefficients[0].shape[1]))
            for coefficients, y in zip(kept.coefficients[0], kept.positions, strict=True):
                near = tree.query_ball_point(y.double().numpy(), reach)
                if not near:
                    continue
                one = ScalarField(coefficients[None], y[None], basis)
                with torch.no_grad():
                    found[near] += one.values(torch.as_tensor(x[near]).to(y)).double().numpy()
            every[key] = found
        return every[key]

    some = points[:: max(1, len(points) // 200)]
    widest = np.argsort(-read(some).std(0), kind="stable")[: _ELEMENTS + _CHANNELS]

    def reader(q: int) -> Values:
        return lambda x: read(x)[:, q]

    return [(f"channel {q}", reader(q)) for q in widest.tolist()]


def _draw(
    file: Path, slices: Slices, ligand: Ligand, pose: Float[ndarray, "n 3"], title: str
) -> None:
    from matplotlib.figure import Figure

    rows, columns = len(slices.offsets), len(slices.names)
    ratio = len(slices.v) / len(slices.u)
    size = 2.5 * columns + 0.5, (2.4 * ratio + 0.2) * rows + 1.2
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    flat = (pose - slices.center) @ slices.axes.T
    bonds = ligand.bonds[ligand.heavy[ligand.bonds].all(1)]
    # Inside the walls of physics a field was never trained: their outline is drawn on it.
    walls = slices.values[0] if slices.names[0].startswith(PHYSICS) else None
    for column, name, values in zip(axes.T, slices.names, slices.values, strict=True):
        known = np.abs(values[~np.isnan(values)])
        top = max(float(np.quantile(known, _FAINTEST)) if len(known) else 1.0, 1e-9)
        for k, (axis, offset) in enumerate(zip(column, slices.offsets, strict=True)):
            extent = (slices.u[0], slices.u[-1], slices.v[0], slices.v[-1])
            shown = axis.imshow(
                values[k].T, origin="lower", extent=extent, cmap="RdBu", vmin=-top, vmax=top,
                interpolation="bilinear",
            )  # fmt: skip
            if walls is not None and not name.startswith(PHYSICS) and _crosses(walls[k]):
                axis.contour(slices.u, slices.v, walls[k].T, [_EDGE], colors="0.3", linewidths=0.6)
            _atoms(axis, flat, bonds, ligand.elements, offset)
            axis.set_facecolor("0.9")
        figure.colorbar(shown, ax=column.tolist(), location="bottom", shrink=0.8)
        column[0].set_title(name, fontsize=9)
    for axis, offset in zip(axes[:, 0], slices.offsets, strict=True):
        axis.set_ylabel(f"plane at {offset:+g} Å", fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(file, dpi=120)


def _crosses(plane: ndarray) -> bool:
    """Whether a contour can be drawn."""
    return bool(np.nanmin(plane) < _EDGE < np.nanmax(plane)) if (~np.isnan(plane)).any() else False


def _atoms(
    axis: Any, x: Float[ndarray, "n 3"], bonds: ndarray, elements: Any, offset: float
) -> None:
    """Bonds and atoms seen along the third axis, those near the plane full, others faint."""
    from matplotlib.collections import LineCollection

    shade = np.where(np.abs(x[:, 2] - offset) < _NEAR, 1.0, 0.2)
    lines = LineCollection(list(x[bonds, :2]), colors="black", linewidths=1.2)
    lines.set_alpha(shade[bonds].min(1))
    axis.add_collection(lines)
    some = np.unique(bonds)
    colours = [COLOURS.get(elements[k], "#555555") for k in some]
    axis.scatter(*x[some, :2].T, s=12, c=colours, alpha=shade[some], zorder=3)
