"""Quasi-Newton descents of many poses at once, each at its own step of its own descent.

A tick computes one energy for every pose; a pose whose step was too long shortens it while its
neighbours go on, so no pose waits for another's line search. Nothing is read back from the device.
The rules are those of ``docking.search.descent``, pose by pose.

Source: Nocedal and Wright, "Numerical Optimization" (2006), sections 3.1 and 6.1.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.search.batched_energy import evaluate, folded, move
from docking.search.batched_problem import DeviceBody, DeviceMaps, at_once
from docking.search.descent import HOPE, LONGEST

_FIRST = 0.5  # longest step, angstrom in the mean, while nothing is known of the Hessian
_ARMIJO = 1e-4
_TRIALS = 8
_CHECKED = 4  # ticks between two looks at whether all are done


@dataclass
class Descents:
    """Descents under way, poses last; ``Descents.none`` makes one, ``begin`` sets poses going.

    Attributes:
        state: Best pose of each so far, ``(7 + t, p)``.
        energy: Its energy; infinite before the first tick.
        gradient: Its gradient in the scaled variables, ``(6 + t, p)``.
        hessian: Inverse Hessian, ``(6 + t, 6 + t, p)``.
        direction: Where the next step goes, and
        slope: the rise of the energy along it.
        factor: Its length as a part of the direction.
        fresh: Whether nothing is known of the Hessian.
        small: Steps in a row that gained less than the tolerance.
        iteration: Steps made.
        tries: Lengths tried of this step.
        tolerance: See ``small``, kcal/mol.
        ceiling: It ends where a minimum below this is no longer to be expected, kcal/mol.
        active: Whether it is still going down.
        used: Energies computed.
    """

    state: Tensor
    energy: Tensor
    gradient: Tensor
    hessian: Tensor
    direction: Tensor
    slope: Tensor
    factor: Tensor
    fresh: Tensor
    small: Tensor
    iteration: Tensor
    tries: Tensor
    tolerance: Tensor
    ceiling: Tensor
    active: Tensor
    used: Tensor

    @classmethod
    def none(cls, state: Float[Tensor, "dof p"]) -> "Descents":
        """No descent: poses at rest."""
        free, poses = len(state) - 1, state.shape[1]
        zero = state.new_zeros(poses)
        no, count = torch.zeros_like(zero, dtype=torch.bool), torch.zeros_like(zero).int()
        rows = state.new_zeros(free, poses)
        return cls(
            state=state,
            energy=zero,
            gradient=rows,
            hessian=state.new_zeros(free, free, poses),
            direction=rows,
            slope=zero,
            factor=zero,
            fresh=no,
            small=count,
            iteration=count,
            tries=count,
            tolerance=zero,
            ceiling=zero,
            active=no,
            used=torch.zeros_like(zero, dtype=torch.int64),
        )

    def begin(
        self, some: Tensor, state: Tensor, tolerance: float, ceiling: Tensor | None = None
    ) -> None:
        """Start the descents ``some`` (a mask) from ``state``; a first tick makes no step."""
        unit = torch.eye(len(self.hessian), dtype=state.dtype, device=state.device)[..., None]
        self.state = torch.where(some, state, self.state)
        self.energy = self.energy.masked_fill(some, torch.inf)
        self.gradient = self.gradient.masked_fill(some, 0.0)
        self.hessian = torch.where(some, unit, self.hessian)
        self.direction = self.direction.masked_fill(some, 0.0)
        self.slope = self.slope.masked_fill(some, 0.0)
        self.factor = self.factor.masked_fill(some, 0.0)
        self.fresh = self.fresh | some
        self.small = self.small.masked_fill(some, 0)
        self.iteration = self.iteration.masked_fill(some, -1)
        self.tries = self.tries.masked_fill(some, 0)
        self.tolerance = self.tolerance.masked_fill(some, tolerance)
        if ceiling is None:
            ceiling = torch.full_like(self.ceiling, torch.inf)
        self.ceiling = torch.where(some, ceiling, self.ceiling)
        self.active = self.active | some

    def tick(self, maps: DeviceMaps, body: DeviceBody, iterations: int) -> None:
        """Try one step of every active descent.

        Args:
            maps: The pocket.
            body: The ligand, laid for these poses.
            iterations: Most steps of a descent.
        """
        step = self.factor * self.direction
        trial = move(self.state, step * body.scale)
        found, new, _ = evaluate(maps, body, trial)
        new = new * body.scale
        self.used = self.used + self.active
        linear = self.factor * self.slope
        lower = found <= self.energy + _ARMIJO * linear
        took, missed = self.active & lower, self.active & ~lower

        self.hessian, curved = self._learnt(step, new, took)
        gained = self.energy - found
        bend = gained.neg() - linear
        self.state = torch.where(took, trial, self.state)
        self.gradient = torch.where(took, new, self.gradient)
        self.energy = torch.where(took, found, self.energy)
        self.small = torch.where(took, (self.small + 1) * (gained < self.tolerance), self.small)
        self.tries = (self.tries + 1) * missed

        # A step that no length makes good, or an uphill one, throws away what was known.
        spent = missed & (self.tries == _TRIALS)
        turning = took | spent
        done = (took & (self.small == 2)) | (spent & self.fresh)
        self.fresh = (self.fresh & ~curved) | spent
        downhill = -self.gradient
        self.direction = torch.where(spent, downhill, -_applied(self.hessian, self.gradient))
        uphill = turning & ~spent & (_dot(self.direction, self.gradient) >= 0)
        done = done | (uphill & self.fresh)
        anew = spent | uphill
        self.fresh = self.fresh | anew
        self.direction = torch.where(anew, downhill, self.direction)
        unit = torch.eye(len(step), dtype=step.dtype, device=step.device)[..., None]
        self.hessian = torch.where(anew, unit, self.hessian)
        self.slope = _dot(self.direction, self.gradient)
        self.iteration = self.iteration + turning + uphill
        self.tries = self.tries * ~turning

        size = _dot(self.direction, self.direction).sqrt()
        longest = torch.full_like(size, LONGEST).masked_fill_(self.fresh, _FIRST)
        whole = torch.where(size > longest, longest / size, 1.0)
        # The minimum of the parabola through what is known, kept within bounds.
        half = 0.5 * self.factor
        shorter = torch.where(bend > 0, -half * linear / bend, half)
        shorter = torch.minimum(torch.maximum(shorter, 0.1 * self.factor), half)
        self.factor = torch.where(turning, whole, torch.where(missed, shorter, self.factor))
        hope = _hope(step.device, step.dtype)
        hopeless = self.energy - hope[self.iteration.clamp(0, len(hope) - 1)] > self.ceiling
        last = (self.iteration >= iterations) | (self.slope >= 0) | hopeless
        done = done | (turning & last)
        self.active = self.active & ~done

    def _learnt(self, step: Tensor, new: Tensor, took: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse Hessian after the steps taken, and where it has changed."""
        y = new - self.gradient
        sy, yy = _dot(step, y), _dot(y, y)
        curved = took & (sy > 1e-10 * yy) & (sy > 0)
        H = self.hessian * torch.where(curved & self.fresh, sy / yy, 1.0)
        Hy = _applied(H, y)
        rho = torch.where(curved, 1 / sy, 0.0)
        lift = (1 + _dot(Hy, y) * rho) * rho
        cross = step[:, None] * Hy
        H += (lift * step)[:, None] * step - rho * (cross + cross.transpose(0, 1))
        return H, curved


@cache
def _hope(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(HOPE).to(device, dtype)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return folded(a * b)


def _applied(H: Tensor, v: Tensor) -> Tensor:
    """``H v`` for symmetric ``H``."""
    return folded(H * v[:, None])


def taken(what: Any, some: Tensor) -> Any:
    """A dataclass of tensors for some of its poses alone, by mask or index."""
    return type(what)(**{name: value[..., some] for name, value in vars(what).items()})


def descend(
    maps: DeviceMaps,
    body: DeviceBody,
    conformer: Int[Tensor, " p"],
    states: Float[Tensor, "p dof"],
    iterations: int,
    tolerance: float,
    *,
    memory: int | None = None,
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p dof"], Int[Tensor, " p"]]:
    """Follow the maps' energy downhill from many poses.

    Args:
        maps: The pocket.
        body: The ligand.
        conformer: Conformer of each pose.
        states: Where to start, as in ``docking.search.energy``.
        iterations: Most steps of each.
        tolerance: Stop when two steps in a row gain less than this, kcal/mol.
        memory: As for ``energies``.

    Returns:
        Energies of the minima, kcal/mol, their poses, and how many energies each took.
    """
    device, dtype = maps.values.device, maps.values.dtype
    middle = torch.as_tensor(maps.middle, device=device)
    parts = []
    turn = at_once(len(states), footprint(body), maps, memory)
    for some, c in zip(states.split(turn), conformer.split(turn), strict=True):
        state = some.detach().to(device, torch.float64).T.clone()
        state[:3] -= middle[:, None]
        laid, going = body.laid(c.to(device)), Descents.none(state.to(dtype))
        going.begin(torch.ones_like(going.active), going.state, tolerance)
        while going.active.any():
            for _ in range(_CHECKED):
                going.tick(maps, laid, iterations)
        state = going.state.double()
        state[:3] += middle[:, None]
        parts.append((going.energy, state.T, going.used))
    energy, state, used = (torch.cat(each) for each in zip(*parts, strict=True))
    return energy, state, used


def footprint(body: DeviceBody) -> int:
    """Numbers held at once for each pose that descends, at most."""
    free = len(body.scale)
    return body.floats() + 5 * free * free + 20 * free
