"""Docking records in worker processes of this machine.

Outcomes come in the order of the records, whoever finishes first, so that what a screen finds does
not depend on the number of workers.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait

from docking.screening.library import Entry
from docking.screening.task import DockWorker, Outcome

WINDOW = 64
"""Records per worker that may wait for a slow one before them."""
_DEATHS = 10  # workers lost one after another before the screen gives up
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def pooled(parcel: bytes, entries: Iterable[Entry], workers: int) -> Iterator[Outcome]:
    """Dock in worker processes.

    A record whose worker dies is tried once more, then given up as failed; the others go on.

    Raises:
        RuntimeError: If workers cannot start, or die one after another.
    """
    source, again = iter(entries), deque[_Job]()
    done: dict[int, Outcome] = {}
    handed = given = deaths = 0
    crew: list[_Process] = []
    try:
        crew = [_Process(parcel) for _ in range(workers)]
        more = True
        while True:
            # First: what is given out makes room for what is handed over. The other way round all
            # could be idle with room for none, and nothing would ever be heard again.
            while given in done:
                yield done.pop(given)
                given += 1
            for process in crew:
                if process.job is not None or not process.ready:
                    continue
                if again:
                    process.give(again.popleft())
                elif more and handed - given < WINDOW * workers:
                    entry = next(source, None)
                    more = entry is not None
                    if entry is not None:
                        process.give(_Job(handed, entry))
                        handed += 1
            if not more and given == handed:
                return
            ready = wait([process.pipe for process in crew])
            for index, process in enumerate(crew):
                if process.pipe not in ready:
                    continue
                try:
                    message = process.pipe.recv()
                except (EOFError, OSError):
                    job, how = process.job, process.bury()
                    deaths += 1
                    if not process.ready or deaths >= _DEATHS:
                        raise RuntimeError(_LOST.format(how=how)) from None
                    crew[index] = _Process(parcel)
                    if job and job.attempt == 1:
                        again.append(replace(job, attempt=2))
                    elif job:
                        died = f"the process docking it died twice ({how}); out of memory?"
                        lost = Outcome(job.entry.record, job.entry.name, error=died, fault=True)
                        done[job.place] = lost
                    continue
                process.ready = True
                if process.job is not None:
                    done[process.job.place] = message
                    process.job, deaths = None, 0
    finally:
        for process in crew:
            process.close()


_LOST = (
    "the processes of the screen do not live ({how}). In a script, start the screen under "
    "`if __name__ == '__main__':`; with workers=1 it runs in this process"
)


@dataclass(frozen=True)
class _Job:
    place: int
    entry: Entry
    attempt: int = 1


class _Process:
    """A worker process with a pipe to it; it ends when the pipe does, so never outlives us.

    It holds one job at a time: nobody ever writes into a pipe that the other side does not read.
    """

    def __init__(self, parcel: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.job: _Job | None = None
        self.ready = False
        self._process = context.Process(target=_serve, args=(theirs, parcel), daemon=True)
        with _one_thread():
            self._process.start()
        theirs.close()

    def give(self, job: _Job) -> None:
        """Hand over a record."""
        self.job = job
        with suppress(OSError):  # it died while it was idle: reading the pipe will tell
            self.pipe.send(job.entry)

    def bury(self) -> str:
        """Wait for a process that died, and say how."""
        self._process.join()
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def close(self) -> None:
        """End the process, at work or not: it has nothing of its own to keep."""
        self._process.terminate()
        self.pipe.close()
        self._process.join()


def _serve(pipe: Connection, parcel: bytes) -> None:
    """What a worker process does until its pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process says when to stop
    worker = DockWorker(parcel)
    try:
        pipe.send(None)
        while True:
            pipe.send(worker.dock(pipe.recv()))
    except (EOFError, OSError):
        return


@contextmanager
def _one_thread() -> Iterator[None]:
    """Start processes whose libraries take one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
