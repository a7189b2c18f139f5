"""RMSD between poses of one molecule that does not tell equivalent atoms apart.

The automorphisms are those of the heavy-atom graph, atoms told apart by element alone: bond orders
and charges are ignored, so that a flipped carboxylate or guanidinium is no error whichever way the
file draws it. Nothing is superposed. The metric is that of Meli and Biggin, J. Cheminf. 12 (2020)
49, and of ``obrms`` and ``CalcRMS``.

The group is never listed whole. Atoms of an equitable partition fall into parts that permute
independently of each other (each trifluoromethyl, each phenyl), the sum of squares splits over the
parts, and so does its minimum: the cost is the sum of the parts' sizes, not their product.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from docking.search.matching import add_least_squares, add_squares

MAX_MAPS = 10_000
"""Permutations kept for one independent part; see ``Symmetry.capped``."""
_STEPS_PER_MAP = 100  # of the enumeration, before it gives up on a part


class Symmetry:
    """Automorphisms of a molecule's heavy-atom graph.

    Attributes:
        atoms: Number of atoms, hydrogens included.
        heavy: Indices of the heavy atoms; hydrogens never count.
        parts: Independent parts: their atoms ``(k,)`` and what may stand in their places,
            ``(g, k)``, the identity first. Atoms in no part stay where they are.
        capped: Whether some part has more than ``limit`` permutations. Some of them are missing
            then, and an RMSD may come out too large (never larger than the plain one).

    Args:
        elements: Element of each atom, as a symbol or a number; 1 and ``"H"`` are hydrogens.
        bonds: Pairs of bonded atoms.
        limit: Permutations kept for one part.

    Raises:
        ValueError: If there is no heavy atom or a bond names an atom that is not there.
    """

    def __init__(
        self,
        elements: Sequence[str] | Sequence[int],
        bonds: Int[ndarray, "m 2"],
        *,
        limit: int = MAX_MAPS,
    ) -> None:
        self.atoms = len(elements)
        kinds = [1 if e in ("H", "D", "T") else e for e in elements]
        self.heavy = np.array([i for i, kind in enumerate(kinds) if kind != 1], dtype=np.int64)
        if len(self.heavy) == 0:
            raise ValueError("a symmetry needs at least one heavy atom, got none")
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        if bonds.size and not (bonds.min() >= 0 and bonds.max() < self.atoms):
            raise ValueError(f"bonds must name atoms 0 to {self.atoms - 1}, got {bonds.max()}")
        bonded = np.zeros((self.atoms, self.atoms), dtype=bool)
        bonded[bonds[:, 0], bonds[:, 1]] = bonded[bonds[:, 1], bonds[:, 0]] = True
        bonded = bonded[np.ix_(self.heavy, self.heavy)]
        colours = _refine(bonded, [str(kinds[i]) for i in self.heavy])
        self.capped = False
        self.parts: list[tuple[Int[ndarray, " k"], Int[ndarray, "g k"]]] = []
        for part in _independent(bonded, colours):
            maps, whole = _automorphisms(bonded[np.ix_(part, part)], colours[part], limit)
            self.capped |= not whole
            if len(maps) > 1:
                atoms = self.heavy[part]
                self.parts.append((atoms, atoms[maps]))
        moving = np.concatenate([atoms for atoms, _ in self.parts] or [self.heavy[:0]])
        self._fixed = np.setdiff1d(self.heavy, moving)

    @classmethod
    def of(cls, mol: Any, *, limit: int = MAX_MAPS) -> "Symmetry":
        """Take an RDKit molecule; explicit hydrogens may be there."""
        pairs = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
        return cls(
            [atom.GetAtomicNum() for atom in mol.GetAtoms()],
            np.array(pairs, dtype=np.int64).reshape(-1, 2),
            limit=limit,
        )

    @property
    def order(self) -> int:
        """Number of automorphisms; a lower bound if ``capped``."""
        count = 1
        for _, maps in self.parts:
            count *= len(maps)
        return count

    def __repr__(self) -> str:
        more = "more than " if self.capped else ""
        return f"Symmetry({len(self.heavy)} heavy atoms, {more}{self.order} automorphisms)"

    def rmsd(self, a: Float[ndarray, "p n 3"], b: Float[ndarray, "q n 3"]) -> Float[ndarray, "p q"]:
        """RMSD over heavy atoms of every pose of ``a`` to every pose of ``b``, angstrom.

        Args:
            a: Poses, angstrom, all atoms; those of hydrogens are passed over.
            b: Other poses of the same molecule.

        Raises:
            ValueError: If the number of atoms is not the molecule's.
        """
        for name, x in (("a", a), ("b", b)):
            if x.shape[1:] != (self.atoms, 3):
                raise ValueError(f"{name} must have shape (p, {self.atoms}, 3), got {x.shape}")
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
        a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
        total = np.zeros((len(a), len(b)))
        for one, sums in zip(a, total, strict=True):
            add_squares(one, b, self._fixed, sums)
            for atoms, maps in self.parts:
                add_least_squares(one, b, atoms, maps, sums)
        return np.sqrt(total / len(self.heavy))

    def cluster(
        self,
        coords: Float[ndarray, "p n 3"],
        scores: Float[ndarray, " p"],
        cutoff: float | int = 1.0,
        limit: int | None = 9,
    ) -> Int[ndarray, " kept"]:
        """Choose poses that differ from each other: best first, each far from all better ones.

        Args:
            coords: Poses, angstrom.
            scores: Higher is better; equal ones keep their order.
            cutoff: RMSD, angstrom, within which a pose repeats a better one.
            limit: Poses to keep at most; None keeps all.

        Returns:
            Indices of the kept poses, best first.

        Raises:
            ValueError: If a score is NaN or the numbers of poses and scores differ.
        """
        if len(scores) != len(coords):
            raise ValueError(f"scores must have one entry per pose, got {len(scores)}")
        if np.isnan(scores).any():
            raise ValueError("scores must be numbers, got NaN")
        waiting = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
        kept: list[int] = []
        while len(waiting) and (limit is None or len(kept) < limit):
            best, waiting = int(waiting[0]), waiting[1:]
            kept.append(best)
            if limit is None or len(kept) < limit:
                distance = self.rmsd(coords[best : best + 1], coords[waiting])[0]
                waiting = waiting[distance > cutoff]
        return np.array(kept, dtype=np.int64)


def _refine(bonded: Bool[ndarray, "n n"], kinds: list[str]) -> Int[ndarray, " n"]:
    """Coarsest equitable colouring: atoms alike have alike neighbours, and so on."""
    names: list[Any] = list(kinds)
    neighbours = [np.flatnonzero(row).tolist() for row in bonded]
    count = 0
    while True:
        order = {name: index for index, name in enumerate(sorted(set(names)))}
        colours = [order[name] for name in names]
        if len(order) == count:
            return np.array(colours, dtype=np.int64)
        count = len(order)
        names = [
            (colours[i], tuple(sorted(colours[j] for j in near)))
            for i, near in enumerate(neighbours)
        ]


def _independent(
    bonded: Bool[ndarray, "n n"], colours: Int[ndarray, " n"]
) -> list[Int[ndarray, " k"]]:
    """Atoms of the colour classes that constrain each other.

    The colouring is equitable, so two classes between which all or no pairs are bonded leave each
    other's permutations free, and a class of one atom never moves.
    """
    classes = [np.flatnonzero(colours == colour) for colour in range(int(colours.max()) + 1)]
    classes = [members for members in classes if len(members) > 1]
    parts: list[list[int]] = []
    left = set(range(len(classes)))
    while left:
        stack, group = [left.pop()], []
        while stack:
            here = stack.pop()
            group.append(here)
            for there in sorted(left):
                block = bonded[np.ix_(classes[here], classes[there])]
                if block.any() and not block.all():
                    left.discard(there)
                    stack.append(there)
        parts.append(group)
    return [np.sort(np.concatenate([classes[c] for c in group])) for group in parts]


def _automorphisms(
    bonded: Bool[ndarray, "k k"], colours: Int[ndarray, " k"], limit: int
) -> tuple[Int[ndarray, "g k"], bool]:
    """Permutations of a part that keep colours and bonds, and whether these are all.

    Backtracking, atom by atom along the bonds; of each atom's candidates itself comes first, so
    the identity is the first permutation found.
    """
    k = len(colours)
    order: list[int] = []
    while len(order) < k:
        joined = bonded[order].sum(axis=0)  # bonds to atoms already placed
        order.append(min(set(range(k)) - set(order), key=lambda i: (joined[i] == 0, i)))
    alike = [
        sorted(np.flatnonzero(colours == colours[i]).tolist(), key=lambda j: (j != i, j))
        for i in order
    ]
    rows = bonded.tolist()
    maps: list[list[int]] = []
    image: list[int] = []
    tried = [0] * k
    steps = 0
    while True:
        depth = len(image)
        if depth == k:
            maps.append([image[index] for index in np.argsort(order).tolist()])
            if len(maps) > limit:
                return np.array(maps[:limit], dtype=np.int64), False
        elif tried[depth] < len(alike[depth]):
            to = alike[depth][tried[depth]]
            tried[depth] += 1
            steps += 1
            if steps > _STEPS_PER_MAP * k * limit:
                return np.array(maps, dtype=np.int64), False
            from_row, to_row = rows[order[depth]], rows[to]
            if to not in image and all(
                from_row[order[index]] == to_row[image[index]] for index in range(depth)
            ):
                image.append(to)
                if depth + 1 < k:
                    tried[depth + 1] = 0
            continue
        if not image:
            return np.array(maps, dtype=np.int64), True
        image.pop()
