"""SignalFit: least squares between a field and samples of a signal."""

import math
from typing import Any

import torch
from jaxtyping import Float
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn, optim

from fields.chunk import chunked, chunked_mean
from fields.score import fit_scores, headline
from overparam import OverparameterizedModule
from overparam.errors import InputError


class SignalFit(OverparameterizedModule):
    """Fit ``field(x)`` to ``y`` by the mean squared error.

    Logs ``train/mse`` (values span [-1, 1]) and the leading score of the signal's kind, which is
    ``train/psnr`` or, for a sound, ``train/snr``; in validation every score of
    ``fields.score.fit_scores``. The description of the signal travels in the checkpoint, which
    can therefore be rendered by itself.

    Args:
        field: Map from coordinates ``(n, d)`` to values ``(n, c)``.
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step.
        chunk: Points evaluated at a time; None suits the device. The result does not depend on it.

    Raises:
        ValueError: If ``chunk`` is below 1.
    """

    def __init__(
        self,
        field: nn.Module,
        *,
        optimizer: OptimizerCallable = optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        chunk: int | None = None,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}")
        self.field = field
        self.chunk = chunk
        self.signal: dict[str, Any] = {}

    def forward(self, x: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch c"]:
        """Evaluate the field."""
        return self.field(x)

    def mse(self, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
        """Mean squared error over points and components."""
        return nn.functional.mse_loss(self.field(x), y)

    @property
    def example_input(self) -> tuple[Tensor, ...] | None:
        """One point, when the field says how many coordinates it has."""
        size = getattr(self.field, "in_features", None)
        return None if size is None else (torch.zeros(1, size, device=self.device),)

    # data

    def setup(self, stage: str) -> None:
        """Take the description of the signal from the data and check the field against it.

        Raises:
            InputError: If the field has another number of coordinates or components.
        """
        data = getattr(self.trainer, "datamodule", None)
        if data is None or not getattr(data, "signal", None):
            return
        self.signal = dict(data.signal)
        self.scalars_fitted = data.scalars_fitted
        for size, found, word in (
            ("in_features", data.x.shape[-1], "coordinates"),
            ("out_features", data.y.shape[-1], "channels"),
        ):
            wanted = getattr(self.field, size, found)
            if wanted != found:
                raise InputError(
                    f"the signal has {found} {word} but the field has {size} {wanted}: "
                    f"add --model.init_args.field.init_args.{size} {found}"
                )

    # steps

    def on_train_epoch_start(self) -> None:
        """Have the last step scored, also where ``max_steps`` ends inside an epoch."""
        trainer = self.trainer
        left = (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches
        # Lightning validates whenever this divides the batch's number within the epoch
        if 0 < left < trainer.num_training_batches and left < trainer.val_check_batch:
            trainer.val_check_batch = left

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the mean squared error of the batch."""
        x, y = batch
        loss = chunked_mean(self.mse, self.field.parameters(), (x, y), self.chunk)
        self._stop_if_diverged(loss)
        size = len(x)
        self.log("train/mse", loss, batch_size=size)
        name, value = headline(loss.detach(), self.signal)
        self.log(f"train/{name}", value, prog_bar=True, batch_size=size)
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Score the whole signal."""
        self._score("val", batch)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Score the whole signal."""
        self._score("test", batch)

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the displayed values at the batch's points."""
        return chunked(self.displayed, batch[0], self.chunk)

    @torch.no_grad()
    def evaluate(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """Evaluate the field at many points, a chunk at a time, without a graph."""
        return chunked(self.field, x, self.chunk)

    @property
    def displayed(self) -> nn.Module:
        """The map that is drawn and written to files: the field, unless it is known up to more."""
        return self.field

    def scores(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Score the whole signal; the first is the leading one.

        Args:
            batch: What the data's ``scoring`` returns.
        """
        x, y = batch
        return fit_scores(self.evaluate(x), y, self.signal)

    def _score(self, stage: str, batch: tuple[Tensor, ...]) -> None:
        for index, (name, value) in enumerate(self.scores(batch).items()):
            first, size = index == 0, len(batch[0])
            self.log(f"{stage}/{name}", value, prog_bar=first, sync_dist=True, batch_size=size)

    def report_entries(self) -> dict[str, Any]:
        """Return what ``report.json`` holds besides: the signal, and what costs nothing."""
        data = getattr(self.trainer, "datamodule", None)
        baselines: dict[str, Any] = getattr(data, "baselines", dict)() if self.signal else {}
        return {"signal": self.signal, "baselines": baselines}

    # divergence

    def _stop_if_diverged(self, loss: Tensor) -> None:
        # On a GPU reading the loss waits for the device: look now and then. No checkpoint slips
        # through in between, because on_save_checkpoint looks at the weights.
        if loss.is_cuda and self.global_step % 50:
            return
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(
                f"training diverged: the loss is {value} at step {self.global_step}; lower the "
                "learning rate or check the data; the last good checkpoint is kept"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description of the signal; refuse to write weights that are not finite.

        Raises:
            InputError: If a weight is NaN or infinite, before any file is touched.
        """
        super().on_save_checkpoint(checkpoint)
        for name, tensor in checkpoint.get("state_dict", {}).items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise InputError(
                    f"training diverged: {name} is not finite at step {self.global_step}; lower "
                    "the learning rate or check the data; the last good checkpoint is kept"
                )
        checkpoint["signal"] = self.signal

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the description of the signal back."""
        super().on_load_checkpoint(checkpoint)
        self.signal = dict(checkpoint.get("signal") or {})
