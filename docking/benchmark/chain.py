"""The protein chain a ligand touches: whether another structure has it too, and how it lies there.

Receptors are often cut to the surroundings of their ligand. The residues that the numbering says
are absent take part in the alignment as unknown, so that two cuts of one protein still align.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from rdkit import Chem
from scipy.spatial import cKDTree

from docking.benchmark.dataset import Complex
from docking.benchmark.protocols import read_ligand

IDENTITY = 0.95
"""Share of aligned residues that must be the same in two structures of one protein."""
ALIGNED = 0.5
"""Share of the shorter chain that must be aligned for that share to mean anything."""
NEAR = 10.0
"""Angstrom from the ligand within which alpha carbons are superposed."""
_CONTACT = 4.5  # A
_LONGEST_LOOP = 100  # residues; a longer jump of the numbering is a habit of it, not a gap
_UNSEEN, _GAP, _WORD = "X", "-", 3
# Of the three-letter words of the shorter chain, a half that is aligned at 0.95 keeps more.
_COMMON_WORDS = 0.4


class Match(NamedTuple):
    """Two chains aligned.

    Attributes:
        pairs: Places of each residue seen in both, in the one and in the other.
        identity: Share of these that are the same; 0 if there are none.
        aligned: Number of these over that of the residues seen in the shorter chain.
    """

    pairs: Int[ndarray, "k 2"]
    identity: float
    aligned: float

    @property
    def same_protein(self) -> bool:
        """Whether both are the same protein, up to a few mutations."""
        return self.identity >= IDENTITY and self.aligned >= ALIGNED


class Superposition(NamedTuple):
    """How another structure is brought onto a pocket.

    Attributes:
        transform: A ``gemmi.Transform`` of the other structure.
        near: Alpha carbons of the pocket.
        matched: How many of them the other structure has.
        rmsd: Of these after superposition, angstrom.
    """

    transform: Any
    near: int
    matched: int
    rmsd: float


@dataclass(frozen=True, eq=False)
class PocketChain:
    """The chain with most atoms at a ligand.

    Attributes:
        id: Id of the complex.
        letters: One per residue, ``X`` for one that is absent or unknown.
        calphas: Alpha carbons, angstrom; NaN for residues that are absent.
        ligand: The ligand in its crystal pose, angstrom.
        smiles: The ligand's canonical SMILES.
    """

    id: str
    letters: str
    calphas: Float[ndarray, "n 3"]
    ligand: Float[ndarray, "a 3"]
    smiles: str

    @classmethod
    def of(cls, one: Complex) -> "PocketChain":
        """Read a complex.

        Raises:
            ValueError: If a file cannot be read or no protein chain touches the ligand.
        """
        ligand = read_ligand(one.ligand)
        assert ligand.coords is not None
        tree = cKDTree(ligand.coords)
        most, chain = 0, None
        for atoms, letters, calphas in _protein_chains(one.receptor):
            touching = int((tree.query(atoms)[0] < _CONTACT).sum())
            if touching > most:
                most, chain = touching, (letters, calphas)
        if chain is None:
            raise ValueError(f"no protein chain within {_CONTACT:g} A of the ligand")
        return cls(one.id, *chain, ligand.coords, Chem.MolToSmiles(ligand.mol))

    @property
    def seen(self) -> int:
        """How many residues are there."""
        return len(self.letters) - self.letters.count(_UNSEEN)

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """All runs of three residues that are there."""
        runs = (self.letters[i : i + _WORD] for i in range(len(self.letters) - _WORD + 1))
        return frozenset(run for run in runs if _UNSEEN not in run)

    def resembles(self, other: "PocketChain") -> bool:
        """Whether an alignment is worth its time; never false for the same protein, almost."""
        few = min(len(self.words), len(other.words))
        return few > 0 and len(self.words & other.words) >= _COMMON_WORDS * few

    def match(self, other: "PocketChain") -> Match:
        """Align with another chain; the other way round gives the same pairs.

        Source of the algorithm: Needleman and Wunsch, J. Mol. Biol. 48 (1970) 443, by gemmi.
        """
        if self.letters > other.letters:
            back = other.match(self)
            return back._replace(pairs=back.pairs[:, ::-1])
        # Unknown residues are alike to nothing, not even to each other.
        other_letters = other.letters.replace(_UNSEEN, _UNSEEN.lower())
        aligned = gemmi.align_string_sequences(
            list(self.letters), list(other_letters), [], _scoring()
        )
        rows = (aligned.add_gaps(self.letters, 1), aligned.add_gaps(other.letters, 2))
        place, pairs, same = [0, 0], [], 0
        for first, second in zip(*rows, strict=True):
            if not {first, second} & {_UNSEEN, _GAP}:
                pairs.append(tuple(place))
                same += first == second
            place[0] += first != _GAP
            place[1] += second != _GAP
        shorter = max(1, min(self.seen, other.seen))
        found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return Match(found, same / max(1, len(pairs)), len(pairs) / shorter)

    def superpose(self, other: "PocketChain", match: Match) -> Superposition:
        """Bring another structure onto this one by the alpha carbons near this one's ligand.

        Source of the algorithm: Theobald, Acta Cryst. A61 (2005) 478, by gemmi.
        """
        near = np.isfinite(self.calphas[:, 0])
        near[near] = cKDTree(self.ligand).query(self.calphas[near])[0] < NEAR
        pairs = match.pairs[near[match.pairs[:, 0]]]
        if len(pairs) < 3:  # these fix no rotation
            return Superposition(gemmi.Transform(), int(near.sum()), len(pairs), float("inf"))
        fixed = [gemmi.Position(*xyz) for xyz in self.calphas[pairs[:, 0]]]
        moved = [gemmi.Position(*xyz) for xyz in other.calphas[pairs[:, 1]]]
        found = gemmi.superpose_positions(fixed, moved)
        return Superposition(found.transform, int(near.sum()), len(pairs), float(found.rmsd))


def _scoring() -> Any:
    """What an alignment of one protein's numbered residues pays for: few gaps, of any length."""
    scoring = gemmi.AlignmentScoring()
    scoring.match, scoring.mismatch = 2, 0
    scoring.gapo, scoring.gape = -6, 0
    return scoring


def _protein_chains(
    path: Path,
) -> Iterator[tuple[Float[ndarray, "m 3"], str, Float[ndarray, "n 3"]]]:
    """Atoms, letters and alpha carbons of every protein chain."""
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"receptor: {' '.join(str(error).split())}") from None
    structure.setup_entities()
    for chain in structure[0] if len(structure) else ():
        polymer = chain.get_polymer()
        letters, calphas = _sequence(polymer.first_conformer())
        if letters:
            atoms = [atom.pos.tolist() for residue in polymer for atom in residue]
            yield np.array(atoms, dtype=np.float64), letters, calphas


def _sequence(residues: Iterable[Any]) -> tuple[str, Float[ndarray, "n 3"]]:
    """Letters and alpha carbons, with places for the residues that the numbering leaves out."""
    letters: list[str] = []
    calphas: list[list[float]] = []
    before = None
    for residue in residues:
        calpha, number = residue.find_atom("CA", "*", gemmi.Element("C")), residue.seqid.num
        if calpha is None:
            continue
        jump = 0 if before is None else number - before - 1
        absent = jump if 0 < jump <= _LONGEST_LOOP else 0
        letter = gemmi.find_tabulated_residue(residue.name).one_letter_code.strip().upper()
        letters += [_UNSEEN] * absent + [letter or _UNSEEN]
        calphas += [[np.nan] * 3] * absent + [calpha.pos.tolist()]
        before = number
    return "".join(letters), np.array(calphas, dtype=np.float64).reshape(-1, 3)
