"""The search with all chains side by side, on any device: the same chains as ``engine.search``.

Chains do not wait for each other: whoever ends a descent makes its next change. What a chain finds
depends on the seed and its own number alone, never on which others run beside it.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from docking.search.batched_chain import BALLS, Chains
from docking.search.batched_descent import Descents, footprint, taken
from docking.search.batched_problem import DeviceBody, DeviceMaps, at_once
from docking.search.engine import Budget, Minima, chain_seeds
from docking.search.problem import Body, Maps

EVERY = 3
"""Ticks of the descents between two turns of the chains; the result does not depend on it."""


def in_one_round(budget: Budget) -> Budget:
    """As many changes, without rounds after which chains are dropped.

    Rounds make what a chain finds depend on the others, and leave a device half empty.
    """
    return dataclasses.replace(budget, steps=budget.steps * budget.rounds, rounds=1)


def widened(budget: Budget, width: int) -> Budget:
    """The same number of descents in one round, split over ``width`` times as many chains.

    A device that computes thousands of energies in the time of one wants many chains; each gets
    ``(steps + 1) / width`` descents, its first among them, and hands on ``kept / width`` minima,
    one at least. Chains too short to be split, a rigid ligand's above all, stay as they are. The
    random poses a start is chosen from are not split: a chain costs ``trials`` energies more.

    Raises:
        ValueError: If ``width`` is not positive.
    """
    if width < 1:
        raise ValueError(f"width must be positive, got {width}")
    budget = in_one_round(budget)
    width = min(width, budget.steps + 1)
    steps = max(round((budget.steps + 1) / width) - 1, 0)
    return dataclasses.replace(
        budget,
        chains=budget.chains * width,
        steps=steps,
        kept=max(1, round(budget.kept / width)),
    )


def search_batched(
    maps: Maps | DeviceMaps,
    body: Body,
    budget: Budget,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    memory: int | None = None,
) -> Minima:
    """Run all chains side by side and join what they found, best first.

    Args:
        maps: The pocket; ``DeviceMaps``, made once, spare copying it for each of many ligands.
        body: The ligand.
        budget: Chains and their lengths, all changes being made in one round; ``widened`` makes
            more and shorter chains of the same work.
        seed: What is found depends on it, on ``budget`` and on ``dtype``; between devices to
            rounding, which long chains enlarge until they lead elsewhere.
        device: Where to compute; it needs 64-bit numbers. Unused if the maps are on one already.
        dtype: Of energies and poses. Unused likewise.
        memory: Bytes of arrays on the device beside the maps and what was found; more chains run
            in turns. ``working_memory`` of the device if left out.

    Returns:
        Minima as ``engine.search`` returns them, for ``engine.refine`` to go on from.

    Raises:
        ValueError: If ``memory`` is not positive.
    """
    budget = in_one_round(budget)
    at = maps if isinstance(maps, DeviceMaps) else DeviceMaps.of(maps, device, dtype)
    ligand = DeviceBody.of(body, at)
    where = at.values.device
    streams = torch.as_tensor(chain_seeds(seed, budget.chains).view(np.int64)).to(where)
    index = torch.arange(budget.chains, device=where)
    kept = budget.kept * (len(body.scale) + 2 + 3 * len(body.kinds))
    turn = at_once(budget.chains, footprint(ligand) + 3 * kept + 24 * BALLS, at, memory)
    led = [_led(at, ligand, some, streams[some], budget) for some in index.split(turn)]
    chains = _joined([part for part, _ in led])
    order = chains.index.argsort()
    energies = chains.energies[:, order].T.double()
    filled = energies.isfinite()
    rank = energies[filled].argsort(stable=True)
    middle = torch.as_tensor(at.middle)
    states = chains.states[..., order].permute(2, 0, 1)[filled][rank].double()
    states[:, :3] += middle
    states[:, 3:7] /= states[:, 3:7].norm(dim=1, keepdim=True)
    positions = chains.positions[..., order].permute(3, 0, 1, 2)[filled][rank].double() + middle
    conformers = chains.conformer[order][:, None].expand_as(filled)[filled][rank]
    return Minima(
        energies[filled][rank].numpy(),
        conformers.numpy(),
        np.ascontiguousarray(states.numpy()),
        np.ascontiguousarray(positions.numpy()),
        sum(used for _, used in led),
    )


def _led(
    maps: DeviceMaps, body: DeviceBody, index: Tensor, stream: Tensor, budget: Budget
) -> tuple[Chains, int]:
    """Lead some chains to their ends; they come back on the processor, in any order."""
    conformer = index % len(body.penalty)
    laid = body.laid(conformer)
    chains = Chains.started(maps, laid, conformer, index, stream, budget)
    descents = Descents.none(chains.here)
    descents.begin(torch.ones_like(descents.active), chains.here, 0.01)
    ended, evaluations = [], len(index) * budget.trials
    while len(chains.index):
        for _ in range(EVERY):
            descents.tick(maps, laid, budget.iterations)
        chains.turn(laid, descents, budget)
        going = chains.step <= budget.steps
        # Dropping chains copies the others, so it waits until half of them have ended.
        if 2 * int(going.sum()) <= len(going):
            ended.append(taken(chains, ~going))
            evaluations += int(descents.used[~going].sum())
            chains, descents = taken(chains, going), taken(descents, going)
            laid = body.laid(chains.conformer)
    return _joined(ended), evaluations


def _joined(parts: list[Chains]) -> Chains:
    """Some chains together, on the processor."""
    columns = {
        field.name: torch.cat([getattr(part, field.name).cpu() for part in parts], -1)
        for field in dataclasses.fields(Chains)
    }
    return Chains(**columns)
