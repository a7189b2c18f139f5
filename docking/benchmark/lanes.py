"""Workers side by side, each with processes of its own that start jobs."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from docking.benchmark.contestant import PHYSICS
from docking.benchmark.stem import Outcome, Stem, StemError

_TASKS = "docking.benchmark."
_Item = TypeVar("_Item")


class Lane:
    """The stems of one worker, started when first needed and again if one ends.

    Args:
        settings: Passed to every stem.

    Attributes:
        startup: CPU seconds and memory of importing and warming up, by task and model.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._stems: dict[str, Stem] = {}
        self._closed = False
        self.startup: dict[str, dict[str, Any]] = {}

    def run(self, task: str, job: dict[str, Any], model: str = PHYSICS) -> Outcome:
        """Do a job of a task, a module of this package; its stem's death is a crash of the job.

        Args:
            task: Name of the module.
            job: Passed to its ``run``.
            model: Scoring model its stem loads, and no other: each is charged with its own memory.

        Raises:
            StemError: If a stem cannot start, or the lane is closed.
        """
        if self._closed:
            raise StemError("stopped")
        key = task if model == PHYSICS else f"{task} {model}"
        if key not in self._stems:
            self._stems[key] = Stem(_TASKS + task, self._settings | {"scoring": model})
            self.startup.setdefault(key, self._stems[key].startup)
        try:
            return self._stems[key].run(job)
        except StemError as error:
            self._stems.pop(key).close()
            if self._closed:
                raise
            return Outcome("crashed", reason=str(error))

    def close(self) -> None:
        """End all stems, and whatever they run."""
        self._closed = True
        for stem in list(self._stems.values()):
            stem.close()


def share(
    items: Iterable[_Item],
    work: Callable[[Lane, _Item], None],
    jobs: int,
    settings: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Call ``work(lane, item)`` for every item, ``jobs`` at a time, each job in its own lane.

    After an error or an interrupt nothing goes on in the background.

    Returns:
        What starting each task took.

    Raises:
        StemError: If what a task needs cannot be imported; anything ``work`` raises.
    """
    waiting = deque(items)
    stop = threading.Event()
    lanes = [Lane(settings) for _ in range(jobs)]

    def serve(lane: Lane) -> None:
        while not stop.is_set():
            try:
                item = waiting.popleft()
            except IndexError:
                return
            work(lane, item)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(serve, lane) for lane in lanes]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # Other lanes finish their item only if all went well so far.
            failed = [future for future in futures if not future.done() or future.exception()]
            stop.set()
            for lane in lanes if failed else []:
                lane.close()
    startup: dict[str, dict[str, Any]] = {}
    for lane in lanes:
        startup |= lane.startup
        lane.close()
    # The first cause, not the stops it led to.
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda e: isinstance(e, StemError) and str(e) == "stopped"):
        raise error
    return startup
