"""Docking records in ray actors, on as many machines as ray knows."""

from collections.abc import Iterable, Iterator
from typing import Any

from docking.screening.library import Entry
from docking.screening.task import DockWorker, Outcome, one_line
from docking.screening.workers import WINDOW
from overparam.errors import InputError


def through_ray(parcel: bytes, entries: Iterable[Entry], workers: int) -> Iterator[Outcome]:
    """Dock in ray actors, on as many machines as ray knows.

    Raises:
        InputError: If ray is not installed.
    """
    ray = import_ray()
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    # An actor that never gets a core would hold its first record for ever.
    workers = max(1, min(workers, int(ray.cluster_resources().get("CPU", workers))))
    shipped = ray.put(parcel)
    remote = ray.remote(num_cpus=1, max_restarts=-1)(DockWorker)
    idle = [remote.remote(shipped) for _ in range(workers)]
    busy: dict[Any, tuple[Any, int, Entry]] = {}
    done: dict[int, Outcome] = {}
    source = iter(entries)
    handed = given = 0
    more = True
    try:
        while more or given < handed:
            while idle and more and handed - given < WINDOW * workers:
                entry = next(source, None)
                more = entry is not None
                if entry is not None:
                    actor = idle.pop()
                    busy[actor.dock.remote(entry)] = (actor, handed, entry)
                    handed += 1
            while given in done:
                yield done.pop(given)
                given += 1
            if not busy:
                continue
            (finished,), _ = ray.wait(list(busy))
            actor, place, entry = busy.pop(finished)
            try:
                done[place] = ray.get(finished)
            except ray.exceptions.RayError as error:
                lost = Outcome(entry.record, entry.name, error=one_line(error), fault=True)
                done[place] = lost
            idle.append(actor)
    finally:
        for actor in [*idle, *(actor for actor, _, _ in busy.values())]:
            ray.kill(actor)


def import_ray() -> Any:
    """The ray package.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import ray  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise InputError(
            "engine ray needs ray: python -m pip install 'overparam[screen]', or use engine local"
        ) from None
    return ray
