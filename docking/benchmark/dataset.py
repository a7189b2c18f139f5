"""Complexes on disk: a folder of pairs, or the archive of a split, with what is known about them.

Read are ``<id>_protein.pdb`` (``.cif``, ``.gz``, or PDBBind's ``<id>_protein_processed.pdb``) and
``<id>_ligand.sdf``, in the folder of the split, in the root itself, or in a folder of each complex.
"""

import csv
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from overparam.errors import InputError

RECEPTORS = tuple(
    f"_protein{middle}.{kind}{packed}"
    for middle in ("", "_processed")
    for kind in ("pdb", "cif")
    for packed in ("", ".gz")
)
LIGANDS = ("_ligand.sdf", "_ligand.sdf.gz", "_ligand.mol2", "_ligand.mol2.gz")
FLAGS = ("covalent", "in_posebusters", "ts_test_no_rec_overlap")
"""Columns of ``manifest.csv`` that mark subsets worth a line of their own."""
SAME_LIGAND = "same_ligand"
"""Flag of a ligand docked into a structure that was solved with the same ligand."""


@dataclass(frozen=True)
class Complex:
    """One receptor and the ligand in its crystal pose.

    Attributes:
        id: Name, unique in the data set.
        receptor: File of the receptor.
        ligand: File of the ligand.
        flags: Which subsets of ``FLAGS`` it belongs to, and ``SAME_LIGAND``.
        partner: Complex the receptor comes from; empty if it is the ligand's own.
    """

    id: str
    receptor: Path
    ligand: Path
    flags: frozenset[str] = frozenset()
    partner: str = ""


@dataclass
class Dataset:
    """The complexes of a split, sorted by id.

    Attributes:
        complexes: The complexes.
        warnings: Ids of the split without files, and what had to be assumed.
    """

    complexes: list[Complex]
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, root: str | Path, split: str, cache: str | Path) -> "Dataset":
        """Find the complexes of a split.

        Args:
            root: Folder that holds ``<split>/``, ``<split>.tar.xz`` or the pairs themselves.
            split: Name, such as ``val`` or ``test``. Ids come from ``<split>_ids.txt`` if the root
                has one, else everything found in the split's place counts.
            cache: Folder to unpack an archive into, once.

        Raises:
            InputError: If there is no such place, or no complex in it.
        """
        root = Path(root)
        if not root.is_dir():
            raise InputError(f"--data-root must be a folder, got {root}")
        warnings: list[str] = []
        listed = _ids_of(root / f"{split}_ids.txt")
        place = _place(root, split, Path(cache))
        found = _pairs(place)
        if place == root and not listed:
            warnings.append(f"{root} has no list {split}_ids.txt: all its complexes are taken")
        flags = _flags(root / "manifest.csv")
        wanted = sorted(listed or found)
        absent = [key for key in wanted if key not in found]
        if absent:
            warnings.append(
                f"{len(absent)} of {len(wanted)} ids of {split} have no files: "
                + ", ".join(absent[:5])
            )
        complexes = [
            Complex(key, *found[key], flags.get(key, frozenset())) for key in wanted if key in found
        ]
        if not complexes:
            raise InputError(
                f"no complex of split {split!r} in {place}: expected <id>_protein.pdb with "
                "<id>_ligand.sdf"
            )
        return cls(complexes, warnings)

    def select(
        self,
        *,
        first: int | None = None,
        count: int | None = None,
        ids: Iterable[str] | None = None,
        seed: int = 0,
    ) -> "Dataset":
        """A part of the data set; at most one of the choices may be given.

        Args:
            first: The first so many, in alphabetical order.
            count: So many drawn at random.
            ids: Exactly these.
            seed: Seed of the draw.

        Raises:
            InputError: If a number is not positive, or an id is not there.
        """
        given = [name for name, value in (("first", first), ("count", count)) if value is not None]
        if len(given) + (ids is not None) > 1:
            raise InputError("give one of --first, --count and --ids")
        for name, value in (("first", first), ("count", count)):
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1, got {value}")
        chosen = self.complexes
        if first is not None:
            chosen = chosen[:first]
        elif count is not None:
            order = np.random.default_rng(seed).permutation(len(chosen))[:count]
            chosen = [chosen[i] for i in sorted(order)]
        elif ids is not None:
            known = {one.id: one for one in chosen}
            wanted = list(dict.fromkeys(ids))
            absent = [key for key in wanted if key not in known]
            if absent or not wanted:
                raise InputError(f"ids must be of the split, got {', '.join(absent[:5]) or 'none'}")
            chosen = [known[key] for key in sorted(wanted)]
        return Dataset(list(chosen), list(self.warnings))

    def __len__(self) -> int:
        return len(self.complexes)


def read_ids(file: str | Path) -> list[str]:
    """The words of a text file, in order.

    Raises:
        InputError: If it cannot be read or is empty.
    """
    try:
        ids = Path(file).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as a list of ids ({error})") from None
    if not ids:
        raise InputError(f"{file}: no id in it")
    return ids


def _ids_of(file: Path) -> list[str]:
    return read_ids(file) if file.is_file() else []


def _place(root: Path, split: str, cache: Path) -> Path:
    """Folder with the split's files, unpacking its archive if that is what there is."""
    if (root / split).is_dir():
        return root / split
    archives = [root / f"{split}.tar{packed}" for packed in (".xz", ".gz", "")]
    archive = next((file for file in archives if file.is_file()), None)
    if archive is None:
        return root
    done = cache / f"{split}.unpacked"
    if not done.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        try:
            with tarfile.open(archive) as packed_files:
                packed_files.extractall(cache, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{archive}: cannot be unpacked ({error})") from None
        done.touch()
    return cache / split if (cache / split).is_dir() else cache


def _pairs(place: Path) -> dict[str, tuple[Path, Path]]:
    """Files of every complex in a folder, or in one folder per complex below it."""
    files = {file.name: file for file in sorted(place.iterdir()) if file.is_file()}
    for folder in (entry for entry in sorted(place.iterdir()) if entry.is_dir()):
        files |= {f.name: f for f in folder.glob(f"{folder.name}_*") if f.is_file()}
    pairs: dict[str, tuple[Path, Path]] = {}
    for ending in RECEPTORS:
        for name in files:
            if not name.endswith(ending):
                continue
            key = name.removesuffix(ending)
            ligand = next((files[key + e] for e in LIGANDS if key + e in files), None)
            if ligand is not None:
                pairs.setdefault(key, (files[name], ligand))
    return pairs


def _flags(manifest: Path) -> dict[str, frozenset[str]]:
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as lines:
        return {
            row["id"]: frozenset(flag for flag in FLAGS if row.get(flag) == "1")
            for row in csv.DictReader(lines)
            if "id" in row
        }
