"""MinedComplexes: complexes with poses of their ligands, true ones and rivals."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from torch.utils.data import Dataset

from docking.complex_cache import ComplexCache, Entry
from docking.complexes import Complexes, Example, ExampleSet
from docking.learned.pose_set import VERSION, PoseMiner, PoseSet
from overparam.errors import InputError


@dataclass(eq=False)
class MinedExample(Example):
    """A complex and poses of its ligand.

    Attributes:
        poses: True poses and rivals, the crystal pose first.
    """

    poses: PoseSet

    def __reduce__(self) -> Any:
        make, (key, packed, source) = super().__reduce__()
        return _unpickled, (make, key, packed, source, self.poses.pack())


def _unpickled(make: Any, key: str, packed: bytes, source: str, poses: bytes) -> MinedExample:
    plain = make(key, packed, source)
    return MinedExample(plain.id, plain.receptor, plain.ligand, PoseSet.unpack(poses))


@dataclass(frozen=True)
class PoseCache:
    """A folder of mined poses, one file per complex and way of mining.

    Attributes:
        folder: Where.
        examples: The complexes.
        miner: How.
        torsions: Most rotatable bonds of a ligand that is searched for.
        atoms: Most heavy atoms of it.
    """

    folder: Path
    examples: ComplexCache
    miner: PoseMiner
    torsions: int
    atoms: int

    def file(self, entry: Entry) -> Path:
        """Where the poses of a complex are, named after all they depend on."""
        told = json.dumps([VERSION, entry.complex.id, entry.key, asdict(self.miner)])
        digest = hashlib.sha256(told.encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.npz"

    def load(self, entry: Entry) -> PoseSet:
        """Mined poses of a complex."""
        return PoseSet.unpack(self.file(entry).read_bytes())

    def prepare(self, entry: Entry) -> str:
        """Mine a complex unless that is done; returns why it cannot be, empty if it can."""
        file = self.file(entry)
        receptor, ligand = self.examples.load(entry)
        for name, size, most in (
            ("rotatable bonds", len(ligand.torsions), self.torsions),
            ("heavy atoms", int(ligand.heavy.sum()), self.atoms),
        ):
            if size > most:
                return f"large: {size} {name}, more than {most}"
        if file.is_file():
            return ""
        try:
            poses = self.miner(entry.complex.id, receptor, ligand)
        except InputError as error:
            return f"not docked: {error}"
        partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(poses.pack())
            partial.replace(file)
        except OSError as error:
            raise InputError(f"cache {file} cannot be written ({error.strerror})") from None
        return ""


class MinedSet(Dataset[MinedExample]):
    """The complexes of one part with their poses.

    Args:
        examples: The complexes.
        poses: Where the poses are.
    """

    def __init__(self, examples: ExampleSet, poses: PoseCache) -> None:
        self.examples, self.poses = examples, poses

    @property
    def entries(self) -> list[Entry]:
        """The complexes."""
        return self.examples.entries

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> MinedExample:
        plain = self.examples[index]
        poses = self.poses.load(self.entries[index])
        return MinedExample(plain.id, plain.receptor, plain.ligand, poses)

    def __iter__(self) -> Iterator[MinedExample]:
        return (self[index] for index in range(len(self)))


class MinedComplexes(Complexes):
    """``Complexes`` whose batches carry mined poses, made once and kept in the cache.

    Mining takes a second or two of one core per complex; what is mined stays mined if the run is
    stopped.

    Args:
        root: Folder of the corpus; see ``Complexes`` for it and all that follows but the miner's.
        effort: Effort of the flexible search for rivals.
        flexible: Most poses of that search.
        rigid: Most poses of the rigid search.
        near: Descents from disturbed crystal poses.
        mining_seed: Seed of the searches.
        torsions: Ligands with more rotatable bonds are left out, and counted.
        atoms: Ligands with more heavy atoms are left out, and counted.
        jobs: Processes that mine.

    Raises:
        ValueError: If an argument makes no sense.
        InputError: If no corpus is named.
    """

    def __init__(
        self,
        root: str | None = None,
        *,
        effort: float = 0.5,
        flexible: int = 30,
        rigid: int = 30,
        near: int = 10,
        mining_seed: int = 0,
        torsions: int = 15,
        atoms: int = 60,
        jobs: int = 1,
        cache_dir: str | None = None,
        **complexes: Any,
    ) -> None:
        super().__init__(root, cache_dir=cache_dir, **complexes)
        for name, value in (("torsions", torsions), ("atoms", atoms), ("jobs", jobs)):
            if value < (0 if name == "torsions" else 1):
                raise ValueError(f"{name} must be positive, got {value}")
        folder = Path(cache_dir) if cache_dir else Path.home() / ".cache" / "overparam" / "docking"
        miner = PoseMiner(effort, flexible, rigid, near, mining_seed)
        self.poses = PoseCache(folder / "poses", self.cache, miner, torsions, atoms)
        self.jobs = jobs

    def _read(self, part: str) -> tuple[list[Entry], dict[str, str]]:
        entries, left_out = super()._read(part)
        kept = []
        for entry, reason in zip(entries, self._mine(part, entries), strict=True):
            if reason:
                left_out[entry.complex.id] = reason
            else:
                kept.append(entry)
        if not kept:
            raise InputError(f"{self.splits.root}: no ligand of {part} could be docked")
        return kept, left_out

    def _mine(self, part: str, entries: list[Entry]) -> list[str]:
        shown: dict[str, Any] = {
            "description": f"mining {part}",
            "total": len(entries),
            "console": Console(stderr=True),
            "transient": True,
            "disable": not sys.stderr.isatty(),
        }
        if self.jobs == 1:
            return [self.poses.prepare(entry) for entry in track(entries, **shown)]
        with ProcessPoolExecutor(self.jobs, mp_context=get_context("spawn")) as pool:
            return list(track(pool.map(self.poses.prepare, entries, chunksize=4), **shown))

    def setup(self, stage: str | None = None) -> None:
        """Find, read, mine and count the complexes a stage needs."""
        super().setup(stage)
        for part, found in self.sets.items():
            if isinstance(found, ExampleSet):
                self.sets[part] = MinedSet(found, self.poses)  # type: ignore[assignment]
