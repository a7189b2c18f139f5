"""Optimizers and schedules that torch does not have: cosine decay per step, Muon beside Adam."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Muon, Optimizer
from torch.optim.lr_scheduler import LRScheduler


class CosineDecay(LRScheduler):
    """Linear warm-up, then half a cosine down to ``floor`` times the base rate, per step.

    With ``w = round(warmup * total_steps)`` steps of warm-up, step ``t < w`` runs at
    ``(t + 1) / (w + 1)`` of the base rate and step ``t >= w`` at
    ``floor + (1 - floor) * (1 + cos(pi * (t - w) / (total_steps - w))) / 2``.

    Args:
        optimizer: Optimizer whose base rates are scaled.
        total_steps: Number of optimizer steps until the floor; None until ``total_steps`` is
            assigned, which ``OverparameterizedModule`` does with the length of the run.
        warmup: Fraction of ``total_steps`` spent warming up, in [0, 1).
        floor: Final rate as a fraction of the base rate, in [0, 1].

    Raises:
        ValueError: If ``warmup`` or ``floor`` is out of range or ``total_steps`` below 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int | None = None,
        warmup: float = 0.0,
        floor: float = 0.0,
    ) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f"warmup must be a fraction in [0, 1), got {warmup}")
        if not 0 <= floor <= 1:
            raise ValueError(f"floor must be a fraction in [0, 1], got {floor}")
        self.warmup = warmup
        self.floor = floor
        self._total_steps = _positive(total_steps)
        super().__init__(optimizer)

    @property
    def total_steps(self) -> int | None:
        """Number of steps until the floor; assigning it sets the rate of the present step anew."""
        return self._total_steps

    @total_steps.setter
    def total_steps(self, steps: int | None) -> None:
        self._total_steps = _positive(steps)
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def factor(self, step: int) -> float:
        """Fraction of the base rate at ``step``; 1 while the length is unknown."""
        if self._total_steps is None:
            return 1.0
        warm = round(self.warmup * self._total_steps)
        if step < warm:
            return (step + 1) / (warm + 1)
        part = min((step - warm) / max(self._total_steps - warm, 1), 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * part)) / 2

    def get_lr(self) -> list[float | Tensor]:
        """Rates of the present step, one per parameter group."""
        scale = self.factor(self.last_epoch)
        return [base * scale for base in self.base_lrs]


class MuonAdam(Optimizer):
    """Muon on the hidden matrices, Adam on everything else, as one optimizer.

    Hidden are all two-dimensional parameters but the first and the last in the order given: the
    first maps coordinates or pixels in, the last maps features out, and orthogonalised updates
    suit neither. Without hidden matrices this is Adam.

    Args:
        params: Parameters in the order of the network, as ``module.parameters()`` gives them.
        lr: Rate of the hidden matrices; their update has spectral norm about 1, times
            ``sqrt(max(1, rows / columns))``.
        adam_lr: Rate of the rest.
        momentum: Momentum of Muon.
        betas: Averaging rates of Adam.
        eps: Added to Adam's denominator.
        weight_decay: Decoupled decay of both.
        ns_steps: Newton-Schulz iterations that orthogonalise an update.

    Raises:
        ValueError: If a rate is negative, or ``params`` is empty or holds groups.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), in
    torch's implementation; Kingma and Ba, "Adam", ICLR 2015.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        adam_lr: float = 5e-4,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        ns_steps: int = 5,
    ) -> None:
        given = list(params)
        if not given or not all(isinstance(p, Tensor) for p in given):
            raise ValueError("params must be a non-empty sequence of tensors, without groups")
        for name, value in {"lr": lr, "adam_lr": adam_lr, "weight_decay": weight_decay}.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        hidden = [p for p in given if p.ndim == 2][1:-1]
        chosen = {id(p) for p in hidden}
        rest = [p for p in given if id(p) not in chosen]
        decay: dict[str, Any] = {"weight_decay": weight_decay}
        groups = []
        if hidden:
            muon = Muon(hidden, lr=lr, momentum=momentum, ns_steps=ns_steps, **decay)
            groups.append(muon.defaults | {"params": hidden})
        # never empty: the first and the last matrix are in it, or there are no matrices
        decay["decoupled_weight_decay"] = True
        adam = Adam(rest, lr=adam_lr, betas=(betas[0], betas[1]), eps=eps, **decay)
        groups.append(adam.defaults | {"params": rest})
        super().__init__(groups, {})

    def _part(self, group: dict[str, Any]) -> Optimizer:
        """Borrow torch's optimizer for one group; the state stays here.

        It is made anew each step because copying, pickling and loading replace the groups.
        """
        kind = Muon if "ns_steps" in group else Adam
        part = kind.__new__(kind)
        part.__setstate__({"state": self.state, "param_groups": [group], "defaults": {}})
        return part

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of both parts.

        Args:
            closure: Evaluated once, with gradients on, before the step; its value is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._part(group).step()
        return loss


def _positive(steps: int | None) -> int | None:
    if steps is not None and steps < 1:
        raise ValueError(f"total_steps must be at least 1, got {steps}")
    return steps
