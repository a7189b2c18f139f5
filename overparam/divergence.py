"""Divergence: a loss or a weight that is no number ends a run, and its last good file is kept."""

import math
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from overparam.run_checkpoint import DivergedError, RunCheckpoint

EVERY = 50
"""Steps between two looks at a loss on a GPU: each look waits for the device."""
_STATES = ("state_dict", "current_model_state")
_REMEDY = "lower the learning rate or check the data"


class StopsWhenDiverged(pl.LightningModule):
    """Mixed into a module, ends its training with one clear line when it diverges.

    The loss is looked at before every backward pass, on a GPU before every ``EVERY``-th step. With
    several processes they agree, so that all of them stop. Weights are looked at before they are
    written: whoever saves, a checkpoint on disk is never replaced by one that is not finite, also
    where a finite loss had a gradient that was none.

    Stands before the module's base: ``class Fit(StopsWhenDiverged, OverparameterizedModule)``.
    """

    def on_before_backward(self, loss: Tensor) -> None:
        """Look at the loss.

        Raises:
            DivergedError: If it is NaN or infinite, in any process.
        """
        super().on_before_backward(loss)
        if loss.is_cuda and self.global_step % EVERY:
            return
        found = float(loss.detach())
        if self._all_agree(math.isfinite(found)):
            return
        said = "is not finite in another process" if math.isfinite(found) else f"is {found}"
        raise DivergedError(self._told(f"the loss {said}"))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Look at the weights before any file is touched.

        Raises:
            DivergedError: If one is NaN or infinite, naming it.
        """
        super().on_save_checkpoint(checkpoint)
        for state in _STATES:  # averaged weights stand beside those they average
            name = first_not_finite(checkpoint.get(state, {}))
            if name is not None:
                raise DivergedError(self._told(f"{name} is not finite"))

    def _all_agree(self, fine: bool) -> bool:
        trainer = self._trainer
        if trainer is None or trainer.world_size == 1:
            return fine
        return bool(trainer.strategy.reduce_boolean_decision(fine, all=True))

    def _told(self, what: str) -> str:
        callbacks = getattr(self._trainer, "callbacks", [])
        paths = [one.path for one in callbacks if isinstance(one, RunCheckpoint)]
        kept = "".join(f"; {path} is the last good state" for path in paths if path.is_file())
        return f"training diverged: {what} at step {self.global_step}; {_REMEDY}{kept}"


def first_not_finite(state: Mapping[str, Any]) -> str | None:
    """Name of the first tensor with a NaN or an infinity in it; None if there is none."""
    for name, tensor in state.items():
        real = isinstance(tensor, Tensor) and (tensor.is_floating_point() or tensor.is_complex())
        if real and not torch.isfinite(tensor).all():
            return name
    return None
