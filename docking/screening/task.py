"""What is done with one record of a screen, and what comes of it."""

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from docking.ligand import NO_COORDINATES, Ligand
from docking.result import DockingResult, Pose
from docking.screening.library import Entry
from docking.sdf import sdf_block
from overparam.errors import InputError

_EMBEDDED = "no 3-D coordinates in the input; docked from generated conformers"


@dataclass(frozen=True)
class Task:
    """How every record is docked: arguments of ``model.dock``."""

    num_poses: int = 1
    rigid: bool = False
    seed: int = 0
    effort: float = 1.0

    def seed_of(self, record: int) -> int:
        """Seed of one record, below 2**31."""
        return int(np.random.SeedSequence([self.seed, record]).generate_state(1)[0] >> 1)


@dataclass(frozen=True)
class Outcome:
    """What became of a record.

    Attributes:
        record: Its number.
        name: Its name, not yet unique.
        poses: Best first; empty if it failed.
        blocks: One SDF record per pose.
        properties: Data fields of the record.
        heavy_atoms: Size of the molecule.
        warnings: What was repaired or left out.
        error: Why it failed, one line; empty if it did not.
        fault: Whether it failed by an error that is not the input's.
    """

    record: int
    name: str
    poses: tuple[Pose, ...] = ()
    blocks: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    heavy_atoms: int = 0
    warnings: tuple[str, ...] = ()
    error: str = ""
    fault: bool = False

    def renamed(self, name: str) -> "Outcome":
        """The same under another name, in the first line of its SDF records too."""
        if name == self.name:
            return self
        blocks = tuple(name + block[block.index("\n") :] for block in self.blocks)
        return replace(self, name=name, blocks=blocks)


class DockWorker:
    """Docks records in one pocket.

    Args:
        parcel: What ``pack`` made.
    """

    def __init__(self, parcel: bytes) -> None:
        import torch

        torch.set_num_threads(1)
        self.model, self.pocket, self.task = pickle.loads(parcel)

    def dock(self, entry: Entry) -> Outcome:
        """Dock one record; nothing it holds makes this raise."""
        return dock_entry(self.model, self.pocket, self.task, entry)


def dock_entry(model: Any, pocket: Any, task: Task, entry: Entry) -> Outcome:
    """Read a record and dock it, or say why not."""
    ligand: Ligand | None = None
    outcome = Outcome(entry.record, entry.name)
    try:
        ligand = entry.read()
        outcome = replace(
            outcome,
            name=" ".join(ligand.name.split()),
            properties=ligand.properties,
            heavy_atoms=int(ligand.heavy.sum()),
            warnings=tuple(ligand.warnings),
        )
        result: DockingResult = model.dock(
            pocket,
            ligand,
            num_poses=task.num_poses,
            rigid=task.rigid,
            seed=task.seed_of(entry.record),
            threads=1,
            effort=task.effort,
        )
        if not result.poses:
            raise InputError(f"{ligand.name}: the search found no pose in the box")
        return replace(
            outcome,
            poses=tuple(result.poses),
            blocks=tuple(_block(ligand, result, pose, entry.record) for pose in result.poses),
            warnings=tuple(_EMBEDDED if w == NO_COORDINATES else w for w in result.warnings),
        )
    except InputError as error:
        return replace(outcome, error=one_line(error))
    except Exception as error:  # one molecule must not end a screen of a million
        return replace(outcome, error=one_line(f"{type(error).__name__}: {error}"), fault=True)


def _block(ligand: Ligand, result: DockingResult, pose: Pose, record: int) -> str:
    numbers = {
        name: value if isinstance(value, int) else f"{value:.6g}"
        for name, value in pose.fields().items()
    }
    return sdf_block(ligand, pose.coords, {"record": record, "model": result.model, **numbers})


def one_line(text: object) -> str:
    """The text on one line of at most 500 characters."""
    return " ".join(str(text).split())[:500]


class _Pickler(pickle.Pickler):
    """Leaves weakly keyed caches behind: they hold nothing that cannot be made again."""

    def reducer_override(self, obj: Any) -> Any:
        return (WeakKeyDictionary, ()) if isinstance(obj, WeakKeyDictionary) else NotImplemented


def pack(model: Any, pocket: Any, task: Task) -> bytes:
    """What a worker needs, as bytes, so that no shared memory is in play."""
    buffer = BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump((model, pocket, task))
    return buffer.getvalue()


def serial(model: Any, pocket: Any, task: Task, entries: Iterable[Entry]) -> Iterator[Outcome]:
    """Dock in this process."""
    for entry in entries:
        yield dock_entry(model, pocket, task, entry)
