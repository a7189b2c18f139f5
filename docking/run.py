"""A docking run on disk: its folder, its configuration, what its report says of it."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from overparam.errors import InputError
from overparam.report_file import peak_memory, plain, versions
from overparam.run_folder import CONFIG, RunFolder, State, read_report

_PACKAGES = ("overparam", "torch", "numpy", "scipy", "rdkit", "gemmi", "numba")
_RUNNING = "running"


class DockingFolder(RunFolder):
    """The run folder of a docking command, which goes on without a checkpoint.

    Args:
        path: Where the run is, or will be.
        resume: Go on with the run that is there; begin it if there is none.
        overwrite: Replace the run that is there.

    Raises:
        InputError: As ``RunFolder``.
    """

    def __init__(self, path: str | Path, *, resume: bool = False, overwrite: bool = False) -> None:
        super().__init__(path, resume=resume, overwrite=overwrite)

    def what_to_resume(self) -> State:
        """Say whether there is a run to go on with, or one that is done."""
        if read_report(self.path).get("status") == "finished":
            return "finished"
        if (self.path / CONFIG).is_file():
            return "resume"
        if self.path.is_dir() and any(self.path.iterdir()):
            raise InputError(f"nothing to resume: {self.path} holds no {CONFIG} of a run")
        return "new"  # stopped before it wrote anything

    def begin(self, settings: Mapping[str, Any], running: Mapping[str, Any]) -> None:
        """Write ``config.yaml``, or compare it with that of the run to go on with.

        Args:
            settings: What decides the result; it has to be the same to go on.
            running: How it is computed; it may change.

        Raises:
            InputError: If a setting differs, naming the first that does.
        """
        if self.state == "new":
            self.create({**plain(settings), _RUNNING: plain(running)})
            return
        import yaml

        file, now = self.path / CONFIG, plain(settings)
        try:
            before = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            before = None
        if not isinstance(before, dict):
            raise InputError(f"{file} is damaged, so the run cannot be resumed")
        before.pop(_RUNNING, None)
        for key in [*now, *(key for key in before if key not in now)]:
            if now.get(key) != before.get(key):
                raise InputError(
                    f"cannot resume {self.path}: {key} is {now.get(key)!r} here and "
                    f"{before.get(key)!r} in its {CONFIG}; a run goes on as it began"
                )


class Stopwatch:
    """Wall time of a run.

    Args:
        before: Seconds spent by earlier attempts at the same run.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._began = time.monotonic()
        self.started = datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def seconds(self) -> float:
        """Seconds so far, earlier attempts included."""
        return self._before + time.monotonic() - self._began


def surroundings(watch: Stopwatch) -> dict[str, Any]:
    """Time, memory and versions: the part of a report that every run shares."""
    return {
        "wall_seconds": round(watch.seconds, 3),
        "started": watch.started,
        **peak_memory(),
        "versions": versions(_PACKAGES),
    }


def pocket_sizes(pocket: Any) -> dict[str, Any]:
    """What ``report.json`` says of the maps."""
    return {
        "maps": len(pocket.names),
        "map_points": list(pocket.lattice.shape),
        "spacing": float(pocket.lattice.spacing),
        "map_bytes": int(pocket.nbytes),
        "receptor_atoms": len(pocket.receptor_types),
    }
