"""TicketCallback: a ticket search inside one ``Trainer.fit``."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from overparam.errors import InputError
from overparam.prunable import PROTECT
from overparam.schedule import LRR, Schedule
from overparam.search import Search
from overparam.ticket import Ticket

log = logging.getLogger(__name__)

FILE = "ticket.t"


class TicketCallback(Callback):
    """Turn a training run into the rounds of a ticket search.

    ``max_steps`` and ``max_epochs`` of the trainer are the budget of *one* round; the callback
    multiplies them by the number of rounds. A round begins with the first batch after the one
    before has ended, so that validation, checkpoints and epoch-end schedulers still see the
    trained network. There the schedule prunes and rewinds, and the optimizer and its learning-rate
    schedule are built anew. A run that was killed goes on from its checkpoint to the same bits.

    Logs ``ticket/round``, ``ticket/sparsity`` and ``ticket/mask_hash`` (the first 24 bits of the
    masks' hash, for comparing processes). Leaves ``ticket.t`` and ``ticket.t.json`` in the run
    folder, and the ticket in ``.ticket``.

    Criteria and schedules that need a loss take the training step on the first batch of the round.

    Args:
        schedule: When to prune and rewind; default ``LRR()``. Not ``COLT``, which trains on parts
            of the data.
        criterion: What makes a weight matter; see ``score``.
        scope: ``"global"`` or ``"layer"``.
        granularity: ``"weight"``, ``"neuron"``, ``"path"`` or ``"block"``.
        protect: What is never pruned; see ``prunable``.
        min_keep: Groups that survive in each weight, and in each q, k, v or gate.
        block: Side of a block.
        seed: Seed of random criteria.
        dirpath: Folder of the ticket file; default: that of the trainer's logger, else its
            ``default_root_dir``.

    Attributes:
        rounds_total: Number of rounds; ``OverparameterizedModule`` reads it to give schedulers
            the length of one.
        ticket: What was found, after training.

    Raises:
        ValueError: If the schedule cannot run inside one fit.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        criterion: str = "magnitude",
        scope: str = "global",
        granularity: str = "weight",
        protect: list[str] | tuple[str, ...] = PROTECT,
        min_keep: int = 1,
        block: int = 16,
        seed: int = 0,
        dirpath: str | None = None,
    ) -> None:
        self.schedule = LRR() if schedule is None else schedule
        if not self.schedule.in_one_run:
            raise ValueError(
                f"schedule must train on all data to run inside one fit, got "
                f"{type(self.schedule).__name__}, which trains on parts; use overparam.find_ticket"
            )
        self.settings = {
            "criterion": criterion,
            "scope": scope,
            "granularity": granularity,
            "protect": tuple(protect),
            "min_keep": min_keep,
            "block": block,
            "seed": seed,
        }
        self.dirpath = dirpath
        self.ticket: Ticket | None = None
        self.search: Search | None = None
        self._entered = 0
        self._last_seen = 0
        self._round_steps = 0
        self._restored: Mapping[str, Any] | None = None
        self._limits: tuple[int, int | None] | None = None

    @property
    def rounds_total(self) -> int:
        """Number of rounds of training."""
        return self.schedule.rounds_total

    @property
    def history(self) -> list[dict[str, Any]]:
        """One entry per finished round."""
        return [] if self.search is None else self.search.history

    # the run

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Multiply the budget and put the masks on, before checkpoints and optimizers."""
        if stage != "fit":
            return
        loop = trainer.fit_loop
        steps, epochs = trainer.max_steps, trainer.max_epochs
        if steps == -1 and epochs in (None, -1):
            raise InputError("max_steps or max_epochs must be given: it is one round's budget")
        self._limits = (steps, epochs)
        loop.epoch_loop.max_steps = steps if steps == -1 else steps * self.rounds_total
        if epochs is not None and epochs != -1:
            loop.max_epochs = epochs * self.rounds_total
        self._entered, self._round_steps, self._restored = 0, 0, None
        self.ticket = None
        try:
            self.search = Search(pl_module, **self.settings)  # type: ignore[arg-type]
        except ValueError as error:
            raise InputError(f"TicketCallback: {error}") from None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the snapshot rounds rewind to, unless a checkpoint has brought it."""
        search = self._searching()
        if self._restored is None:
            search.save("init")
            return
        search.load_state_dict(self._restored["search"])
        self._entered = self._restored["entered"]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin the round that is due, or prune within one."""
        search, step = self._searching(), trainer.global_step
        if not self._round_steps:
            self._measure_round(trainer)
        if self._restored is None and self._entered == 0 and step > 0:
            raise InputError(
                "a ticket run must begin at step 0 or resume a ticket run, but the checkpoint is "
                f"of step {step} of a run without tickets; start from its weights instead"
            )
        due = min(step // self._round_steps, self.rounds_total - 1)
        search.loss = lambda module: _step_loss(trainer, module, batch, batch_idx)
        while self._entered <= due:
            self._enter(trainer)
        self._tick(step)
        search.loss = None
        self._log_state(pl_module, search, due)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the last round and write the ticket."""
        search = self._searching()
        if self._entered == 0:
            return
        self._tick(trainer.global_step)
        self._close_round(trainer)
        if not search.has(self.schedule.snapshot):  # stopped before the step was reached
            search.put(self.schedule.snapshot, search.saved("init"))
        self.ticket = Ticket.of(search, self.schedule)
        # asked on every process: the trainer broadcasts the answer
        path = Path(self.dirpath or trainer.log_dir or trainer.default_root_dir) / FILE
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            self.ticket.save(path)
            log.info("%r in %s", self.ticket, path)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the trainer its own budget back."""
        if stage == "fit" and self._limits is not None:
            trainer.fit_loop.epoch_loop.max_steps, trainer.fit_loop.max_epochs = self._limits
            self._limits = None

    # state

    def state_dict(self) -> dict[str, Any]:
        """Return plain data from which a killed run goes on."""
        if self.search is None:
            return {}
        return {
            "schedule": self.schedule.describe(),
            "entered": self._entered,
            "last_seen": self._last_seen,
            "search": self.search.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned, once training starts.

        Raises:
            InputError: If the checkpoint is of another schedule.
        """
        if not state_dict:
            return
        then, now = state_dict["schedule"], self.schedule.describe()
        if then != now:
            raise InputError(f"schedule must be that of the checkpoint, {then}, got {now}")
        self._restored = state_dict
        self._last_seen = state_dict["last_seen"]

    # rounds

    def _tick(self, step: int) -> None:
        """Act on the optimizer steps of the present round, once each."""
        inside = step - (self._entered - 1) * self._round_steps
        if inside in (0, self._last_seen):
            return
        self._last_seen = inside
        if self._entered == 1 and inside == self.schedule.rewind_step:
            self._searching().save("rewind")
        self.schedule.during(self._searching(), inside, self._round_steps)

    def _enter(self, trainer: Trainer) -> None:
        """Close the round before, let the schedule act, and start its optimizer anew."""
        search, index = self._searching(), self._entered
        if index:
            self._tick(index * self._round_steps)
            self._close_round(trainer)
        try:
            self.schedule.before(search, index)
        except ValueError as error:
            raise InputError(f"TicketCallback, round {index + 1}: {error}") from error
        if index:
            trainer.strategy.setup_optimizers(trainer)
        self._entered, self._last_seen = index + 1, 0
        log.info(
            "round %d of %d: sparsity %.2f %%, masks %s",
            index + 1,
            self.rounds_total,
            100 * search.sparsity,
            search.hash[:12],
        )

    def _close_round(self, trainer: Trainer) -> None:
        metrics = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if not name.startswith("ticket/")
        }
        self._searching().finish(steps=trainer.global_step, metrics=metrics)

    def _measure_round(self, trainer: Trainer) -> None:
        total = trainer.estimated_stepping_batches
        if total == float("inf"):
            raise InputError("max_steps or max_epochs must be given: it is one round's budget")
        self._round_steps = max(1, int(total) // self.rounds_total)
        try:
            self.schedule.check_length(self._round_steps)
        except ValueError as error:
            raise InputError(str(error)) from None

    def _log_state(self, pl_module: LightningModule, search: Search, index: int) -> None:
        values = {
            "ticket/round": float(index),
            "ticket/sparsity": search.sparsity,
            "ticket/mask_hash": float(int(search.hash[:6], 16)),
        }
        pl_module.log_dict(values, on_step=True, on_epoch=False, batch_size=1)

    def _searching(self) -> Search:
        if self.search is None:
            raise RuntimeError("TicketCallback must be set up by a trainer's fit first")
        return self.search


def _step_loss(trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> Tensor:
    """Return the training loss of a batch, without logging it."""
    with _silent(module), trainer.precision_plugin.train_step_context():
        out = module.training_step(batch, batch_idx)
    loss = out.get("loss") if isinstance(out, Mapping) else out
    if not isinstance(loss, torch.Tensor):
        raise InputError("training_step must return a loss for this criterion, got none")
    return loss


@contextmanager
def _silent(module: LightningModule) -> Iterator[None]:
    for name in ("log", "log_dict"):
        object.__setattr__(module, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name in ("log", "log_dict"):
            object.__delattr__(module, name)
