"""The run folder of a benchmark: it goes on by rows and may grow by complexes, settings, models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overparam.errors import InputError
from overparam.run_folder import CONFIG, RunFolder, State, is_run

ROWS, VALIDITY, DATA, PREPARED = "rows.csv", "validity.csv", "data", "prepared"
CROSSINGS, SUPERPOSED = "crossings.csv", "superposed"
PROTOCOLS = ("rigid", "flexible", "cross", "decoys")
"""What there is to run; ``docking.benchmark.protocols`` says what each means."""
FIXED = ("split", "protocol", "against", "seed", "cap", "decoys")
"""Settings a row depends on; a run goes on only with the same."""


class BenchmarkFolder(RunFolder):
    """A run folder whose rows, not a checkpoint, say how far it is."""

    @property
    def rows(self) -> Path:
        """Results, one line per complex and contestant."""
        return self.path / ROWS

    def what_to_resume(self) -> State:
        """Say that there is a run to go on with; a finished one is only tabled again.

        Raises:
            InputError: If there is none.
        """
        if not (self.path / CONFIG).is_file() or not is_run(self.path):
            reason = "holds no benchmark" if self.path.is_dir() else "does not exist"
            raise InputError(f"nothing to resume: {self.path} {reason}")
        return "resume"

    def refuse_other_settings(self, config: Mapping[str, Any]) -> None:
        """Check that rows of the run so far may stand beside those to come.

        Raises:
            InputError: Naming the first setting that differs.
        """
        import yaml

        try:
            before = yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            raise InputError(f"{self.path / CONFIG} is damaged; the run cannot go on") from None
        if not isinstance(before, dict) or before.get("command") != config["command"]:
            raise InputError(f"{self.path} holds no benchmark")
        for name in FIXED:
            if before.get(name) != config[name]:
                raise InputError(
                    f"cannot resume {self.path}: --{name} is {config[name]!r} here and "
                    f"{before.get(name)!r} in its {CONFIG}"
                )
