"""Docking a library: one row a record, in order, streaming; kept in a folder if there is one."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.ligand import Ligand
from docking.result import Pose
from docking.run import DockingFolder, Stopwatch, pocket_sizes, surroundings
from docking.screening.actors import import_ray, through_ray
from docking.screening.library import Library, Names
from docking.screening.store import ScreenStore
from docking.screening.task import Outcome, Task, pack, serial
from docking.screening.workers import pooled
from overparam.errors import InputError
from overparam.report_file import write_report
from overparam.run_folder import read_report

ENGINES = ("local", "ray")
SHARD_RECORDS, SHARD_SECONDS = 256, 10.0
"""A shard is written after so many records or so many seconds: what a killed screen can lose."""


@dataclass(frozen=True, eq=False)
class ScreenRow:
    """What a screen says of one record.

    Attributes:
        name: Name, unique in the library.
        record: Number in the library, from 1.
        score: Score of the best pose, higher is better; NaN if the record failed.
        coords: Its coordinates, all atoms in the record's order, angstrom; None if it failed.
        properties: Data fields of the record.
        error: Why it failed, one line; empty if it did not.
        poses: All poses asked for, best first.
        warnings: What was repaired or left out, one sentence each.
    """

    name: str
    record: int
    score: float
    coords: Float[ndarray, "n 3"] | None
    properties: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    poses: tuple[Pose, ...] = ()
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ScreenRow({self.record} {self.name!r}: {self.error or f'{self.score:.3f}'})"


def screen(
    model: Any,
    pocket: Any,
    library: str | Path | Iterable[Ligand],
    workers: int = 1,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    top: int | None = None,
    num_poses: int = 1,
    rigid: bool = False,
    seed: int = 0,
    effort: float | int = 1.0,
    on_error: str = "skip",
    engine: str = "local",
    shard: int = SHARD_RECORDS,
    notes: Mapping[str, Any] | None = None,
) -> Iterator[ScreenRow]:
    """Dock every record of a library in one pocket.

    What is found does not depend on ``workers`` or ``engine``, nor on where a screen was
    interrupted. The library is never held in memory. Everything asked for is checked before the
    iterator is returned; docking and writing happen while it is gone through.

    Args:
        model: Scoring model; it has to be picklable for more than one worker.
        pocket: What its ``prepare`` returned.
        library: Path of an SDF, MOL2, SMILES or PDBQT file, compressed or not, or ligands. Records
            without coordinates get conformers from their graph.
        workers: Processes; with 1 and the local engine it is this one. A script that asks for more
            needs ``if __name__ == "__main__":``.
        out: Folder for ``scores.csv``, ``poses.sdf``, ``failures.csv``, ``report.json``,
            ``config.yaml`` and the shards they are made of; nothing is written without.
        resume: Go on with the screen in ``out``; rows it already has are not given again.
        overwrite: Replace the run in ``out``.
        top: Records whose poses go into ``poses.sdf``; None for all. Shards have all.
        num_poses: Poses per record.
        rigid: Hold torsions and rings as they are.
        seed: With the number of a record, it makes the seed of its search.
        effort: Multiplies the default number of search steps.
        on_error: ``"skip"`` gives a failed record a row with its ``error``, ``"raise"`` stops.
        engine: ``"local"``, or ``"ray"`` if that is installed.
        shard: Records after which a shard is written.
        notes: Further entries of ``config.yaml`` and ``report.json``, for the reader.

    Returns:
        Rows in order of the records, failed ones included.

    Raises:
        InputError: If the library, the pocket or ``out`` cannot be used, ray is missing, or, with
            ``on_error="raise"``, a record fails.
        ValueError: If a number or a name is out of range.
    """
    for name, value in (("workers", workers), ("num_poses", num_poses), ("shard", shard)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if top is not None and top < 1:
        raise ValueError(f"top must be at least 1 or None, got {top}")
    if not effort > 0:
        raise ValueError(f"effort must be positive, got {effort}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    if on_error not in ("skip", "raise"):
        raise ValueError(f"on_error must be skip or raise, got {on_error!r}")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    if engine == "ray":
        import_ray()
    if out is None and (resume or overwrite):
        raise ValueError("resume and overwrite need the folder of the screen: give out")
    model.check_pocket(pocket)
    source = Library(library)
    source.check()
    task = Task(num_poses, rigid, seed, float(effort))
    place = None if out is None else DockingFolder(out, resume=resume, overwrite=overwrite)

    def outcomes(after: int) -> Iterator[Outcome]:
        entries = source.entries(after)
        if engine == "ray":
            return through_ray(pack(model, pocket, task), entries, workers)
        if workers > 1:
            return pooled(pack(model, pocket, task), entries, workers)
        return serial(model, pocket, task, entries)

    if place is None:
        return _named(outcomes(0), Names(), on_error, None)
    deciding = {
        "command": "screen",
        "scoring": model.name,
        "weights": getattr(model, "fingerprint", None),
        "pocket_sha256": fingerprint(pocket),
        **source.settings(),
        "num_poses": num_poses,
        "rigid": rigid,
        "seed": seed,
        "effort": float(effort),
    }
    running = {
        **(notes or {}),
        "workers": workers,
        "engine": engine,
        "top": top,
        "on_error": on_error,
    }
    return _kept(place, outcomes, deciding, running, pocket_sizes(pocket), shard)


def fingerprint(pocket: Any) -> str:
    """A hash of a pocket's maps and receptor: two pockets that differ do not share it."""
    digest = hashlib.sha256()
    for part in (pocket.grid.cpu().numpy(), pocket.receptor_positions, pocket.low, pocket.high):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _named(
    outcomes: Iterator[Outcome], names: Names, on_error: str, store: ScreenStore | None
) -> Generator[ScreenRow, None, None]:
    """Give records their unique names, keep them, and make rows of them."""
    for found in outcomes:
        if found.error and on_error == "raise":
            raise (RuntimeError if found.fault else InputError)(
                f"record {found.record} {found.name}: {found.error}"
            )
        outcome = found.renamed(names.unique(found.name))
        if store is not None:
            store.add(outcome)
        best = outcome.poses[0] if outcome.poses else None
        yield ScreenRow(
            name=outcome.name,
            record=outcome.record,
            score=best.score if best else float("nan"),
            coords=best.coords if best else None,
            properties=outcome.properties,
            error=outcome.error,
            poses=outcome.poses,
            warnings=outcome.warnings,
        )


def _kept(
    place: DockingFolder,
    outcomes: Callable[[int], Iterator[Outcome]],
    settings: Mapping[str, Any],
    running: Mapping[str, Any],
    sizes: Mapping[str, Any],
    shard: int,
) -> Iterator[ScreenRow]:
    """Rows of a screen that is kept in a folder."""
    place.begin(settings, running)
    store = ScreenStore(place.path)
    earlier = read_report(place.path) if place.state != "new" else {}
    watch = Stopwatch(float(earlier.get("wall_seconds", 0.0)))
    known = store.done
    heading = {
        "command": "screen",
        "model": settings["scoring"],
        "seed": settings["seed"],
        **running,
        "attempts": int(earlier.get("attempts", 0)) + 1,
        "resumed_after": known,
    }

    def report(status: str, **rest: Any) -> None:
        write_report(place.path, {"status": status, **heading, **rest, **surroundings(watch)})

    report("running", metrics={"records": known})
    flushed = time.monotonic()
    left = iter(()) if place.state == "finished" else outcomes(known)
    rows = _named(left, Names(store.names), running["on_error"], store)
    try:
        for row in rows:
            if len(store) >= shard or time.monotonic() - flushed > SHARD_SECONDS:
                store.flush()
                report("running", metrics={"records": row.record})
                flushed = time.monotonic()
            yield row
    except BaseException as error:
        # Stopped by the user, by a record or by whoever goes through the rows: keep what there is.
        rows.close()
        store.flush()
        stopped = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
        why = {} if stopped else {"error": f"{type(error).__name__}: {error}"}
        report("interrupted" if stopped else "failed", **why)
        raise
    counts = store.finish(running["top"])
    fresh = counts["records"] - known
    told = counts.pop("warnings")
    failures = counts.pop("first_failures")
    seconds = watch.seconds
    report(
        "finished",
        metrics={**counts, "records_this_attempt": fresh},
        sizes={**sizes, "shards": len(list(store.shards.glob("*.csv")))},
        first_failures=failures,
        records_per_second=round(counts["records"] / seconds, 3) if seconds > 0 else None,
        warnings=told,
    )
