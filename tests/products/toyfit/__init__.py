"""A product small enough to read at a glance; the command-line tests run it."""

import os
import signal
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from overparam import InputError, OverparameterizedModule


class Net(nn.Module):
    """Two inputs, one output."""

    def __init__(self, width: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.width = width
        self.dropout = dropout
        self.layers = nn.Sequential(
            nn.Linear(2, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate."""
        return self.layers(x)


class LineFit(OverparameterizedModule):
    """Fits a plane; ``delay`` seconds per step make it slow enough to be interrupted.

    In the step whose number is in the environment as TOYFIT_STOP_AT, it presses Ctrl-C.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: OptimizerCallable = torch.optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler)
        self.net = net
        self.delay = delay

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Mean squared error."""
        time.sleep(self.delay)
        if os.environ.get("TOYFIT_STOP_AT") == str(self.global_step):
            os.kill(os.getpid(), signal.SIGINT)
        x, y = batch
        loss = (self.net(x) - y).square().mean()
        self.log("train/mse", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Mean squared error."""
        x, y = batch
        self.log("val/mse", (self.net(x) - y).square().mean(), sync_dist=True)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Mean squared error."""
        x, y = batch
        self.log("test/mse", (self.net(x) - y).square().mean(), sync_dist=True)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Values."""
        return self.net(batch[0])


class Lines(pl.LightningDataModule):
    """Points of a plane, in an order drawn from the global generator."""

    def __init__(self, count: int = 64, batch_size: int = 16, path: str | None = None) -> None:
        super().__init__()
        if count < batch_size:
            raise InputError(f"a batch of {batch_size} needs as many points, not {count}")
        self.count = count
        self.batch_size = batch_size
        self.path = path

    def setup(self, stage: str) -> None:
        """Make the points."""
        if self.path is not None:
            raise InputError(f"{self.path} holds no plane")
        x = torch.randn(self.count, 2, generator=torch.Generator().manual_seed(0))
        self.data = TensorDataset(x, x.sum(1, keepdim=True))

    def train_dataloader(self) -> DataLoader:
        """Shuffled."""
        return DataLoader(self.data, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        """In order."""
        return DataLoader(self.data, batch_size=self.batch_size)

    test_dataloader = predict_dataloader = val_dataloader
