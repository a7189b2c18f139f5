"""What a compiled search needs of a pocket and a ligand, as plain arrays.

Only heavy atoms take part. They are sorted by rigid body, and each body's atoms are given in the
frame of the conformer, relative to the body's origin; a pose turns the root about its origin, and
every other body about the bond it hangs on.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from docking.ligand import Ligand
from docking.pocket_map import PocketField
from docking.search.overlap import OwnPairs, own_pairs
from docking.search.tables import BINS, pair_table
from docking.terms import VINA, ScoringFunction
from docking.vina_table import cap
from overparam.errors import InputError

SEARCH_CAP = 5.0  # kcal/mol; soft walls let a start slip through to the pocket behind them
_NEAR = 8.0


class Maps(NamedTuple):
    """Capped maps of a pocket and its atoms.

    Attributes:
        values: Map of each channel, kcal/mol, capped, float32, ``(q, nx, ny, nz)``.
        origin: Position of the first point, angstrom.
        inverse: Points per angstrom.
        low: Lower corner of the box.
        high: Upper corner of the box.
        receptor: Positions of the receptor atoms near the box, ``(m, 3)``.
        kinds: Their atom types.
        table: Energy of a pair by type, type and bin of the squared distance, float32.
        learned: What a learned field adds to exact pair sums, for each map of ``values``, which
            hold it already; none of them for physics alone.
        channels: A learned field as it is, ``(nx, ny, nz, q)``, float32, to be added to ``values``
            and to exact pair sums; used if there is a ``readout``.
        readout: Coefficients of the ligand's atoms in the order of the search, ``(n, q)``, float32,
            kcal/mol for a unit of the channel; none otherwise.
    """

    values: ndarray
    origin: ndarray
    inverse: float
    low: ndarray
    high: ndarray
    receptor: ndarray
    kinds: ndarray
    table: ndarray
    learned: ndarray
    channels: ndarray
    readout: ndarray


class Body(NamedTuple):
    """The ligand's rigid bodies in each of its conformers; ``n`` heavy atoms, ``b`` bodies.

    Attributes:
        channel: Map each atom reads.
        kinds: Atom types.
        starts: First atom of each body, and ``n``.
        parents: Parent of each body, -1 for the root.
        local: Atoms relative to their body's origin, ``(conformers, n, 3)``.
        offset: Origin of each body relative to its parent's, ``(conformers, b, 3)``; the root's is
            its place in the conformer.
        axis: Unit vector of the bond each body hangs on, ``(conformers, b, 3)``.
        pairs: Atom pairs whose distance torsions change, ``(p, 2)``.
        own: The same pairs for ``overlap``.
        scale: Step of each degree of freedom that moves the atoms one angstrom in the mean.
        penalty: Energy added to each conformer, kcal/mol.
    """

    channel: ndarray
    kinds: ndarray
    starts: ndarray
    parents: ndarray
    local: ndarray
    offset: ndarray
    axis: ndarray
    pairs: ndarray
    own: OwnPairs
    scale: ndarray
    penalty: ndarray


def search_maps(
    pocket: PocketField, limit: float = SEARCH_CAP, function: ScoringFunction = VINA
) -> Maps:
    """Prepare a pocket's maps for the search; cheap next to building them.

    Args:
        pocket: Physics maps with one channel per kind of ligand atom.
        limit: Cap on the positive energy of an atom, kcal/mol.
        function: Constants of the pair energies.
    """
    values = cap(pocket.values.float(), limit).contiguous().cpu().numpy()
    positions, kinds = pocket.receptor_positions, pocket.receptor_types
    near = (positions > pocket.low - _NEAR).all(1) & (positions < pocket.high + _NEAR).all(1)
    return Maps(
        values,
        _real(np.array(pocket.lattice.origin)),
        1.0 / pocket.lattice.spacing,
        _real(pocket.low),
        _real(pocket.high),
        _real(positions[near]),
        _whole(kinds[near]),
        pair_table(function),
        np.zeros((0, 2, 2, 2), dtype=np.float32),
        np.zeros((2, 2, 2, 0), dtype=np.float32),
        np.zeros((0, 0), dtype=np.float32),
    )


class Flexible(NamedTuple):
    """A ligand ready for the search.

    Attributes:
        body: Arrays for compiled code.
        order: Atom of the ligand at each place of ``body``.
        conformers: All atoms in each conformer, ``(conformers, atoms, 3)``.
        fragments: Rigid body of each atom of the ligand, hydrogens too.
        origins: Origin of each body in each conformer, ``(conformers, b, 3)``.
    """

    body: Body
    order: Int[ndarray, " n"]
    conformers: Float[ndarray, "c atoms 3"]
    fragments: Int[ndarray, " atoms"]
    origins: Float[ndarray, "c b 3"]


def flexible(
    ligand: Ligand,
    pocket: PocketField,
    conformers: Float[ndarray, "c atoms 3"],
    penalty: Float[ndarray, " c"],
    *,
    rigid: bool = False,
    function: ScoringFunction = VINA,
) -> Flexible:
    """Lay a ligand out for the search.

    Args:
        ligand: Its types and torsions count, not its pose.
        pocket: Which maps there are.
        conformers: Coordinates of all atoms; bond lengths, angles and rings stay as they are.
        penalty: Energy added to every pose of each conformer, kcal/mol.
        rigid: Hold all torsions.
        function: Constants of the ligand's own pairs.

    Raises:
        InputError: If the pocket has no map for an atom type.
    """
    tree = ligand.tree
    fragments = np.zeros(len(ligand), dtype=np.int64) if rigid else ligand.fragments
    heavy = np.flatnonzero(ligand.heavy)
    order = heavy[np.argsort(fragments[heavy], kind="stable")]
    count = 1 if rigid else len(tree.parents)
    channel = pocket.channel_of_type().cpu().numpy()[ligand.vina_type[order]]
    if (channel < 0).any():
        raise InputError(f"{ligand.name}: the pocket has no map for some of its atom types")
    x = np.asarray(conformers, dtype=np.float64)
    parents = np.full(count, -1, dtype=np.int64)
    origin = np.zeros((len(x), count, 3))
    axis = np.zeros((len(x), count, 3))
    root = order[fragments[order] == 0]
    origin[:, 0] = x[:, root].mean(1)
    for torsion in () if rigid else tree.torsions:
        i, j = torsion.axis
        parents[torsion.fragment] = tree.parents[torsion.fragment]
        origin[:, torsion.fragment] = x[:, j]
        along = x[:, j] - x[:, i]
        axis[:, torsion.fragment] = along / np.linalg.norm(along, axis=1, keepdims=True)
    offset = origin.copy()
    offset[:, 1:] -= origin[:, parents[1:]]
    place = np.full(len(ligand), -1)
    place[order] = np.arange(len(order))
    pairs = np.zeros((0, 2), dtype=np.int64)
    if not rigid:
        pairs = place[tree.movable_pairs(ligand.bonds, ligand.heavy)].reshape(-1, 2)
    body = Body(
        _whole(channel),
        _whole(ligand.vina_type[order]),
        _whole(np.searchsorted(fragments[order], np.arange(count + 1))),
        parents,
        _real(x[:, order] - origin[:, fragments[order]]),
        _real(offset),
        _real(axis),
        _whole(pairs),
        own_pairs(ligand.vina_type[order], pairs, function),
        _real(_scale(x[0, order], fragments[order], parents, origin[0], axis[0])),
        _real(penalty),
    )
    return Flexible(body, order, x, fragments, origin)


def _whole(values: ndarray) -> ndarray:
    """A fresh array of one layout: compiled code is made anew for every other one."""
    return np.array(values, dtype=np.int64, order="C")


def _real(values: ndarray) -> ndarray:
    return np.array(values, dtype=np.float64, order="C")


def _scale(
    x: ndarray, fragments: ndarray, parents: ndarray, origin: ndarray, axis: ndarray
) -> Float[ndarray, " dof"]:
    """Inverse of the root mean square displacement per unit of each degree of freedom."""
    n = len(x)
    arm = x - origin[0]
    turn = (arm**2).sum() * np.ones(3) - (arm**2).sum(0)
    below = np.eye(len(parents), dtype=bool)
    for child in range(len(parents) - 1, 0, -1):
        below[parents[child]] |= below[child]
    swing = [
        (np.cross(axis[b], x[below[b][fragments]] - origin[b]) ** 2).sum()
        for b in range(1, len(parents))
    ]
    # The floor keeps a spin of nearly no moment (a rod about itself) from taking wild steps.
    moment = np.maximum(np.concatenate([np.full(3, float(n)), turn, swing]), 0.3)
    return np.sqrt(n / moment)


__all__ = ["BINS", "SEARCH_CAP", "Body", "Flexible", "Maps", "flexible", "search_maps"]
