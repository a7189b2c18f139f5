"""Protein-ligand complexes as Lightning data: lists of receptor, ligand and crystal pose."""

import hashlib
import os
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import track
from torch import Generator
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from docking.complex_cache import ComplexCache, Entry, pack, unpack
from docking.complex_reader import COVALENT, POCKET, shortest_contact
from docking.ligand import Ligand
from docking.molecule import Receptor, listing
from docking.splits import SUBSETS, Splits
from overparam.errors import InputError

ROOT = "OVERPARAM_DOCKING_DATA"
"""Environment variable that names the corpus if nothing else does."""
_STAGES = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}


class CorpusWarning(UserWarning):
    """Some complexes of the corpus are not used."""


@dataclass(eq=False)
class Example:
    """A complex to learn from.

    Attributes:
        id: Name of the complex.
        receptor: Its pocket: heavy atoms of whole residues, ions and cofactors, not the ligand.
        ligand: Heavy atoms of the ligand, ``coords`` as in the crystal.
    """

    id: str
    receptor: Receptor
    ligand: Ligand

    def __reduce__(self) -> Any:
        # RDKit's pickles round coordinates: a worker would send something else than it read
        packed = pack(self.receptor, self.ligand, compress=False)
        return _unpickled, (self.id, packed, self.receptor.source)


def _unpickled(key: str, packed: bytes, source: str) -> Example:
    return Example(key, *unpack(packed, source=source))


class ExampleSet(Dataset[Example]):
    """The complexes of one part, read from the cache one at a time.

    Args:
        entries: The complexes.
        cache: Where they are.
    """

    def __init__(self, entries: list[Entry], cache: ComplexCache) -> None:
        self.entries, self.cache = entries, cache

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Example:
        entry = self.entries[index]
        return Example(entry.complex.id, *self.cache.load(entry))

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))


class Complexes(pl.LightningDataModule):
    """Complexes of a corpus, split so that no test protein is met before with a similar ligand.

    The corpus is a folder with ``<part>_ids.txt`` for the parts train, val and test and either
    ``<part>/`` or ``<part>.tar.xz`` with ``<id>_protein.pdb`` and ``<id>_ligand.sdf``, or, as
    PDBBind has it, a folder of each complex with ``<id>_protein_processed.pdb`` or
    ``<id>_protein.pdb`` and ``<id>_ligand.sdf`` or ``.mol2``. What is too close to the test comes
    from ``manifest.csv`` (``docking.splits``).

    A batch is a list of ``Example``. The order of an epoch depends on the seed and the epoch alone.
    Reading happens once; then examples come from the cache.

    Args:
        root: Folder of the corpus; default what ``OVERPARAM_DOCKING_DATA`` names.
        split: How far train and val stay from the test, one of ``docking.splits.LEVELS``.
        subset: Part of the test, one of ``docking.splits.SUBSETS``; None is all of it.
        covalent: Whether to train on ligands bonded to the receptor. Validation and test have
            them, for there every complex counts.
        pocket: Angstrom from the ligand within which residues are kept.
        batch_size: Complexes in a batch of one process.
        manifest: Table of what is known; default ``manifest.csv`` in the root.
        cache_dir: Folder of the cache; default ``~/.cache/overparam/docking``.
        num_workers: Processes that read; 0 reads in this one.
        seed: Seed of the shuffling.

    Attributes:
        sets: ``ExampleSet`` of each part set up so far.
        left_out: Why each complex of these parts that is not used is not, as ``"kind: detail"``.
        summary: The same in one line, counted.

    Raises:
        ValueError: If an argument makes no sense.
        InputError: If no corpus is named.
    """

    def __init__(
        self,
        root: str | None = None,
        *,
        split: str = "strict",
        subset: str | None = None,
        covalent: bool = False,
        pocket: float | int = POCKET,
        batch_size: int = 8,
        manifest: str | None = None,
        cache_dir: str | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            name, value = (
                ("batch_size", batch_size) if batch_size < 1 else ("num_workers", num_workers)
            )
            raise ValueError(f"{name} must be at least {int(batch_size < 1)}, got {value}")
        if subset is not None and subset not in SUBSETS:
            raise ValueError(f"subset must be one of {', '.join(SUBSETS)}, got {subset!r}")
        root = root if root is not None else os.environ.get(ROOT)
        if not root:
            raise InputError(f"give the folder of the corpus as root, or in {ROOT}")
        folder = Path(cache_dir) if cache_dir else Path.home() / ".cache" / "overparam" / "docking"
        self.splits = Splits(root, folder / "unpacked", split=split, manifest=manifest)
        self.cache = ComplexCache(folder / "examples", pocket=pocket)
        self.subset, self.covalent = subset, covalent
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.sets: dict[str, ExampleSet] = {}
        self.left_out: dict[str, str] = {}
        self.summary = ""

    # reading

    def prepare_data(self) -> None:
        """Fill the cache, on one process of a distributed run, while the others wait."""
        running = self.trainer.state.fn if self.trainer is not None else None
        for part in _STAGES[running.value] if running is not None else ():
            self._read(part)

    def setup(self, stage: str | None = None) -> None:
        """Find, read and count the complexes a stage needs; what is left out is warned of.

        Raises:
            InputError: If the corpus cannot be used, or nothing of a part is left.
        """
        parts = _STAGES[stage] if stage is not None else ("train", "val", "test")
        new = [part for part in parts if part not in self.sets]
        lines = []
        for part in new:
            entries, left_out = self._read(part)
            self.sets[part] = ExampleSet(entries, self.cache)
            self.left_out |= left_out
            lines.append(_summary(part, len(entries), left_out))
        self.summary = "; ".join([*filter(None, [self.summary]), *lines])
        for line in lines:
            if "left out" in line:
                warnings.warn(line, CorpusWarning, stacklevel=2)

    def _read(self, part: str) -> tuple[list[Entry], dict[str, str]]:
        members = self.splits.members(part, self.subset if part == "test" else None)
        left_out = dict(members.left_out)
        drop = part == "train" and not self.covalent
        known = [one for one in members.complexes if drop and self.splits.covalent(one.id)]
        left_out |= {one.id: "covalent: the manifest says so" for one in known}
        entries = []
        shown = track(
            [one for one in members.complexes if one.id not in left_out],
            f"reading {part}",
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        for one in shown:
            entry = self.cache.prepare(one)
            if entry.reason:
                left_out[one.id] = f"unreadable: {entry.reason}"
                continue
            if drop and self.splits.covalent(one.id) is None:
                contact = shortest_contact(*self.cache.load(entry))
                if contact < COVALENT:
                    left_out[one.id] = f"covalent: {contact:.2f} angstrom to the receptor"
                    continue
            entries.append(entry)
        if not entries:
            raise InputError(f"{self.splits.root}: {_summary(part, 0, left_out)}")
        return entries, left_out

    # what it is

    @property
    def ids(self) -> dict[str, list[str]]:
        """Ids of the complexes of each part set up so far, sorted."""
        return {part: [e.complex.id for e in found.entries] for part, found in self.sets.items()}

    @property
    def data_hash(self) -> str:
        """SHA-256 of the ids of train and val, sorted, each with a hash of its source files.

        Raises:
            RuntimeError: Before ``setup("fit")``.
        """
        if not {"train", "val"} <= self.sets.keys():
            raise RuntimeError("data_hash is known after setup('fit')")
        rows = [
            f"{p} {e.complex.id} {e.source}" for p in ("train", "val") for e in self.sets[p].entries
        ]
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: which data it is of."""
        return {"data_hash": self.data_hash} if "train" in self.sets else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse to go on with a fit on other data.

        Raises:
            InputError: If train or val have other complexes or other files than before.
        """
        fitting = self.trainer is not None and self.trainer.state.fn is TrainerFn.FITTING
        before = state_dict.get("data_hash")
        if fitting and before is not None and before != self.data_hash:
            raise InputError(
                f"{self.splits.root} is not the data this run began with: data_hash "
                f"{self.data_hash[:12]} instead of {before[:12]}"
            )

    # loaders

    def train_dataloader(self) -> DataLoader[Example]:
        """This process's share of the epoch, shuffled by seed and epoch."""
        found, trainer = self.sets["train"], self.trainer
        world, rank = (trainer.world_size, trainer.global_rank) if trainer is not None else (1, 0)
        # Lightning tells this sampler the epoch, and leaves it in place.
        order: DistributedSampler[Example] = DistributedSampler(
            found, num_replicas=world, rank=rank, shuffle=True, seed=self.seed
        )
        return self._loader("train", sampler=order)

    def val_dataloader(self) -> DataLoader[Example]:
        """Validation complexes by id."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Example]:
        """Test complexes by id."""
        return self._loader("test")

    predict_dataloader = test_dataloader

    def _loader(self, part: str, **options: Any) -> DataLoader[Example]:
        return DataLoader(
            self.sets[part],
            self.batch_size,
            collate_fn=list,
            num_workers=self.num_workers,
            # seeds of workers come from here, so that the global stream does not feel them
            generator=Generator().manual_seed(self.seed),
            **options,
        )


def _summary(part: str, kept: int, left_out: dict[str, str]) -> str:
    kinds: dict[str, list[str]] = defaultdict(list)
    for key, reason in sorted(left_out.items()):
        kinds[reason.partition(":")[0]].append(key)
    told = ", ".join(f"{len(ids)} {kind} ({listing(ids)})" for kind, ids in kinds.items())
    line = f"{part}: {kept} of {kept + len(left_out)} complexes"
    return f"{line}; left out {told}" if told else line
