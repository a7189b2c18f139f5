"""What a run folder adds to a trainer: logger, callbacks, and checkpoints written whole."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint, ProgressBar
from pytorch_lightning.plugins.io import CheckpointIO

from overparam.checkpoint import read_checkpoint
from overparam.metrics_csv import MetricsCSV
from overparam.progress import RunProgress
from overparam.run_checkpoint import AtomicCheckpointIO, RunCheckpoint
from overparam.run_folder import RunFolder
from overparam.run_report import RunReport


def trainer_parts(
    given: Mapping[str, Any],
    command: str,
    folder: RunFolder | None,
    report: RunReport | None,
    checkpoint_every: float,
    scratch: str,
) -> dict[str, Any]:
    """Return trainer arguments that replace those given.

    Args:
        given: Trainer arguments of the configuration, already built.
        command: Trainer method that will run.
        folder: Run folder, or None for a run that leaves nothing.
        report: Callback that writes the report, if there is a folder.
        checkpoint_every: Seconds between two checkpoints.
        scratch: Folder for a run that leaves nothing.
    """
    callbacks = _listed(given.get("callbacks"))
    plugins = _listed(given.get("plugins"))
    parts: dict[str, Any] = {"callbacks": callbacks, "plugins": plugins}
    if not any(isinstance(p, CheckpointIO) for p in plugins):
        plugins.append(AtomicCheckpointIO())
    has_bar = any(isinstance(c, ProgressBar) for c in callbacks)
    if given.get("enable_progress_bar") is not False and not has_bar:
        callbacks.append(RunProgress())
    if folder is None:
        # whatever is drawn or written all the same goes where the caller clears up
        parts["default_root_dir"] = scratch
        parts["logger"] = given.get("logger") or False
    else:
        parts["default_root_dir"] = str(folder.path)
        parts["logger"] = _loggers(given.get("logger"), command, folder)
        if report is not None:
            callbacks.insert(0, report)
        for callback in callbacks:
            _place(callback, folder)
        if command == "fit":
            # first of all, so that it saves before another callback begins the step
            callbacks.insert(0, RunCheckpoint(folder.path, checkpoint_every))
    keeps = any(isinstance(c, ModelCheckpoint) for c in callbacks)
    parts["enable_checkpointing"] = keeps and not given.get("fast_dev_run")
    return parts


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _loggers(given: Any, command: str, folder: RunFolder) -> Any:
    if given is False or command != "fit":
        return given or False
    step = None
    if folder.state == "resume":
        step = read_checkpoint(folder.checkpoint)["global_step"]
    return [MetricsCSV(folder.path, step), *([] if given is True else _listed(given))]


def _place(callback: Any, folder: RunFolder) -> None:
    """Let a ModelCheckpoint without a place of its own write ``best.ckpt`` in the folder."""
    if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
        callback.dirpath = str(folder.path.resolve())
        callback.filename = callback.filename or "best"
        callback._enable_version_counter = False
