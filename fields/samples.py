"""Samples of a signal as Lightning data: whole signals or shuffled batches of points."""

from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from fields.score import fit_scores
from overparam.errors import InputError

Batch = tuple[Tensor, ...]


class PointStream:
    """Batches of points, the same ones whenever the same epoch is asked for.

    Passes over the points follow one another without regard to epochs, each shuffled by a seed of
    its own. Every process of a distributed run gets its own share, all shares equally large
    (the first points fill the last share up). A whole-signal batch is not shuffled.

    Args:
        tensors: What is known of the points, one row each: coordinates, values, ...
        batch_size: Points in a batch of one process; None is its whole share.
        steps: Batches an epoch; None is one pass.
        seed: Seed of the shuffling.
        rank: Index of this process.
        world: Number of processes.
        epoch: Tells the current epoch when iteration starts.
    """

    def __init__(
        self,
        *tensors: Shaped[Tensor, "n ..."],
        batch_size: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        epoch: Callable[[], int] = lambda: 0,
    ) -> None:
        self.tensors = tensors
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.world, self.epoch = rank, world, epoch
        share = -(-len(tensors[0]) // world)
        self.pass_steps = 1 if batch_size is None else -(-share // batch_size)
        self.steps = self.pass_steps if steps is None else steps
        self._order: tuple[int, Tensor] | None = None
        self._whole: Batch | None = None

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        start = self.epoch() * self.steps
        for step in range(start, start + self.steps):
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """Return the batch of a step counted from the start of training."""
        if self.batch_size is None:
            if self._whole is None:
                self._whole = self.tensors
                if self.world > 1:
                    mine = self._share(torch.arange(len(self.tensors[0])))
                    self._whole = tuple(tensor[mine] for tensor in self.tensors)
            return self._whole
        pass_index, part = divmod(step, self.pass_steps)
        if self._order is None or self._order[0] != pass_index:
            generator = torch.Generator().manual_seed(self.seed + pass_index)
            order = torch.randperm(len(self.tensors[0]), generator=generator)
            self._order = (pass_index, self._share(order))
        rows = self._order[1][part * self.batch_size : (part + 1) * self.batch_size]
        return tuple(tensor[rows] for tensor in self.tensors)

    def _share(self, order: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
        share = -(-len(order) // self.world)
        places = torch.arange(self.rank, share * self.world, self.world)
        return order[places % len(order)]


class SignalSamples(pl.LightningDataModule):
    """Base of the signals: a subclass gives :meth:`load`.

    Training sees the points in batches; validation, test and prediction see the whole signal.

    Args:
        batch_size: Points per step and process; None takes all of them in each step.
        epoch_steps: Steps in what the trainer calls an epoch (the unit of its progress bar, its
            validation and its checkpoints); None is one pass over the points.
        seed: Seed of the shuffling.

    Attributes:
        x: Coordinates ``(n, d)``, after :meth:`setup`.
        y: Values ``(n, c)`` in [-1, 1], after :meth:`setup`.
        signal: What the signal is, as plain data a checkpoint can hold.
        scalars_fitted: Number of values that training fits.

    Raises:
        ValueError: If a size is below 1.
    """

    def __init__(
        self, *, batch_size: int | None = None, epoch_steps: int | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        for name, size in (("batch_size", batch_size), ("epoch_steps", epoch_steps)):
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.batch_size = batch_size
        self.epoch_steps = epoch_steps
        self.seed = seed
        self.x = torch.empty(0, 0)
        self.y = torch.empty(0, 0)
        self.signal: dict[str, Any] = {}
        self.scalars_fitted: int | None = None

    def load(self) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Return coordinates, values and the description of the signal."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Load the signal, once.

        Raises:
            InputError: If it cannot be used.
        """
        if self.signal:
            return
        self.x, self.y, self.signal = self.load()
        _, target = self.training()[:2]
        self.scalars_fitted = target.numel()
        points = len(target)
        if self.batch_size is not None and self.batch_size > points:
            raise InputError(
                f"batch_size must be at most the {points} points of the signal, "
                f"got {self.batch_size}"
            )

    def training(self) -> Batch:
        """Return what a training batch holds rows of: coordinates and values, or another law."""
        return self.x, self.y

    def scoring(self) -> Batch:
        """Return what a fit is scored on: coordinates, values and whatever else its score needs."""
        return self.x, self.y

    def baselines(self) -> dict[str, dict[str, float]]:
        """Score what costs nothing, here the mean value: name to scores."""
        mean = self.y.mean(0).expand_as(self.y)
        scores = fit_scores(mean, self.y, self.signal)
        return {"mean": {name: float(value) for name, value in scores.items()}}

    def train_dataloader(self) -> PointStream:
        """Return this process's share in batches."""
        trainer = self.trainer
        place: dict[str, Any] = {}
        if trainer is not None:
            place = {"rank": trainer.global_rank, "world": trainer.world_size}
            place |= {"epoch": lambda: trainer.current_epoch}
        return PointStream(
            *self.training(),
            batch_size=self.batch_size,
            steps=self.epoch_steps,
            seed=self.seed,
            **place,
        )

    def val_dataloader(self) -> PointStream:
        """Return the whole signal as one batch, on every process."""
        return PointStream(*self.scoring())

    test_dataloader = val_dataloader
    predict_dataloader = val_dataloader
