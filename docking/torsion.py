"""The torsion tree of a ligand: which bonds turn, what turns with them, and how many there are.

The choice of rotatable bonds is AutoDock's as Meeko makes it: single bonds outside rings; amide and
amidine C-N bonds stay rigid, except tertiary ones whose two other substituents differ; in
C-C#C-C the turn is counted once, about the triple bond; bonds to a nitrile turn nothing; bonds to a
single atom (its carbon-bound hydrogens aside) turn nothing. Rings stay rigid, macrocycles too.

A bond that moves hydrogens alone (hydroxyl, amine) is no torsion here, for Vina sees no hydrogen,
but it counts one half in Vina's number of torsions.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from rdkit import Chem

_AMIDE = Chem.MolFromSmarts("[NX3]-[CX3]=[O,N,S]")
_TERTIARY_AMIDE = Chem.MolFromSmarts("[NX3]([!#1])([!#1])-[CX3]=[O,N,S]")
_ALKYNE = Chem.MolFromSmarts("[*]-[*]#[*]-[*]")
_NITRILE = Chem.MolFromSmarts("[*]-[*]#[*X1]")
_POLAR = (7, 8, 9, 15, 16)  # a hydrogen on one of these is an atom to AutoDock
_TOPOLOGICAL_REACH = 3  # pairs up to three bonds apart do not interact


@dataclass(frozen=True, eq=False)
class Torsion:
    """One rotatable bond.

    Attributes:
        axis: Atoms ``(i, j)`` of the bond; ``j`` is on the side that moves.
        moved: Atoms that move, ascending; ``i`` and ``j`` lie on the axis and are not among them.
        fragment: Rigid body that hangs on this bond, an index of the tree.
    """

    axis: tuple[int, int]
    moved: Int[ndarray, " k"]
    fragment: int


@dataclass(frozen=True, eq=False)
class TorsionTree:
    """Rigid bodies joined by rotatable bonds.

    Attributes:
        fragments: Rigid body of each atom; 0 is the root, the body that keeps the tree shallow.
        parents: Parent body of each body; -1 for the root.
        torsions: One per body but the root, root outward: applied in this order, each about the
            present position of its axis, they give the pose.
        num_torsions: Vina's count for ``1 / (1 + 0.05846 n)``: one half for each end of a
            rotatable bond that has another heavy neighbour.
    """

    fragments: Int[ndarray, " n"]
    parents: tuple[int, ...]
    torsions: tuple[Torsion, ...]
    num_torsions: float

    def movable_pairs(self, bonds: Int[ndarray, "m 2"], heavy: ndarray) -> Int[ndarray, "p 2"]:
        """Heavy atom pairs whose distance the torsions change, more than three bonds apart.

        Args:
            bonds: All bonds of the molecule.
            heavy: Which atoms count, a mask.
        """
        n = len(self.fragments)
        # The atoms of an axis keep their distance to both bodies the axis joins.
        rigid = np.zeros((len(self.parents), n), dtype=bool)
        rigid[self.fragments, np.arange(n)] = True
        for torsion in self.torsions:
            i, j = torsion.axis
            rigid[self.parents[torsion.fragment], j] = True
            rigid[torsion.fragment, i] = True
        fixed = rigid.T.astype(np.int32) @ rigid.astype(np.int32) > 0
        near = np.eye(n, dtype=bool)
        adjacency = np.zeros((n, n), dtype=bool)
        adjacency[bonds[:, 0], bonds[:, 1]] = adjacency[bonds[:, 1], bonds[:, 0]] = True
        step = adjacency.astype(np.float32)
        for _ in range(_TOPOLOGICAL_REACH):
            near |= (near.astype(np.float32) @ step) > 0
        wanted = ~(fixed | near) & heavy[:, None] & heavy[None, :]
        return np.argwhere(np.triu(wanted, 1))


def torsion_tree(mol: Any) -> TorsionTree:
    """Find the torsion tree of an RDKit molecule in one piece; explicit hydrogens may be there."""
    return tree_from_rotors(
        mol.GetNumAtoms(), _bonds(mol), rotatable_bonds(mol), _heavy(mol), _ranks(mol)
    )


def rotatable_bonds(mol: Any) -> list[tuple[int, int]]:
    """Rotatable bonds as pairs of atoms, those that move only hydrogens included."""
    ring = Chem.BondType.SINGLE
    amides = {_pair(m[0], m[1]) for m in mol.GetSubstructMatches(_AMIDE, maxMatches=100_000)}
    ranks = _ranks(mol)
    for nitrogen, first, second, carbon, _ in mol.GetSubstructMatches(
        _TERTIARY_AMIDE, maxMatches=100_000
    ):
        if ranks[first] != ranks[second]:
            amides.discard(_pair(nitrogen, carbon))
    stiff, turning = set(amides), set()
    for a, b, c, d in mol.GetSubstructMatches(_ALKYNE, maxMatches=100_000):
        turning.add(_pair(b, c))
        stiff |= {_pair(a, b), _pair(c, d)}
    stiff |= {_pair(m[0], m[1]) for m in mol.GetSubstructMatches(_NITRILE, maxMatches=100_000)}
    candidates = []
    for bond in mol.GetBonds():
        pair = _pair(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        if bond.IsInRing() or 1 in (
            bond.GetBeginAtom().GetAtomicNum(),
            bond.GetEndAtom().GetAtomicNum(),
        ):
            continue
        if pair in turning or (bond.GetBondType() == ring and pair not in stiff):
            candidates.append(pair)
    return _without_terminal(mol, candidates)


def _without_terminal(mol: Any, candidates: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop bonds one of whose ends is a body of a single atom."""
    n = mol.GetNumAtoms()
    body = connected_parts(n, _bonds(mol), set(candidates))
    size = np.zeros(n, dtype=int)
    degree = np.zeros(n, dtype=int)
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() != 1:
            polar = atom.GetAtomicNum() in _POLAR
            size[body[atom.GetIdx()]] += 1 + polar * atom.GetTotalNumHs(includeNeighbors=True)
    for pair in candidates:
        for atom in pair:
            degree[body[atom]] += 1
    return [
        pair
        for pair in candidates
        if not any(size[body[atom]] == 1 and degree[body[atom]] == 1 for atom in pair)
    ]


def tree_from_rotors(
    n: int,
    bonds: Int[ndarray, "m 2"],
    rotors: Sequence[tuple[int, int]],
    heavy: ndarray,
    ranks: Sequence[int] | None = None,
) -> TorsionTree:
    """Build the tree from a list of rotatable bonds.

    Args:
        n: Number of atoms.
        bonds: All bonds; the graph must be connected.
        rotors: Rotatable bonds, those that move only hydrogens included.
        heavy: Which atoms are not hydrogens.
        ranks: Order of atoms that breaks ties for the root, by default their own.
    """
    ranks = list(range(n)) if ranks is None else list(ranks)
    heavy_degree = np.zeros(n, dtype=int)
    for i, j in bonds.tolist():
        heavy_degree[i] += heavy[j]
        heavy_degree[j] += heavy[i]
    number = 0.5 * sum(int(heavy_degree[atom] > 1) for pair in rotors for atom in pair)
    active = [pair for pair in rotors if min(heavy_degree[list(pair)]) > 1]
    body = connected_parts(n, bonds, {_pair(*pair) for pair in active})
    _, body = np.unique(body, return_inverse=True)
    links: list[list[tuple[int, int, int]]] = [[] for _ in range(body.max() + 1)]
    for i, j in active:
        links[body[i]].append((i, j, int(body[j])))
        links[body[j]].append((j, i, int(body[i])))
    root = _root(links, body, heavy, ranks)
    order, parents, torsions = {root: 0}, [-1], []
    queue = deque([root])
    axes: list[tuple[int, int]] = []
    while queue:
        here = queue.popleft()
        for i, j, there in sorted(links[here], key=lambda link: (ranks[link[1]], link[1])):
            if there not in order:
                order[there] = len(parents)
                parents.append(order[here])
                axes.append((i, j))
                queue.append(there)
    fragments = np.array([order[b] for b in body], dtype=np.int64)
    below = [{index} for index in range(len(parents))]
    for index in range(len(parents) - 1, 0, -1):
        below[parents[index]] |= below[index]
    for index, (i, j) in enumerate(axes, start=1):
        moved = np.flatnonzero(np.isin(fragments, list(below[index])))
        torsions.append(Torsion((i, j), moved[moved != j], index))
    return TorsionTree(fragments, tuple(parents), tuple(torsions), number)


def apply_torsions(
    coords: Float[ndarray, "*#batch n 3"],
    torsions: Sequence[Torsion],
    angles: Float[ndarray, "*#batch t"],
) -> Float[ndarray, "*out n 3"]:
    """Turn rotatable bonds.

    Args:
        coords: Coordinates, angstrom; leading axes are broadcast against those of ``angles``.
        torsions: Rotatable bonds, root outward.
        angles: Turn of each, radians, right-handed about the axis from ``i`` to ``j``.
    """
    if angles.shape[-1] != len(torsions):
        raise ValueError(f"angles must have one column per torsion, got {angles.shape[-1]}")
    batch = np.broadcast_shapes(coords.shape[:-2], angles.shape[:-1])
    coords = np.array(np.broadcast_to(coords, (*batch, *coords.shape[-2:])), dtype=np.float64)
    for index, torsion in enumerate(torsions):
        i, j = torsion.axis
        axis = coords[..., j, :] - coords[..., i, :]
        axis = (axis / np.linalg.norm(axis, axis=-1, keepdims=True))[..., None, :]
        origin = coords[..., j, None, :]
        arm = coords[..., torsion.moved, :] - origin
        cosine = np.cos(angles[..., index])[..., None, None]
        sine = np.sin(angles[..., index])[..., None, None]
        along = (arm * axis).sum(-1, keepdims=True) * axis
        across = np.cross(np.broadcast_to(axis, arm.shape), arm)
        coords[..., torsion.moved, :] = origin + along + cosine * (arm - along) + sine * across
    return coords


def _root(
    links: list[list[tuple[int, int, int]]], body: ndarray, heavy: ndarray, ranks: Sequence[int]
) -> int:
    """The centre of the tree; of two, the one with more heavy atoms."""
    alive = set(range(len(links)))
    degree = [len(link) for link in links]
    leaves = [b for b in alive if degree[b] <= 1]
    while len(alive) > 2:
        following = []
        for leaf in leaves:
            alive.discard(leaf)
            for _, _, there in links[leaf]:
                degree[there] -= 1
                if there in alive and degree[there] == 1:
                    following.append(there)
        leaves = following
    size = np.bincount(body, heavy, len(links))
    first = {b: min(ranks[atom] for atom in np.flatnonzero(body == b).tolist()) for b in alive}
    return min(alive, key=lambda b: (-size[b], first[b], b))


def connected_parts(
    n: int, bonds: Int[ndarray, "m 2"], cut: Collection[tuple[int, int]] = ()
) -> Int[ndarray, " n"]:
    """Label the connected parts of a graph, some of its bonds cut; label 0 holds atom 0.

    Args:
        n: Number of atoms.
        bonds: Pairs of atoms.
        cut: Bonds ``(i, j)``, ``i < j``, to leave out.
    """
    neighbours: list[list[int]] = [[] for _ in range(n)]
    for i, j in bonds.tolist():
        if _pair(i, j) not in cut:
            neighbours[i].append(j)
            neighbours[j].append(i)
    label = np.full(n, -1, dtype=np.int64)
    count = 0
    for start in range(n):
        if label[start] >= 0:
            continue
        stack = [start]
        label[start] = count
        while stack:
            for there in neighbours[stack.pop()]:
                if label[there] < 0:
                    label[there] = count
                    stack.append(there)
        count += 1
    return label


def _pair(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def _bonds(mol: Any) -> Int[ndarray, "m 2"]:
    pairs = [_pair(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _heavy(mol: Any) -> ndarray:
    return np.array([atom.GetAtomicNum() != 1 for atom in mol.GetAtoms()], dtype=bool)


def _ranks(mol: Any) -> list[int]:
    return list(Chem.CanonicalRankAtoms(mol, breakTies=False))
