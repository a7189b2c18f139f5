"""How much faster a population trains than a loop over its members.

``python benchmarks/population_speed.py`` prints CPU-time ratios of one training step on one
thread and writes ``results/population_speed.json``. The loop has one module and one Adam for
each member; the population one stacked module and one Adam. Both take the same steps, up to
rounding that training amplifies (``apart``).

A population saves the overhead of many small calls. Where one member fills the core already it
saves nothing, and its tensors leave the cache: then run a few members at a time (``chunk_size``)
or one (``vectorize=False``).
"""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

import torch
from interleave import compare, interleave, show, write
from torch import nn

import fields
from overparam.population import Population


def mse(member: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean squared error of one member."""
    return (member(x) - y).square().mean()


def digits_mlp() -> nn.Module:
    """A small classifier's shape."""
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def siren() -> nn.Module:
    """A small field."""
    return fields.Siren(2, 1, width=32, depth=3)


def wide_siren() -> nn.Module:
    """A field whose matrix products are large enough to fill a core alone."""
    return fields.Siren(2, 1, width=128, depth=3)


FAMILIES = {
    "mlp 64-32-10, 64 rows": (digits_mlp, 64, 64, 10),
    "siren 32x3, 64 points": (siren, 64, 2, 1),
    "siren 32x3, 1024 points": (siren, 1024, 2, 1),
    "siren 128x3, 1024 points": (wide_siren, 1024, 2, 1),
    "siren 128x3, 1024 points, one after another": (wide_siren, 1024, 2, 1),
}


def steppers(
    factory: Callable[[], nn.Module],
    seeds: Sequence[int],
    x: torch.Tensor,
    y: torch.Tensor,
    vectorize: bool,
) -> tuple[dict[str, Callable[[], None]], Callable[[], float]]:
    """Return one training step of the loop and of the population, and how far they are apart."""
    population = Population(factory, seeds, vectorize=vectorize)
    members = list(Population(factory, seeds))
    one = torch.optim.Adam(population.parameters(), 1e-3)
    many = [torch.optim.Adam(member.parameters(), 1e-3) for member in members]

    def loop() -> None:
        for member, optimizer in zip(members, many, strict=True):
            optimizer.zero_grad()
            mse(member, x, y).backward()
            optimizer.step()

    def together() -> None:
        one.zero_grad()
        population.backward(population.losses(mse, x, y))
        one.step()

    def apart() -> float:
        with torch.no_grad():
            return float((population(x) - torch.stack([m(x) for m in members])).abs().max())

    return {"loop": loop, "population": together}, apart


def main(args: list[str] | None = None) -> dict[str, dict[str, float]]:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=16, help="members of each population")
    parser.add_argument("--rounds", type=int, default=20, help="interleaved rounds")
    parser.add_argument("--smoke", action="store_true", help="few members, nothing written")
    given = parser.parse_args(args)
    torch.set_num_threads(1)
    count, rounds = (3, 2) if given.smoke else (given.members, given.rounds)
    rows = {}
    for title, (factory, batch, d_in, d_out) in FAMILIES.items():
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(batch, d_in, generator=generator) * 2 - 1
        y = torch.rand(batch, d_out, generator=generator)
        calls, apart = steppers(
            factory, range(count), x, y, vectorize=not title.endswith("one after another")
        )
        times = interleave(calls, rounds=rounds, repeats=1 if given.smoke else 5)
        rows[title] = compare(times, "loop", "population") | {"apart": apart()}
        show(title, rows[title])
    if not given.smoke:
        print(write("population_speed", rows, vars(given)))
    return rows


if __name__ == "__main__":
    main()
