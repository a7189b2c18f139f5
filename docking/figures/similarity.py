"""How close a test complex is to what a model was trained on: its protein, and its ligand.

Ligands: Tanimoto similarity of Morgan fingerprints (radius 2, 2048 bits). Proteins: identity of the
chains at the ligands, aligned from end to end and over half of the shorter one at least.

Source of the alignment: Needleman and Wunsch, J. Mol. Biol. 48 (1970) 443, by gemmi; of the
fingerprint: Rogers and Hahn, J. Chem. Inf. Model. 50 (2010) 742, by RDKit.
"""

import csv
import hashlib
import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from docking.readers.chemistry import quiet
from overparam.run_folder import write_whole

HEAD = ("id", "training", "identity", "nearest_chain", "tanimoto", "nearest_ligand")
COVERAGE = 0.5
"""Share of the shorter chain that must be aligned."""
_WORD, _UNSEEN, _GAP = 3, "X", "-"
# Chains with most words in common, by number and by share of the shorter: others are not aligned.
_LOOKED_AT = 6


class Molecules(NamedTuple):
    """What is compared of a complex.

    Attributes:
        letters: Chain at the ligand, ``X`` for residues that are not seen.
        smiles: The ligand.
    """

    letters: str
    smiles: str


class Nearest(NamedTuple):
    """The closest of the training complexes.

    Attributes:
        identity: Largest sequence identity, 0 if nothing aligns; NaN if the chain is not known.
        chain: Id of the complex that has it.
        tanimoto: Largest similarity of the ligands; NaN if the ligand is not known.
        ligand: Id of the complex that has it.
    """

    identity: float
    chain: str
    tanimoto: float
    ligand: str


class Training:
    """The complexes a model was trained on, ready to be searched.

    Args:
        molecules: By id.
        name: What they are, for the record.

    Raises:
        ValueError: If there is none.
    """

    def __init__(self, molecules: Mapping[str, Molecules], name: str = "train") -> None:
        if not molecules:
            raise ValueError("molecules must be of one complex at least, got none")
        self.molecules = dict(sorted(molecules.items()))
        self.name = name
        self._index: dict[str, list[str]] = defaultdict(list)
        for key, one in self.molecules.items():
            for word in words(one.letters):
                self._index[word].append(key)
        made = {key: fingerprint(one.smiles) for key, one in self.molecules.items()}
        self._prints = {key: value for key, value in made.items() if value is not None}

    @property
    def digest(self) -> str:
        """Name, number and contents in a few letters."""
        told = repr([(key, *one) for key, one in self.molecules.items()])
        return f"{self.name}:{len(self.molecules)}:{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def nearest(self, one: Molecules) -> Nearest:
        """The closest chain and the closest ligand of the training complexes."""
        return Nearest(*self._chain(one.letters), *self._ligand(one.smiles))

    def _chain(self, letters: str) -> tuple[float, str]:
        own = words(letters)
        if not own:
            return math.nan, ""
        common = Counter(key for word in own for key in self._index.get(word, ()))
        sizes = {key: min(len(own), len(words(self.molecules[key].letters))) for key in common}
        by_number = sorted(common, key=lambda key: (-common[key], key))[:_LOOKED_AT]
        by_share = sorted(common, key=lambda key: (-common[key] / sizes[key], key))[:_LOOKED_AT]
        best = (0.0, "")
        for key in dict.fromkeys([*by_number, *by_share]):
            same, aligned = identity(letters, self.molecules[key].letters)
            if aligned >= COVERAGE and same > best[0]:
                best = same, key
        return best

    def _ligand(self, smiles: str) -> tuple[float, str]:
        own = fingerprint(smiles)
        if own is None or not self._prints:
            return math.nan, ""
        alike = DataStructs.BulkTanimotoSimilarity(own, list(self._prints.values()))
        best = max(range(len(alike)), key=lambda k: alike[k])
        return float(alike[best]), list(self._prints)[best]


@cache
def words(letters: str) -> frozenset[str]:
    """All runs of three residues that are seen."""
    runs = (letters[i : i + _WORD] for i in range(len(letters) - _WORD + 1))
    return frozenset(run for run in runs if _UNSEEN not in run)


def identity(first: str, second: str) -> tuple[float, float]:
    """Share of aligned residues that are the same, and aligned ones over the shorter chain's.

    The other way round gives the same numbers; residues that are not seen take no part.
    """
    first, second = sorted((first, second))
    # Unknown residues are alike to nothing, not even to each other.
    found = gemmi.align_string_sequences(
        list(first), list(second.replace(_UNSEEN, _UNSEEN.lower())), [], _scoring()
    )
    pairs = [
        pair
        for pair in zip(found.add_gaps(first, 1), found.add_gaps(second, 2), strict=True)
        if not {*pair} & {_GAP, _UNSEEN}
    ]
    same = sum(a == b for a, b in pairs)
    shorter = min(len(s) - s.count(_UNSEEN) for s in (first, second))
    return same / max(1, len(pairs)), len(pairs) / max(1, shorter)


@cache
def _scoring() -> Any:
    """Few gaps, of any length: the numbering of a chain leaves residues out."""
    scoring = gemmi.AlignmentScoring()
    scoring.match, scoring.mismatch = 2, 0
    scoring.gapo, scoring.gape = -6, 0
    return scoring


def fingerprint(smiles: str) -> Any:
    """Morgan fingerprint of a molecule; None if its SMILES cannot be read."""
    with quiet():
        mol = Chem.MolFromSmiles(smiles) if smiles else None
    return None if mol is None else _generator().GetFingerprint(mol)


@cache
def _generator() -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def similarities(
    file: Path, training: Training, complexes: Mapping[str, Molecules]
) -> dict[str, Nearest]:
    """The closest training complex of each, kept in a table so that it is found once.

    Args:
        file: The table; lines for another training set, or of other complexes, stay in it.
        training: What models were trained on.
        complexes: What they are tested on.
    """
    lines = {(line[0], line[1]): line for line in _read(file)}
    digest = training.digest
    missing = [key for key in complexes if (key, digest) not in lines]
    for key in missing:
        found = training.nearest(complexes[key])
        numbers = [_shown(found.identity), found.chain, _shown(found.tanimoto), found.ligand]
        lines[key, digest] = [key, digest, *numbers]
    if missing:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEAD, *lines.values()])
        write_whole(file, text.getvalue())
    return {key: _nearest(lines[key, digest]) for key in complexes}


def _read(file: Path) -> Iterable[list[str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as text:
        lines = list(csv.reader(text))
    return [line for line in lines[1:] if len(line) == len(HEAD)]


def _nearest(line: list[str]) -> Nearest:
    identity_, chain, tanimoto, ligand = line[2:]
    numbers = (float(text) if text else math.nan for text in (identity_, tanimoto))
    first, second = numbers
    return Nearest(first, chain, second, ligand)


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"
