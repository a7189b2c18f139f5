"""Training of a hybrid score after another one."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from docking.learned.rank_fit import Mined, RankFit, loss
from overparam import CosineDecay, load_plain, plain_state


class Recipe(NamedTuple):
    """How a round is trained.

    Attributes:
        epochs: Passes over the complexes.
        rate: Peak of AdamW's rate: a tenth of the round warms up, a cosine leads down to 1 %.
        decay: Weight decay.
        batch: Complexes a step.
        noise: Disturbance of every coordinate, angstrom.
        imitate: Weight of the squared difference from the teacher's scores, each kind of pose less
            its mean, beside the loss of ``RankFit``.
        weighed: Complexes from which it is told what a path matters.
    """

    epochs: int
    rate: float = 1e-3
    decay: float = 0.05
    batch: int = 8
    noise: float = 0.2
    imitate: float = 1.0
    weighed: int = 128


class Rounds:
    """Trains round after round and keeps each in a file; a round that has one is read from it.

    Dropout is off: who imitates scores of disturbed poses does not run out of examples.

    Args:
        teacher: Score to imitate.
        data: Training complexes.
        recipe: How.
        seed: Of orders, draws and noise.
        files: Where the rounds are kept: ``<files>-<round>.pt``.
        trained: Rounds that lie behind the network it is given first.
    """

    def __init__(
        self,
        teacher: RankFit,
        data: Sequence[Mined],
        recipe: Recipe,
        seed: int,
        files: Path,
        trained: int = 0,
    ) -> None:
        self.teacher, self.data, self.recipe = teacher.eval(), data, recipe
        self.seed, self.files, self.trained, self.round = seed, files, trained, 0

    def __call__(self, fit: RankFit) -> dict[str, float]:
        """Train the next round; returns the mean loss of its last epoch."""
        number, self.round = self.round, self.round + 1
        if number < self.trained:
            return {}
        file = self.files.with_name(f"{self.files.name}-{number}.pt")
        if file.is_file():
            kept = torch.load(file, weights_only=True)
            load_plain(fit, kept["state"])
            return {"loss": kept["loss"]}
        began = time.process_time()
        found = self._train(fit, number)
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".partial")
        torch.save({"state": plain_state(fit), "loss": found}, aside)
        aside.replace(file)
        spent = time.process_time() - began
        print(f"{file.stem}: loss {found:.3f}, {spent:.0f} CPU s", flush=True)
        return {"loss": found}

    def sensitivity(self, fit: RankFit) -> Tensor:
        """A value with the gradient of the loss over many complexes, which are not held at once."""
        fit.eval()
        generator = Generator().manual_seed(self.seed)
        weights = [p for p in fit.parameters() if p.requires_grad]
        total = [torch.zeros_like(p) for p in weights]
        for start in range(0, min(self.recipe.weighed, len(self.data)), self.recipe.batch):
            value = self._loss(fit, self.data[start : start + self.recipe.batch], generator)
            if value is not None:
                slopes = torch.autograd.grad(value, weights, allow_unused=True)
                for sum_, slope in zip(total, slopes, strict=True):
                    if slope is not None:
                        sum_ += slope
        return torch.stack([(p * g).sum() for p, g in zip(weights, total, strict=True)]).sum()

    def _train(self, fit: RankFit, number: int) -> float:
        recipe = self.recipe
        steps = recipe.epochs * math.ceil(len(self.data) / recipe.batch)
        optimizer = torch.optim.AdamW(fit.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
        schedule = CosineDecay(optimizer, steps, warmup=0.1, floor=0.01)
        fit.train()
        for part in fit.modules():
            if isinstance(part, nn.Dropout):
                part.eval()
        generator = Generator().manual_seed(1000 * self.seed + number)
        losses: list[float] = []
        for _ in range(recipe.epochs):
            losses = []
            order = torch.randperm(len(self.data), generator=generator)
            for rows in order.split(recipe.batch):
                value = self._loss(fit, [self.data[i] for i in rows.tolist()], generator)
                if value is not None:
                    optimizer.zero_grad()
                    value.backward()
                    nn.utils.clip_grad_norm_(fit.parameters(), 1.0)
                    optimizer.step()
                    losses.append(float(value.detach()))
                schedule.step()
        fit.eval()
        return float(np.mean(losses))

    def _loss(self, fit: RankFit, batch: Sequence[Mined], generator: Generator) -> Tensor | None:
        drawn = [(one, picks) for one in batch if (picks := fit.draw(one, generator))]
        if not drawn:
            return None
        some = [_some(one, torch.cat(picks), self.recipe.noise, generator) for one, picks in drawn]
        with torch.no_grad():
            wanted = self.teacher(some)
        parts = []
        for (one, picks), now, then in zip(drawn, fit(some), wanted, strict=True):
            sizes = [len(pick) for pick in picks]
            for pick, s, t in zip(picks, now.split(sizes), then.split(sizes), strict=True):
                apart = (s - s.mean()) - (t - t.mean())
                parts.append(loss(s, one.rmsd[pick]) + self.recipe.imitate * apart.square().mean())
        return torch.stack(parts).mean()


def _some(one: Mined, pick: Tensor, noise: float, generator: Generator) -> Mined:
    """Some poses of a complex, disturbed."""
    coords = one.coords[pick]
    coords = coords + noise * torch.randn(coords.shape, generator=generator)
    fields = ("rmsd", "terms", "intra", "source")
    return one._replace(coords=coords, **{name: getattr(one, name)[pick] for name in fields})
