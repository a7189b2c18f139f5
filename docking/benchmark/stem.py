"""A process that imports a task once, then forks one fresh process for every job.

A docking must not share its process with another: its CPU limit, its memory peak and its crashes
are its own. Importing and compiling afresh each time would cost more than the docking, and doing it
in the benchmark's own process would charge every method with the memory of all the others. So each
method has a stem that holds what that method needs, and no more.

A task is a module with ``warm_up(settings)`` and ``run(job, say)``. ``say(dict)`` passes facts on
before the end, so that a job killed at its limit has told how far it came.
"""

import contextlib
import importlib
import math
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_THREAD_COUNTS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip
_KILOBYTES = 1 if sys.platform != "darwin" else 1 / 1024  # ru_maxrss counts bytes on macOS
_HANG_FACTOR, _HANG_SECONDS = 10, 120  # wall time allowed on a busy machine


class StemError(RuntimeError):
    """A stem that could not start; the message is its last line."""


@dataclass
class Outcome:
    """What became of a job.

    Attributes:
        status: ``ok``, ``failed`` (an exception), ``cap`` (CPU limit), ``crashed`` or ``hung``.
        facts: What the job said, and what it returned.
        reason: One line if not ``ok``.
        peak_mb: Largest resident memory of its process, MB.
    """

    status: str
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    peak_mb: float = math.nan


def limit_cpu(seconds: float | int) -> None:
    """Let this process use so much more CPU time; the system then ends it."""
    end = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))


class Stem:
    """A running stem, seen from the benchmark.

    Args:
        task: Name of the task's module.
        settings: Passed to its ``warm_up``.

    Attributes:
        startup: CPU seconds and memory of importing and warming up.

    Raises:
        StemError: If it does not come up.
    """

    def __init__(self, task: str, settings: dict[str, Any]) -> None:
        path = os.pathsep.join([p for p in sys.path if p])
        # A session of its own: an interrupt goes to the benchmark alone, which then ends the stem
        # with all it has forked.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "docking.benchmark.stem", task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **dict.fromkeys(_THREAD_COUNTS, "1"), "PYTHONPATH": path},
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        try:
            _send(self._to, settings)
            self.startup: dict[str, Any] = _receive(self._from)
        except (EOFError, OSError):
            self.close()
            raise StemError(f"{task} does not start") from None
        if "error" in self.startup:
            self.close()
            raise StemError(self.startup["error"])

    def run(self, job: dict[str, Any]) -> Outcome:
        """Do one job; a key ``cap`` in it is its limit of CPU seconds.

        Raises:
            StemError: If the stem itself has ended.
        """
        try:
            _send(self._to, job)
            outcome: Outcome = _receive(self._from)
        except (EOFError, OSError, ValueError):  # ValueError: the pipe is closed on our side
            raise StemError("the process that starts dockings has ended") from None
        return outcome

    def close(self) -> None:
        """End the stem and whatever it is running."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in (self._to, self._from):
            # what is still in the buffer of a closed pipe cannot be flushed
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()


def _send(pipe: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message)
    pipe.write(struct.pack("<Q", len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    head = _exactly(pipe, 8)
    return pickle.loads(_exactly(pipe, struct.unpack("<Q", head)[0]))


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = pipe.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _fork(
    run: Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], dict[str, Any]],
    job: dict[str, Any],
) -> Outcome:
    """Run a job in a child and wait for it."""
    cap = float(job.get("cap", 240.0))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(run, job, os.fdopen(writer, "wb"), cap)
    os.close(writer)
    facts: dict[str, Any] = {}
    verdict: tuple[str, str] | None = None
    hung = False
    deadline = time.monotonic() + _HANG_FACTOR * cap + _HANG_SECONDS
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                hung = True
                os.kill(child, signal.SIGKILL)
                break
            try:
                kind, message = _receive(pipe)
            except EOFError:
                break
            if kind == "facts":
                facts |= message
            else:
                verdict = (kind, message)
    _, status, usage = os.wait4(child, 0)
    peak = usage.ru_maxrss * _KILOBYTES / 1024
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if hung:
        return Outcome("hung", facts, "no end in sight; stopped by wall time", peak)
    if ended_by == signal.SIGXCPU:
        return Outcome("cap", facts, f"CPU limit of {cap:g} s", peak)
    if verdict is None:
        named = signal.Signals(ended_by).name if ended_by else f"exit code {status >> 8}"
        return Outcome("crashed", facts, f"its process ended by {named}", peak)
    return Outcome(verdict[0], facts, verdict[1], peak)


def _child(run: Callable[..., dict[str, Any]], job: dict[str, Any], pipe: Any, cap: float) -> None:
    """The child's whole life; never returns."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit_cpu(cap)
        try:
            _send(pipe, ("facts", run(job, lambda facts: _send(pipe, ("facts", facts)))))
            _send(pipe, ("ok", ""))
        except Exception as error:  # any failure of a docking is a row, and a miss
            line = " ".join(f"{type(error).__name__}: {error}".split())
            _send(pipe, ("failed", line[:300]))
    finally:
        os._exit(0)


def _own_peak() -> float:
    """Largest resident memory of this program, MB."""
    # ru_maxrss of a started program begins at that of the process it was started from.
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTES / 1024


def main(task: str) -> None:
    """Serve jobs from standard input until it closes."""
    inward = os.fdopen(os.dup(0), "rb", buffering=0)
    outward = os.fdopen(os.dup(1), "wb")
    # What libraries print must not get between the frames.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    settings = _receive(inward)
    try:
        module = importlib.import_module(task)
        module.warm_up(settings)
    except Exception as error:
        _send(outward, {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]})
        return
    os.dup2(1, 2)  # remarks on single molecules; an exception still reaches its row
    _send(outward, {"startup_cpu_s": time.process_time(), "startup_peak_mb": _own_peak()})
    while True:
        try:
            job = _receive(inward)
        except EOFError:
            return
        _send(outward, _fork(module.run, job))


if __name__ == "__main__":
    # The class must be the importable one, or the benchmark could not unpickle it.
    from docking.benchmark.stem import main as serve

    serve(sys.argv[1])
