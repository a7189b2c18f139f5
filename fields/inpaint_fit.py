"""InpaintFit: least squares on the known pixels, and a prior everywhere."""

from typing import Any

import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn, optim

from fields.chunk import chunked_mean
from fields.fit import SignalFit
from fields.inpaint import inpaint_scores
from fields.prior import Prior
from fields.score import headline
from overparam.errors import InputError


class InpaintFit(SignalFit):
    """Fit the known pixels of a picture while a prior shapes the field between them.

    The loss is ``q * mean over known pixels of (y - f)^2 + prior``, with q the fraction of pixels
    known; the prior is a mean over points drawn afresh at every step, uniformly over the picture.
    Logs ``train/mse``, ``train/psnr`` and ``train/prior``; in validation ``val/psnr_missing``,
    over the missing pixels, and the scores over all.

    Args:
        field: Map from coordinates ``(n, d)`` to values ``(n, c)``.
        prior: Penalty on the field's derivatives; None leaves it out.
        prior_points: Points of the prior per step and process; None is half as many as the
            picture has pixels.
        prior_seed: Seed of those points.
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step.
        chunk: Points evaluated at a time; None suits the device. The result does not depend on it.

    Raises:
        ValueError: If ``chunk`` or ``prior_points`` is below 1.
    """

    def __init__(
        self,
        field: nn.Module,
        *,
        prior: Prior | None = None,
        prior_points: int | None = None,
        prior_seed: int = 0,
        optimizer: OptimizerCallable = optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        chunk: int | None = None,
    ) -> None:
        super().__init__(field, optimizer=optimizer, scheduler=scheduler, chunk=chunk)
        if prior_points is not None and prior_points < 1:
            raise ValueError(f"prior_points must be at least 1, got {prior_points}")
        self.prior = prior
        self.prior_points = prior_points
        self.prior_seed = prior_seed

    def setup(self, stage: str) -> None:
        """Check that the data say which pixels are known.

        Raises:
            InputError: If they do not.
        """
        super().setup(stage)
        if self.signal and self.signal.get("task") != "inpaint":
            raise InputError("InpaintFit needs data with missing pixels (fields.InpaintSamples)")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the known pixels' share of the squared error, plus the prior."""
        x, y = batch
        parameters = list(self.field.parameters())
        mse = chunked_mean(self.mse, parameters, (x, y), self.chunk)
        loss = self.signal["known"] * mse
        name, value = headline(mse.detach(), self.signal)
        self.log("train/mse", mse.detach(), batch_size=len(x))
        self.log(f"train/{name}", value, prog_bar=True, batch_size=len(x))
        if self.prior is not None:
            prior = chunked_mean(self._penalty, parameters, (self.points(),), self.chunk)
            self.log("train/prior", prior.detach(), batch_size=len(x))
            loss = loss + prior
        self._stop_if_diverged(loss)
        return loss

    def _penalty(self, x: Tensor) -> Tensor:
        assert self.prior is not None
        return self.prior(self.field, x)

    def points(self) -> Tensor:
        """Draw the prior's points of this step and process: the same in a resumed run."""
        rows, columns = self.signal["shape"]
        count = self.prior_points or max(rows * columns // 2, 1)
        step = self.global_step * self.trainer.world_size + self.trainer.global_rank
        # steps are spread over a range in which seeds nearby do not meet
        generator = torch.Generator().manual_seed(self.prior_seed * 1_000_003 + step)
        low, high = torch.tensor(self.signal["extent"]).T
        uniform = torch.rand(count, len(low), generator=generator)
        return (low + (high - low) * uniform).to(self.device)

    def scores(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Score the missing pixels, and all.

        Args:
            batch: Coordinates, values, and which pixels are known.
        """
        x, y, is_known = batch
        return inpaint_scores(self.evaluate(x), y, is_known, self.signal)

    def report_entries(self) -> dict[str, Any]:
        """Add which prior shaped the field."""
        return {**super().report_entries(), "prior": repr(self.prior)}
