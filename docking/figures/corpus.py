"""Chains and ligands of a corpus: from its manifest if that has them, else from the files.

The manifest's columns are ``smiles``, the ligand, and ``seq``, the chain with most contacts to it.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from docking.benchmark.chain import PocketChain
from docking.benchmark.dataset import Complex, Dataset
from docking.figures.method import Method
from docking.figures.similarity import Molecules, Nearest, Training, similarities
from docking.splits import Splits
from overparam.errors import InputError

SMILES, SEQUENCE = "smiles", "seq"


def listed(rows: Mapping[str, Mapping[str, str]], ids: Iterable[str]) -> dict[str, Molecules]:
    """What a manifest says of some complexes, of those it has both columns for."""
    return {
        key: Molecules(rows[key][SEQUENCE], rows[key][SMILES])
        for key in ids
        if rows.get(key, {}).get(SEQUENCE) and rows[key].get(SMILES)
    }


def read(
    complexes: Iterable[Complex], tell: Callable[[str], object] = lambda _: None
) -> dict[str, Molecules]:
    """Chains and ligands of files; a complex that cannot be read is left out, and told."""
    found = {}
    for one in complexes:
        try:
            chain = PocketChain.of(one)
        except ValueError as error:
            tell(f"{one.id}: {error}")
            continue
        found[one.id] = Molecules(chain.letters, chain.smiles)
        tell("")
    return found


def training(
    splits: Splits, *, files: bool, tell: Callable[[str], object] = lambda _: None
) -> Training | None:
    """What a model fitted on this corpus at this level was trained on.

    Args:
        splits: The corpus and the level.
        files: Whether to read what the manifest does not say from the files, some 50 ms each.
        tell: Called once for each file, with words if it cannot be read.

    Returns:
        None if the corpus has no training part, or files would have to be read and must not.
    """
    try:
        ids, _ = splits.select("train")
    except InputError:
        return None
    found = listed(splits.rows, ids)
    lacking = set(ids) - set(found)
    if lacking and not files:
        return None
    if lacking:
        members = splits.members("train").complexes
        found |= read([one for one in members if one.id in lacking], tell)
    return Training(found, splits.split) if found else None


def tested(
    splits: Splits,
    ids: Iterable[str],
    complexes: Callable[[], Dataset] | None,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, Molecules]:
    """Chains and ligands of the complexes of a run; what is not known is blank.

    Args:
        splits: The corpus.
        ids: The complexes.
        complexes: Opens their files, if these may be read.
        tell: As for ``training``.
    """
    wanted = list(ids)
    found = listed(splits.rows, wanted)
    lacking = [key for key in wanted if key not in found]
    if lacking and complexes is not None:
        found |= read([one for one in complexes().complexes if one.id in set(lacking)], tell)
    return {key: found.get(key, Molecules("", "")) for key in wanted}


def nearest_of(
    root: Path,
    methods: Sequence[Method],
    cache: Path,
    *,
    level: str = "strict",
    files: Callable[[], Dataset] | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, Nearest] | None:
    """The closest training complex of each that some methods were run on.

    Args:
        root: The corpus.
        methods: Whose complexes.
        cache: Folder of ``similarity.csv``, where what is found stays.
        level: How far training stayed from the test, one of ``docking.splits.LEVELS``.
        files: Opens the files of the complexes; left out, only the manifest is looked at.
        tell: Called for each file that is read, with words if it cannot be.

    Returns:
        None if the corpus has no training part that can be told apart, or its manifest does not
        say enough and no file may be read.

    Raises:
        InputError: If the manifest is damaged.
    """
    if level != "published" and not (root / "manifest.csv").is_file():
        return None
    with tempfile.TemporaryDirectory() as scratch:
        splits = Splits(root, scratch, split=level)
        learned = training(splits, files=files is not None, tell=tell)
        if learned is None:
            return None
        ids = sorted({key for one in methods for key in one.ids})
        found = tested(splits, ids, files, tell)
    if not any(one.letters or one.smiles for one in found.values()):
        return None
    return similarities(cache / "similarity.csv", learned, found)
