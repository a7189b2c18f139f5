"""One progress line for a whole run, in steps rather than a bar per epoch."""

import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class RunProgress(ProgressBar):
    """Shows steps done, time left and the metrics logged for the bar, on standard error.

    Where standard error is no terminal (a log file, a batch system) it stays silent.
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._task: Any = None
        self._enabled = True
        self._shown = 0.0

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False
        self._close()

    def _open(self, name: str, total: float | None) -> None:
        self._close()
        if not (self._enabled and sys.stderr.isatty()):
            return
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=Console(stderr=True),
            refresh_per_second=4,
        )
        self._progress.start()
        finite = total if total is not None and total != float("inf") else None
        self._task = self._progress.add_task(name, total=finite, metrics="")

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self, trainer: Trainer, done: int, now: bool = False) -> None:
        # reading a metric off a GPU waits for the step: four times a second is enough
        if self._progress is None or not (now or time.monotonic() - self._shown > 0.25):
            return
        self._shown = time.monotonic()
        values = trainer.progress_bar_metrics.items()
        text = "  ".join(f"{name} {value:.4g}" for name, value in values if name != "v_num")
        self._progress.update(self._task, completed=done, metrics=text)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of the run."""
        steps = trainer.estimated_stepping_batches
        self._open("fit", float(steps))

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Move the bar one step."""
        self._show(trainer, trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the bar as it stands."""
        self._show(trainer, trainer.global_step, now=True)
        self._close()

    # measuring by itself; validation inside a fit only changes the metrics shown

    def _measure(self, trainer: Trainer, name: str, batches: Any) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            self._open(name, float(sum(batches) if isinstance(batches, list) else batches))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of a validation by itself."""
        self._measure(trainer, "validate", trainer.num_val_batches)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of a test."""
        self._measure(trainer, "test", trainer.num_test_batches)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of a prediction."""
        self._measure(trainer, "predict", trainer.num_predict_batches)

    def _advance(self, trainer: Trainer) -> None:
        if self._progress is not None and trainer.state.fn != TrainerFn.FITTING:
            self._progress.advance(self._task)

    def on_validation_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Move the bar one batch."""
        self._advance(trainer)

    def on_test_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Move the bar one batch."""
        self._advance(trainer)

    def on_predict_batch_end(self, trainer: Trainer, *args: Any) -> None:
        """Move the bar one batch."""
        self._advance(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the bar as it stands."""
        self._close()

    def on_exception(self, trainer: Trainer, *args: Any) -> None:
        """Leave the bar as it stands."""
        self._close()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        if self._progress is not None:
            self._progress.console.print(*args, **kwargs)
        else:
            print(*args, **kwargs, file=sys.stderr)
