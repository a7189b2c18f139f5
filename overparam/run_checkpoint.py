"""The checkpoint a run goes on from: written often, never half, and exact to the bit."""

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils import _pytree as pytree

from overparam.errors import InputError
from overparam.replay import ReplayLoader

LAST = "last.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a reader never sees half a file."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to ``path``, all or nothing."""
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)


class DivergedError(InputError):
    """The loss is no longer finite; the last good checkpoint was kept."""


class RunCheckpoint(Callback):
    """Keeps ``last.ckpt`` of a run, from which the run goes on exactly as if never stopped.

    It is written between two optimizer steps, together with the position in the data and the
    random generators of every process: a resumed run ends with the same weights, bit for bit, on
    the same machine and number of processes. On Ctrl-C or SIGTERM the step under way is finished
    and saved first; a second Ctrl-C stops at once.

    Args:
        folder: Run folder.
        every: Seconds between two checkpoints; 0 writes one per step. Writing takes at most
            2 % of the time: a slow disk stretches the interval.
    """

    def __init__(self, folder: str | Path, every: float = 30.0) -> None:
        if not every >= 0:
            raise ValueError(f"every must not be negative, got {every}")
        self.path = Path(folder) / LAST
        self.every = every
        self.signal_seen: int | None = None
        self._loaders: list[ReplayLoader] = []
        self._positions: list[list[dict[str, Any]]] = []
        self._steps_logged: int | None = None
        self._goals: list[dict[str, Any]] = []
        self._rank, self._processes = 0, 1
        self._resuming = False
        self._due = False
        self._loss: torch.Tensor | None = None
        self._clock = time.monotonic()
        self._cost = 0.0
        self._handlers: dict[int, Any] = {}

    # making loaders resumable

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have every training loader wrapped once Lightning has prepared it."""
        if stage != "fit":
            return
        self._rank, self._processes = trainer.global_rank, trainer.world_size
        prepare = trainer.strategy.process_dataloader

        def process(loader: object) -> object:
            ready = prepare(loader)
            if not trainer.training:
                return ready
            wrapped = ReplayLoader(ready)  # type: ignore[arg-type]
            if self._goals:
                wrapped.resume(self._goals.pop(0))
            return wrapped

        trainer.strategy.process_dataloader = process  # type: ignore[method-assign,assignment]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock and take Ctrl-C over."""
        self._clock = time.monotonic()
        self._goals = []
        # with several processes Lightning's handlers also tell the others
        ours = (signal.SIGINT, signal.SIGTERM) if trainer.world_size == 1 else ()
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in ours}

    def _find_loaders(self, trainer: Trainer) -> None:
        leaves = pytree.tree_leaves(trainer.train_dataloader)
        self._loaders = [leaf for leaf in leaves if isinstance(leaf, ReplayLoader)]

    # saving

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, now that all of the step before is done."""
        loop = trainer.fit_loop.epoch_loop
        if self._resuming:
            # Lightning counts the batch that had begun twice when it goes on from here
            self._resuming = False
            loop.batch_progress.total.ready = loop.batch_progress.total.completed + 1
            if self._steps_logged is not None:
                loop._batches_that_stepped = self._steps_logged
        if not self._due or batch_idx % trainer.accumulate_grad_batches:
            return
        fetched_ahead = len(getattr(trainer.fit_loop._data_fetcher, "batches", ()))
        positions = [loader.position(1 + fetched_ahead) for loader in self._loaders]
        ready = all(position is not None for position in positions)
        if not self._agree(trainer, ready):
            return
        self._positions = self._gather(trainer, positions)
        self._steps_logged = loop._batches_that_stepped
        began = time.monotonic()
        for logger in trainer.loggers:
            logger.save()  # what is logged up to here is not logged again
        trainer.save_checkpoint(self.path)
        # only this file describes this moment, not one that another callback writes later
        self._positions, self._steps_logged = [], None
        self._clock = time.monotonic()
        self._cost = self._clock - began
        self._set_due(False)
        if self.signal_seen == signal.SIGTERM:
            raise SIGTERMException
        if self.signal_seen is not None:
            raise KeyboardInterrupt

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Decide whether a checkpoint is due, and look at the loss before it is."""
        if trainer.world_size > 1 and trainer.global_step % 10:
            return
        waited = time.monotonic() - self._clock
        due = waited >= max(self.every, 50 * self._cost) or self.signal_seen is not None
        due = bool(trainer.strategy.broadcast(due)) if trainer.world_size > 1 else due
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        self._loss = loss if isinstance(loss, torch.Tensor) else None
        if due or trainer.global_step % 50 == 0:
            self._refuse_divergence(trainer)
        if due:
            self._find_loaders(trainer)
            self._set_due(True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the finished module, and give Ctrl-C back."""
        self._refuse_divergence(trainer)
        trainer.save_checkpoint(self.path)
        self._restore_handlers()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give Ctrl-C back."""
        self._restore_handlers()

    def _refuse_divergence(self, trainer: Trainer) -> None:
        finite = self._loss is None or bool(self._loss.isfinite().all())
        if not self._agree(trainer, finite):
            kept = f"; {self.path} is the last good state" if self.path.is_file() else ""
            raise DivergedError(
                f"training diverged: the loss is not finite after step {trainer.global_step}{kept}."
                " Try a lower learning rate"
            )

    def _set_due(self, due: bool) -> None:
        self._due = due
        for loader in self._loaders:
            loader.recording = due
            if not due:
                loader.forget()

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal_seen is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_seen = number

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    # state

    def state_dict(self) -> dict[str, Any]:
        """Positions in the data, one list per process."""
        return {"positions": self._positions, "steps_logged": self._steps_logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the position of this process until its loaders exist."""
        every = state_dict["positions"]
        same = len(every) == self._processes
        self._goals = list(every[self._rank]) if same else []
        self._steps_logged = state_dict["steps_logged"]
        self._resuming = bool(every)
        if every and not same:
            warnings.warn(
                f"the run goes on in {self._processes} processes but had {len(every)}: the data "
                "begin a new order",
                stacklevel=2,
            )

    @staticmethod
    def _agree(trainer: Trainer, mine: bool) -> bool:
        if trainer.world_size == 1:
            return mine
        return bool(trainer.strategy.reduce_boolean_decision(mine, all=True))

    @staticmethod
    def _gather(trainer: Trainer, mine: Any) -> list[Any]:
        """Collect the positions of all processes on all of them."""
        if trainer.world_size == 1:
            return [mine]
        every: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(every, mine)
        return every
