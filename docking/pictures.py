"""A pose as a picture: the ligand in its pocket, seen along its thinnest direction."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.ligand import Ligand
from docking.pocket_map import PocketField

COLOURS = {
    "C": "#1f5f8b", "N": "#2b4fd8", "O": "#d62728", "S": "#c9a400", "P": "#e07b00",
    "F": "#3aa655", "Cl": "#3aa655", "Br": "#8c3b1b", "I": "#6b2c91",
}  # fmt: skip
_NEAR = 4.5  # angstrom: receptor atoms that touch the ligand
_REFERENCE = "#9a9a9a"


def draw_pose(
    file: str | Path,
    pocket: PocketField,
    ligand: Ligand,
    pose: Float[ndarray, "n 3"],
    reference: Float[ndarray, "n 3"] | None = None,
    title: str = "",
) -> None:
    """Draw a pose over the receptor atoms around it, and a reference pose in grey.

    Args:
        file: Picture to write; its ending says the format.
        pocket: The pocket; its receptor atoms are drawn, the deeper the paler.
        ligand: The molecule.
        pose: Its coordinates, angstrom.
        reference: Another pose, for instance the crystal's.
        title: Words above.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    heavy = np.flatnonzero(ligand.heavy)
    bonds = ligand.bonds[ligand.heavy[ligand.bonds].all(1)]
    center = pose[heavy].mean(0)
    # Principal axes: the drawing plane is the plane the ligand fills most.
    axes = np.linalg.svd(pose[heavy] - center, full_matrices=True)[2]
    shown = [pose] if reference is None else [reference, pose]
    gaps = np.linalg.norm(
        pocket.receptor_positions[:, None] - np.concatenate([x[heavy] for x in shown]), axis=-1
    )
    atoms = (pocket.receptor_positions[gaps.min(1) < _NEAR] - center) @ axes.T
    figure, plot = pyplot.subplots(figsize=(6, 5), layout="constrained")
    order = np.argsort(atoms[:, 2])
    depth = (atoms[order, 2] - atoms[:, 2].min(initial=0)) / max(np.ptp(atoms[:, 2]), 1e-9)
    x, y = atoms[order, :2].T
    plot.scatter(x, y, s=90, c=0.93 - 0.25 * depth, cmap="gray", vmin=0, vmax=1)
    if reference is not None:
        flat = (reference - center) @ axes.T
        for i, j in bonds:
            plot.plot(*flat[[i, j], :2].T, color=_REFERENCE, linewidth=5, solid_capstyle="round")
    _sticks(plot, (pose - center) @ axes.T, bonds, ligand.elements)
    note = "grey: reference pose; dots: receptor" if reference is not None else "dots: receptor"
    plot.set_title(title)
    plot.set_xlabel(f"angstrom ({note})")
    plot.set_aspect("equal")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _sticks(plot: Any, x: Float[ndarray, "n 3"], bonds: Int[ndarray, "m 2"], elements: Any) -> None:
    """Bonds as two half sticks, each in its atom's colour, the deepest first."""
    for i, j in bonds[np.argsort(x[bonds, 2].mean(1))]:
        middle = (x[i] + x[j]) / 2
        for end in (i, j):
            colour = COLOURS.get(elements[end], "#555555")
            ends = np.array([x[end], middle])[:, :2].T
            plot.plot(*ends, color=colour, linewidth=2.5, solid_capstyle="round")
