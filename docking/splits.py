"""Which complexes a model may be fitted to, chosen by and tested on.

A corpus is a folder that names the complexes of each part, ``train``, ``val`` and ``test``, in
``<part>_ids.txt``; a part without a list is whatever lies in its folder or archive. What is known
of each complex stands in ``manifest.csv``, a row per ``id``. The columns read here:

* ``max_seqid_test``: largest sequence identity of the chain that holds the pocket to that of any
  test complex, aligned over half of either chain; blank if nothing aligns.
* ``max_tanimoto_same_protein``: largest Tanimoto similarity of the ligand (Morgan fingerprint of
  radius 2, 2048 bits) to the ligand of a test complex whose protein is at least 90 % identical.
* ``leak_loose``, ``leak_strict90``, ``leak_strict30``: the same judged by who made the corpus.
* ``covalent``: 1 if the ligand is bonded to the receptor.
"""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docking.benchmark.dataset import Complex, Dataset, read_ids
from overparam.errors import InputError

PARTS = ("train", "val", "test")
IDENTITY, SIMILARITY = "max_seqid_test", "max_tanimoto_same_protein"
FLAGS = ("leak_loose", "leak_strict90", "leak_strict30")


@dataclass(frozen=True)
class Level:
    """What a complex must not be if it is to be trained on or chosen by.

    Attributes:
        identity: Sequence identity to a test protein from which on the two are near-identical.
        similarity: Tanimoto similarity of the ligands from which on they are similar; 0 means that
            near-identical proteins are too close whatever their ligands.
        flags: Columns none of which may be 1 either.
    """

    identity: float
    similarity: float
    flags: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns a manifest needs to tell."""
        return (IDENTITY, SIMILARITY) if self.similarity > 0 else (IDENTITY,)


LEVELS: dict[str, Level | None] = {
    "published": None,
    "strict": Level(0.9, 0.5, FLAGS[:1]),
    "strict90": Level(0.9, 0.0, FLAGS[:2]),
    "strict30": Level(0.3, 0.0, FLAGS),
}
"""How far training stays from the test; each level keeps what the next keeps, and more.

* ``published``: the lists as they are; nothing is promised but that no id is in two parts.
* ``strict``: no near-identical protein (90 %) with a similar ligand (Tanimoto 0.5 and more).
* ``strict90``: no protein at least 90 % identical to one of the test.
* ``strict30``: no protein at least 30 % identical to one of the test.

Only the chain with most contacts to the ligand is compared. Nothing is promised between train and
val: whoever drew the lists may have put relatives in both.
"""

SUBSETS = {
    "timesplit": ("timesplit", "test"),
    "timesplit_no_overlap": ("ts_test_no_rec_overlap", "1"),
    "posebusters": ("in_posebusters", "1"),
}
"""Named parts of the test: the column of the manifest, and the value its complexes have there."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class Members:
    """The complexes of a part.

    Attributes:
        complexes: Those that are used, sorted by id.
        left_out: Why each other id is not, as ``"kind: detail"``.
    """

    complexes: list[Complex]
    left_out: dict[str, str] = field(default_factory=dict)


class Splits:
    """The parts of a corpus.

    Args:
        root: Folder of the corpus: ``<part>/``, ``<part>.tar.xz``, the pairs of files themselves
            or a folder of each complex, as ``docking.benchmark.dataset`` finds them.
        scratch: Folder to unpack archives under, once.
        split: One of ``LEVELS``.
        manifest: Table of what is known; default ``manifest.csv`` in the root.

    Raises:
        ValueError: If ``split`` is no level.
        InputError: If there is no such folder, the manifest cannot be read, or it is missing or
            lacks what the level asks.
    """

    def __init__(
        self,
        root: str | Path,
        scratch: str | Path,
        *,
        split: str = "strict",
        manifest: str | Path | None = None,
    ) -> None:
        if split not in LEVELS:
            raise ValueError(f"split must be one of {', '.join(LEVELS)}, got {split!r}")
        self.root = Path(root)
        if not self.root.is_dir():
            raise InputError(f"the corpus must be a folder, got {root}")
        self.level = LEVELS[split]
        self.split = split
        self.scratch = Path(scratch)
        file = Path(manifest) if manifest is not None else self.root / "manifest.csv"
        known = manifest is not None or file.is_file()
        self.rows: dict[str, dict[str, str]] = read_manifest(file) if known else {}
        if self.level is not None:
            columns = set(next(iter(self.rows.values()), {}))
            lacking = [name for name in self.level.columns if name not in columns]
            if lacking:
                raise InputError(
                    f"split {split!r} needs {file} with columns id, {', '.join(lacking)} to tell "
                    "what is too close to the test; split 'published' takes the lists as they are"
                )

    def select(self, part: str, subset: str | None = None) -> tuple[list[str], dict[str, str]]:
        """Ids of a part, and of each other id of the part why it is left out.

        No file of a complex is looked for if the part has a list.

        Args:
            part: ``train``, ``val`` or ``test``.
            subset: For the test, one of ``SUBSETS``; the rest is not asked for, so it does not
                count as left out.

        Raises:
            ValueError: If the part or the subset is unknown.
            InputError: If there are no ids, or none in the subset.
        """
        if part not in PARTS:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
        ids = self._ids(part)
        if part == "test":
            return self._subset(ids, subset), {}
        if subset is not None:
            raise ValueError(f"subset must be None for {part}, got {subset!r}")
        ahead = {
            key: later for later in PARTS[PARTS.index(part) + 1 :] for key in self._there(later)
        }
        left_out = {key: f"overlap: also in {ahead[key]}" for key in ids if key in ahead}
        for key in ids:
            if key not in left_out and (why := self._too_close(key)):
                left_out[key] = f"leak: {why}"
        return [key for key in ids if key not in left_out], left_out

    def members(self, part: str, subset: str | None = None) -> Members:
        """The complexes of a part with their files; see ``select``.

        Raises:
            InputError: If the part has no ids or no files.
        """
        ids, left_out = self.select(part, subset)
        found = {one.id: one for one in self._open(part).complexes}
        absent = [key for key in ids if key not in found]
        left_out |= dict.fromkeys(absent, "missing: no files of receptor and ligand")
        return Members([found[key] for key in ids if key in found], left_out)

    def covalent(self, key: str) -> bool | None:
        """Whether the manifest says the ligand is bonded to the receptor; None if it is mute."""
        said = self.rows.get(key, {}).get("covalent", "")
        return said == "1" if said else None

    def _ids(self, part: str) -> list[str]:
        file = self.root / f"{part}_ids.txt"
        ids = read_ids(file) if file.is_file() else [one.id for one in self._open(part).complexes]
        return sorted(set(ids))

    def _there(self, part: str) -> list[str]:
        """Ids of a part that may not exist."""
        try:
            return self._ids(part)
        except InputError:
            return []

    def _open(self, part: str) -> Dataset:
        listed = (self.root / f"{part}_ids.txt").is_file()
        archives = sorted(self.root.glob(f"{part}.tar*"))
        if not (listed or archives or (self.root / part).is_dir()):
            raise InputError(
                f"{self.root} does not say which complexes are {part}: give {part}_ids.txt, a "
                f"folder {part} or {part}.tar.xz"
            )
        # Another archive under the same name must not be taken for one unpacked before.
        state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in archives]
        told = hashlib.sha256(repr((str(self.root.resolve()), state)).encode()).hexdigest()
        return Dataset.open(self.root, part, self.scratch / told[:16])

    def _subset(self, ids: list[str], subset: str | None) -> list[str]:
        if subset is None:
            return ids
        if subset not in SUBSETS:
            raise ValueError(f"subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
        column, value = SUBSETS[subset]
        chosen = [key for key in ids if self.rows.get(key, {}).get(column) == value]
        if not chosen:
            raise InputError(f"no test complex has {column} = {value} in the manifest")
        return chosen

    def _too_close(self, key: str) -> str:
        if self.level is None:
            return ""
        if key not in self.rows:
            return f"not in the manifest, so {self.split!r} cannot be told"
        return too_close(self.rows[key], self.level)


def too_close(row: Row, level: Level) -> str:
    """Why a complex is too close to the test; empty if it is not.

    A blank identity means that nothing aligns; a blank similarity beside a near-identical protein
    is unknown and counts as similar.

    Raises:
        InputError: If a number is none.
    """
    flag = next((flag for flag in level.flags if row.get(flag) == "1"), "")
    judged = f"{flag} in the manifest" if flag else ""
    identity = _number(row, IDENTITY)
    if identity is None or identity < level.identity:
        return judged
    near = f" {row['nearest_test']}" if row.get("nearest_test") else ""
    why = f"protein {identity:.0%} identical to test{near}"
    if level.similarity <= 0:
        return why
    similarity = _number(row, SIMILARITY)
    if similarity is None:
        return f"{why}, similarity of the ligands unknown"
    return (
        f"{why}, ligands similar by {similarity:.2f}" if similarity >= level.similarity else judged
    )


def read_manifest(file: str | Path) -> dict[str, dict[str, str]]:
    """Rows of a manifest by id.

    Raises:
        InputError: If it cannot be read, has no column ``id`` or no row.
    """
    try:
        with Path(file).open(newline="", encoding="utf-8") as lines:
            rows = {row["id"]: row for row in csv.DictReader(lines)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: cannot be read as a manifest ({error})") from None
    except KeyError:
        raise InputError(f"{file}: no column id") from None
    if not rows:
        raise InputError(f"{file}: no row in it")
    return rows


def _number(row: Row, column: str) -> float | None:
    text = row.get(column) or ""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"manifest, {row.get('id')}: {column} must lie in [0, 1], got {text!r}")
    return value
