"""Poses of the search as coordinates of all atoms, hydrogens too."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.search.energy import place
from docking.search.problem import Flexible, Maps
from docking.search.room import workspace


def at_rest(problem: Flexible) -> Float[ndarray, "c dof"]:
    """The pose in which each conformer lies as it was given."""
    states = np.zeros((len(problem.conformers), len(problem.body.scale) + 1))
    states[:, :3], states[:, 3] = problem.origins[:, 0], 1.0
    return states


def whole(
    problem: Flexible,
    maps: Maps,
    conformers: Int[ndarray, " p"],
    states: Float[ndarray, "p dof"],
) -> Float[ndarray, "p atoms 3"]:
    """Positions of all atoms of some poses, angstrom, in the ligand's order.

    Each atom moves with its rigid body.
    """
    room = workspace(maps, problem.body)
    fragments = problem.fragments
    poses = np.zeros((len(states), len(fragments), 3))
    for row, (c, state) in enumerate(zip(conformers.tolist(), states, strict=True)):
        place(problem.body, c, state, room.x, room.frames, room.origins, room.axes)
        local = problem.conformers[c] - problem.origins[c, fragments]
        turned = np.einsum("nij,nj->ni", room.frames[fragments], local)
        poses[row] = room.origins[fragments] + turned
    return poses
