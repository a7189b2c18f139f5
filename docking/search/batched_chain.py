"""Chains of the search side by side: the chains of ``docking.search.chain``, poses last.

A chain has the starts, the changes and the random numbers of the compiled one; only rounding tells
the two apart (and a shift that 20 random points in a row fail to give, one in 3 million).

Source: as ``docking.search.chain``; Steele, Lea and Flood, OOPSLA 2014, for SplitMix64, whose
numbers here are computed from their position in the stream.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.search.batched_descent import Descents
from docking.search.batched_energy import evaluate, folded, move, place
from docking.search.batched_problem import DeviceBody, DeviceMaps
from docking.search.chain import TEMPERATURE
from docking.search.engine import Budget

BALLS = 20
"""Tries for a point in a ball; each is in it with probability 0.52."""
_SAME = 1.0  # squared mean displacement, square angstrom, below which two minima are one
_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def numbers(
    stream: Int[Tensor, " p"], drawn: Int[Tensor, " p"], count: int
) -> Float[Tensor, "count p"]:
    """The next numbers of some streams, uniform in [0, 1), double precision.

    Args:
        stream: Seeds, the bits of a uint64 each.
        drawn: How many numbers each has given.
        count: How many to compute; ``drawn`` is the caller's to raise.
    """
    later = torch.arange(1, count + 1, device=stream.device)[:, None]
    z = stream + (drawn + later) * _signed(_GAMMA)
    z = (z ^ _shifted(z, 30)) * _signed(_FIRST)
    z = (z ^ _shifted(z, 27)) * _signed(_SECOND)
    return _shifted(z ^ _shifted(z, 31), 11).double() * 2.0**-53


def _signed(bits: int) -> int:
    return bits - 2**64 if bits >= 2**63 else bits


def _shifted(z: Tensor, by: int) -> Tensor:
    """Shift right without the sign."""
    return (z >> by) & (2 ** (64 - by) - 1)


def scatter(maps: DeviceMaps, body: DeviceBody, random: Float[Tensor, "count p"]) -> Tensor:
    """Random poses ``(7 + t, p)`` of a laid ligand, as the compiled ``scatter`` makes them.

    Args:
        maps: The pocket.
        body: The ligand.
        random: Six numbers and one more for each torsion.
    """
    dtype = maps.values.dtype
    a, b, c = random[0], 2 * math.pi * random[1], 2 * math.pi * random[2]
    long, short = a.sqrt(), (1 - a).sqrt()
    turn = torch.stack((short * b.sin(), short * b.cos(), long * c.sin(), long * c.cos()))
    angles = 2 * math.pi * random[3:-3] - math.pi
    state = torch.cat((torch.zeros_like(turn[:3]), turn, angles)).to(dtype)
    x, _ = place(body, state)
    least, most = x.amin(0), x.amax(0)
    low, high = maps.low[0], maps.high[0]
    free = (high - low - (most - least)).clamp(min=0)
    state[:3] = 0.5 * (high + low - most - least) + (random[-3:].to(dtype) - 0.5) * free
    return state


def mutate(
    state: Tensor, radius: Tensor, random: Float[Tensor, "count p"]
) -> tuple[Tensor, Tensor]:
    """Poses with one thing changed, as ``mutate`` does, and how many numbers each took.

    Args:
        state: Poses ``(7 + t, p)``.
        radius: Of the ligand, angstrom.
        random: Numbers, ``1 + 3 * 20``.
    """
    torsions = len(state) - 7
    which = (random[0] * (2 + torsions)).long()
    points = 2 * random[1:].view(BALLS, 3, -1) - 1
    square = points * points
    within = square[:, 0] + square[:, 1] + square[:, 2] < 1
    later = torch.arange(BALLS, device=state.device)[:, None]
    first = torch.where(within, later, BALLS - 1).amin(0)
    # Only if no try is within can the last one stick out, and it is halved then.
    point = points.gather(0, first.expand(1, 3, -1))[0] * (1 - 0.5 * ~within.any(0))
    size = torch.where(which == 0, 2.0, 2.0 / radius) * (which < 2)
    vector = (point * size).to(state.dtype)
    step = torch.cat((vector * (which == 0), vector * (which == 1), torch.zeros_like(state[7:])))
    moved = move(state, step)
    turned = which == 2 + torch.arange(torsions, device=state.device)[:, None]
    angle = (2 * math.pi * random[1] - math.pi).to(state.dtype)
    moved[7:] = torch.where(turned, angle, moved[7:])
    return moved, torch.where(which < 2, 4 + 3 * first, 2)


@dataclass
class Chains:
    """Chains under way, last axis; ``m`` minima of each are kept.

    Attributes:
        index: Number of the chain.
        conformer: Its conformer.
        stream: Seed of its random numbers.
        drawn: How many it has drawn.
        here: Its pose, ``(7 + t, p)``.
        energy: Energy of that.
        best: Least energy so far, to within the gain that counts.
        since: Changes since then.
        step: Descents made.
        radius: Of the ligand, for turns, angstrom.
        energies: Of the minima kept, infinite where there is none, ``(m, p)``.
        states: Their poses, ``(m, 7 + t, p)``.
        positions: Their atoms, ``(m, n, 3, p)``.
    """

    index: Tensor
    conformer: Tensor
    stream: Tensor
    drawn: Tensor
    here: Tensor
    energy: Tensor
    best: Tensor
    since: Tensor
    step: Tensor
    radius: Tensor
    energies: Tensor
    states: Tensor
    positions: Tensor

    @classmethod
    def started(
        cls,
        maps: DeviceMaps,
        body: DeviceBody,
        conformer: Tensor,
        index: Tensor,
        stream: Tensor,
        budget: Budget,
    ) -> "Chains":
        """Each chain at the best of its random poses, with ``body`` laid for them."""
        drawn = torch.zeros_like(stream)
        count = len(body.scale)
        here, lowest = None, torch.full_like(stream, torch.inf, dtype=maps.values.dtype)
        for _ in range(budget.trials):
            trial = scatter(maps, body, numbers(stream, drawn, count))
            drawn = drawn + count
            e, _, x = evaluate(maps, body, trial)
            here = trial if here is None else torch.where(e < lowest, trial, here)
            lowest = torch.minimum(e, lowest)
        assert here is not None
        infinite = torch.full_like(lowest, torch.inf)
        return cls(
            index=index,
            conformer=conformer,
            stream=stream,
            drawn=drawn,
            here=here,
            energy=infinite,
            best=infinite,
            since=torch.zeros_like(index),
            step=torch.zeros_like(index),
            radius=torch.zeros_like(lowest),
            energies=infinite.repeat(budget.kept, 1),
            states=torch.zeros_like(here).repeat(budget.kept, 1, 1),
            positions=torch.zeros_like(x).repeat(budget.kept, 1, 1, 1),
        )

    def turn(self, body: DeviceBody, descents: Descents, budget: Budget) -> None:
        """Judge the descents that have ended and begin the next of their chains."""
        ready = ~descents.active & (self.step <= budget.steps)
        new, state = descents.energy, descents.state
        x, _ = place(body, state)
        arm = (x - state[:3]).square().flatten(0, 1)
        radius = (folded(arm) / len(x)).sqrt().clamp(min=1)
        self.radius = torch.where(self.step == 0, radius, self.radius)
        accepted = ready & (new < descents.ceiling)
        self.energy = torch.where(accepted, new, self.energy)
        self.here = torch.where(accepted, state, self.here)
        self._remember(accepted, new, state, x)
        better = accepted & (new < self.best - 0.01)
        self.best = torch.where(better, new, self.best)
        self.since = torch.where(better | (self.step == 0), 0, self.since + ready)
        lost = ready & (self.since >= budget.patience)
        top = _one_hot(_first(self.energies == self.energies.amin(0)), len(self.energies))
        self.here = torch.where(lost, _picked(self.states, top), self.here)
        self.energy = torch.where(lost, self.energies.amin(0), self.energy)
        self.since = self.since.masked_fill(lost, 0)
        self.step = self.step + ready
        if budget.steps:
            going = ready & (self.step <= budget.steps)
            random = numbers(self.stream, self.drawn, 1 + 3 * BALLS)
            trial, used = mutate(self.here, self.radius, random)
            # What Metropolis would accept is drawn first, so that a hopeless descent ends early.
            chance = numbers(self.stream, self.drawn + used, 1)[0].clamp(min=1e-300)
            self.drawn = self.drawn + (used + 1) * going
            ceiling = self.energy - TEMPERATURE * chance.log()
            descents.begin(going, trial, 0.05, ceiling.to(trial.dtype))

    def _remember(self, some: Tensor, e: Tensor, state: Tensor, x: Tensor) -> None:
        """Keep minima among the best distinct ones, as ``remember`` does."""
        kept = len(self.energies)
        apart = (self.positions - x).square().flatten(1, 2).transpose(0, 1)
        known = self.energies.isfinite()
        twin = known & (folded(apart) < _SAME * len(x))
        found = known.sum(0)
        # A twin's place, else the next free one, else that of the worst, infinite ones being free.
        worst = _first(self.energies == self.energies.amax(0))
        spot = torch.where(twin.any(0), _first(twin), torch.where(found < kept, found, worst))
        write = _one_hot(spot, kept) & some & (e < self.energies)
        self.energies = torch.where(write, e, self.energies)
        self.states = torch.where(write[:, None], state, self.states)
        self.positions = torch.where(write[:, None, None], x, self.positions)


def _first(claim: Tensor) -> Tensor:
    """The first row in which each column's claim is true; the last if none is."""
    rows = torch.arange(len(claim), device=claim.device)[:, None]
    return torch.where(claim, rows, len(claim) - 1).amin(0)


def _one_hot(row: Tensor, count: int) -> Tensor:
    return torch.arange(count, device=row.device)[:, None] == row


def _picked(values: Tensor, one_hot: Tensor) -> Tensor:
    return (values * one_hot[:, None]).sum(0)  # one term of each sum is not zero
