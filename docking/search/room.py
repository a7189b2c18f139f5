"""Work arrays of one thread of a search."""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from docking.search.problem import Body, Maps

NEIGHBOURS_PER_ATOM = (
    400  # heavy atoms in a ball of 9 angstrom, at the density of protein, and more
)


class Room(NamedTuple):
    """Arrays that compiled code writes into, so that nothing is allocated inside a loop."""

    x: ndarray
    g: ndarray
    frames: ndarray
    origins: ndarray
    axes: ndarray
    force: ndarray
    torque: ndarray
    starts: ndarray
    lists: ndarray
    hessian: ndarray
    vectors: ndarray
    states: ndarray
    packed: ndarray


def workspace(maps: Maps, body: Body) -> Room:
    """Work arrays for a ligand; one per thread."""
    n, count = len(body.kinds), len(body.parents)
    dof = 5 + count
    return Room(
        np.zeros((n, 3)),
        np.zeros((n, 3)),
        np.zeros((count, 3, 3)),
        np.zeros((count, 3)),
        np.zeros((count, 3)),
        np.zeros((count, 3)),
        np.zeros((count, 3)),
        np.zeros(n + 1, dtype=np.int64),
        np.zeros(n * min(NEIGHBOURS_PER_ATOM, max(1, len(maps.receptor))), dtype=np.int64),
        np.zeros((dof, dof)),
        np.zeros((5, dof)),
        np.zeros((4, dof + 1)),
        body.own.packed.copy(),
    )
