"""The run folder: who may write into it, what configured it, and whether it can go on."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from overparam.errors import InputError

CONFIG, REPORT, LAST = "config.yaml", "report.json", "last.ckpt"
HEADER = "# Written by overparam: the whole configuration of the run in this folder.\n"

State = Literal["new", "resume", "finished"]


class RunFolder:
    """A folder that holds one run: configuration, metrics, checkpoint, report.

    Nothing is written or deleted before ``create``.

    Args:
        path: Where the run is, or will be.
        resume: Go on with the run that is there.
        overwrite: Replace the run that is there.
        first: Whether this is the first process of the run, the one that checks and writes.

    Raises:
        InputError: If the folder is in use and neither is given, if both are, if there is nothing
            to go on with, or if what would be replaced is no run of ours.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        resume: bool = False,
        overwrite: bool = False,
        first: bool = True,
    ) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        if resume and overwrite:
            raise InputError("--resume and --overwrite exclude each other; give one of them")
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out must be a folder, but {self.path} is a file")
        self.state: State = "new"
        used = first and self.path.is_dir() and any(self.path.iterdir())
        if resume:
            self.state = self.what_to_resume()
        elif used and overwrite:
            self._refuse_to_delete_what_is_not_ours()
        elif used:
            raise InputError(
                f"{self.path} exists and is not empty: --resume goes on with the run in it, "
                "--overwrite replaces it, --out DIR chooses another folder"
            )

    @property
    def checkpoint(self) -> Path:
        """The checkpoint a run goes on from."""
        return self.path / LAST

    def what_to_resume(self) -> State:
        """Say whether there is a run to go on with, or one that is done."""
        if read_report(self.path).get("status") == "finished":
            return "finished"
        if not self.checkpoint.is_file():
            reason = "holds no last.ckpt" if self.path.is_dir() else "does not exist"
            raise InputError(f"nothing to resume: {self.path} {reason}")
        return "resume"

    def _refuse_to_delete_what_is_not_ours(self) -> None:
        here = Path.cwd().resolve()
        inside = self.path.resolve() in (here, *here.parents)
        if inside or (self.path / ".git").exists() or not is_run(self.path):
            raise InputError(
                f"--overwrite replaces only a run of ours, and {self.path} is none "
                "(no config.yaml or report.json written by a run); choose another --out"
            )

    def create(self, config: Mapping[str, Any]) -> None:
        """Make the folder, emptied if it is to be replaced, and write ``config.yaml``."""
        import yaml

        if self.overwrite and self.path.is_dir():
            for child in self.path.iterdir():
                if child.is_dir() and not child.is_symlink():
                    shutil.rmtree(child)
                else:
                    child.unlink()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            text = yaml.safe_dump(dict(config), sort_keys=False, width=100)
            write_whole(self.path / CONFIG, HEADER + text)
        except OSError as error:
            raise InputError(f"cannot write to {self.path}: {error.strerror}") from None

    def refuse_other_settings(self, config: Mapping[str, Any]) -> None:
        """Check that a run to go on with was started with the same settings.

        Raises:
            InputError: Naming the first setting that differs.
        """
        import yaml

        file = self.path / CONFIG
        if not file.is_file():
            return
        try:
            before = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            raise InputError(f"{file} is damaged, so the run cannot be resumed") from None
        now = json.loads(json.dumps(config))
        for key, new, old in _differences(now, before if isinstance(before, dict) else {}):
            if key.removeprefix("trainer.").split(".")[0] not in _MAY_CHANGE:
                raise InputError(
                    f"cannot resume {self.path}: {key} is {new!r} here and {old!r} in its "
                    "config.yaml; a run goes on with the settings it began with"
                )


# where and how loudly a run computes may change when it goes on; what it computes may not
_MAY_CHANGE = {
    "accelerator", "devices", "num_nodes", "strategy", "enable_progress_bar", "profiler", "logger",
    "enable_model_summary", "max_time", "default_root_dir", "ckpt_path", "weights_only",
    "checkpoint_every",
}  # fmt: skip


def read_report(folder: Path) -> dict[str, Any]:
    """Return the ``report.json`` of a folder, or an empty one if there is none to read."""
    try:
        read = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def is_run(folder: Path) -> bool:
    """Whether a run of ours wrote the folder."""
    if "overparam" in read_report(folder).get("versions", {}):
        return True
    try:
        return (folder / CONFIG).read_text(encoding="utf-8").startswith(HEADER)
    except (OSError, UnicodeDecodeError):
        return False


def write_whole(file: Path, text: str) -> None:
    """Write a text file beside its place and rename it: a reader never sees half of it."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _differences(new: Any, old: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(new, dict) and isinstance(old, dict):
        for name in [*new, *(n for n in old if n not in new)]:
            inner = f"{key}.{name}" if key else name
            yield from _differences(new.get(name), old.get(name), inner)
    elif new != old:
        yield key, new, old
