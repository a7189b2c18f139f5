"""report.json: what a run did, for a person and for the next program."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from overparam.report_file import peak_memory, versions, write_report


class RunReport(Callback):
    """Writes ``report.json`` when a run ends, whichever way it ends.

    A module may add entries of its own: a method ``report_entries()`` returning plain data.

    Args:
        folder: Run folder.
        heading: Entries that come first: command, seed, ...
        seen: List that ``overparam.quiet.collected_warnings`` fills.
        begin: Called once data and module are ready, before anything is written. A run that
            does not get that far leaves no report, and no trace.
    """

    def __init__(
        self,
        folder: str | Path,
        heading: Mapping[str, Any],
        seen: list[str] | None = None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.heading = dict(heading)
        self.seen = [] if seen is None else seen
        self._begin = begin
        self._before = 0.0
        self._began = time.monotonic()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._attempts = 1

    def state_dict(self) -> dict[str, Any]:
        """Time spent and attempts made, so that a resumed run counts all of them."""
        return {"seconds": self._seconds(), "attempts": self._attempts, "started": self._started}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from an earlier attempt."""
        self._before = state_dict["seconds"]
        self._attempts = state_dict["attempts"] + 1
        self._started = state_dict["started"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the folder be made."""
        self._open(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the folder be made."""
        self._open(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the folder be made."""
        self._open(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the folder be made."""
        self._open(trainer)

    def _open(self, trainer: Trainer) -> None:
        if self._begin is not None and trainer.is_global_zero:
            self._begin()
        self._begin = None

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the report of a run that finished."""
        self._write(trainer, pl_module, "finished")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write the report of a run that did not."""
        stopped = isinstance(exception, KeyboardInterrupt | SystemExit)
        status = "interrupted" if stopped else "failed"
        entry = {} if stopped else {"error": f"{type(exception).__name__}: {exception}"}
        self._write(trainer, pl_module, status, entry)

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def _write(
        self,
        trainer: Trainer,
        module: LightningModule,
        status: str,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        if not trainer.is_global_zero or self._begin is not None:
            return
        own: dict[str, Any] = (
            getattr(module, "report_entries", dict)() if status == "finished" else {}
        )
        report = {
            "status": status,
            **(more or {}),
            **self.heading,
            "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
            "sizes": sizes(module),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "wall_seconds": round(self._seconds(), 3),
            "attempts": self._attempts,
            **peak_memory(),
            "device": str(trainer.strategy.root_device),
            "processes": trainer.world_size,
            "started": self._started,
            "versions": versions(),
            "warnings": list(self.seen),
            **own,
        }
        write_report(self.folder, report)


def sizes(module: torch.nn.Module) -> dict[str, Any]:
    """Count parameters; a module that can report on itself does."""
    report = getattr(module, "report", None)
    if report is None:
        total = sum(p.numel() for p in module.parameters())
        return {"dense": total, "active": total}
    return report().as_dict()
