"""Tickets on handwritten digits beside every baseline they have to beat.

``python benchmarks/tickets_digits.py`` takes about ten minutes on one core (``--jobs 2`` halves
it, ``--smoke`` takes seconds). Data: scikit-learn's 8x8 digits divided by 16, stratified 80/20
split (random state 0); accuracies are on the 20 %. Network: ReLU perceptron 64-300-100-10, torch's
initialisation, all three weight matrices prunable, biases never. Training: Adam, constant rate
1.2e-3, batches of 60, 20 epochs a round, a fresh optimizer each round; global magnitude, 20 % of
the remaining weights a round. These settings are fixed beforehand, none was chosen on the test
part. A seed draws weights and batch order.

Rows named "tuned" are trained by a second recipe: AdamW, rate 1e-2 warmed up over a tenth of a
round and let down by a cosine, decay 0.3, tickets pruned by the layer-adaptive criterion
(``lamp``). ``tickets_tuning.py`` chose it on a held-out fifth of the training part; the test part
had no say.

Rows (at a sparsity reached after r prunings):

- dense: 20 epochs; and with LRR's total of 20 (r + 1) epochs.
- LRR: keeps its weights, so it has had 20 (r + 1) epochs by then.
- IMP: the ticket rewound to initialisation and trained 20 epochs; and with LRR's total.
- random mask: as many weights drawn from all, initial values kept; also with LRR's total.
- shuffled: the IMP mask permuted within each layer. reinitialised: the IMP mask, fresh values.
- dense-narrow: a smaller dense network with as many parameters; also with LRR's total.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _table import RESULTS, interval, markdown, shown, write
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from overparam import IMP, LRR, Masks, Ticket, find_ticket
from overparam.schedule import Schedule
from overparam.snapshot import Snapshot, take

RATE, EPOCHS, BATCH, LR = 0.2, 20, 60, 1.2e-3
SIZES = (64, 300, 100, 10)
PROTECT = ("norm", "bias")
LEVELS = (7, 11, 14, 18, 21)
LONG = (11, 18)


class Digits(NamedTuple):
    """Images and labels of the training and the test part."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


class Recipe(NamedTuple):
    """How a round is trained and by what its weights are ranked."""

    rate: float = LR
    decay: float = 0.0
    cosine: bool = False
    criterion: str = "magnitude"


FIXED, TUNED = Recipe(), Recipe(1e-2, 0.3, True, "lamp")


class Plan(NamedTuple):
    """Prunings at which to measure, those with LRR's epochs for all, epochs of a round."""

    levels: tuple[int, ...]
    long: tuple[int, ...]
    epochs: int


def digits() -> Digits:
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=0)
    return Digits(*(torch.from_numpy(part) for part in (x, y, x_test, y_test)))


def perceptron(sizes: tuple[int, ...], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(sizes):
        layers += [nn.Linear(d_in, d_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def parameters(sizes: tuple[int, ...]) -> int:
    return sum(d_in * d_out + d_out for d_in, d_out in pairwise(sizes))


def narrow(budget: int) -> tuple[int, ...]:
    """Dense widths, in the proportions of the big network, of at most ``budget`` parameters."""

    def widths(scale: float) -> tuple[int, ...]:
        return (SIZES[0], *(max(1, round(scale * n)) for n in SIZES[1:-1]), SIZES[-1])

    fitting = [widths(k / 600) for k in range(1, 601) if parameters(widths(k / 600)) <= budget]
    return fitting[-1] if fitting else widths(1 / 600)


def accuracy(module: nn.Module, data: Digits) -> float:
    with torch.no_grad():
        return 100 * float((module(data.x_test).argmax(1) == data.y_test).float().mean())


class Training:
    """Trains rounds of ``epochs``; batch order goes on through rounds, as a long run's would."""

    def __init__(self, data: Digits, epochs: int, seed: int, recipe: Recipe = FIXED) -> None:
        self.data, self.epochs, self.recipe = data, epochs, recipe
        self.generator = torch.Generator().manual_seed(1000 + seed)
        self.masks: list[dict[str, Tensor]] = []
        self.scores: list[float] = []

    def __call__(self, module: nn.Module, rounds: int = 1) -> dict[str, float]:
        """Train, and note masks and test accuracy."""
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            module.parameters(), lr=recipe.rate, weight_decay=recipe.decay, fused=True
        )
        # A row that gets several rounds at once gets the recipe's schedule once a round, as LRR.
        steps = self.epochs * -(-len(self.data.x) // BATCH)
        for step, rows in enumerate(self._batches(rounds)):
            if recipe.cosine:
                done = step % steps / steps
                rise = min(1.0, (step % steps + 1) / (0.1 * steps))
                optimizer.param_groups[0]["lr"] = (
                    recipe.rate * rise * (1 + math.cos(math.pi * done)) / 2
                )
            optimizer.zero_grad()
            cross_entropy(module(self.data.x[rows]), self.data.y[rows]).backward()
            optimizer.step()
        self.masks.append(Masks(module).as_dict())
        self.scores.append(accuracy(module, self.data))
        return {"test": self.scores[-1]}

    def _batches(self, rounds: int) -> Iterator[Tensor]:
        for _ in range(rounds * self.epochs):
            yield from torch.randperm(len(self.data.x), generator=self.generator).split(BATCH)


def search(
    data: Digits, plan: Plan, seed: int, kind: Callable[..., Schedule], recipe: Recipe = FIXED
) -> Training:
    """Run a whole search and keep every round's masks and accuracy."""
    training = Training(data, plan.epochs, seed, recipe)
    schedule = kind(rate=RATE, rounds=max(plan.levels))
    find_ticket(
        perceptron(SIZES, seed), training, schedule, protect=PROTECT, criterion=recipe.criterion
    )
    return training


def one_seed(seed: int, plan: Plan) -> list[dict[str, Any]]:
    """All rows of one seed: method, rounds of pruning, rounds of training, accuracy."""
    torch.set_num_threads(1)
    data, rows = digits(), []

    def add(method: str, level: int, trained: int, score: float, params: int) -> None:
        rows.append(
            {"method": method, "level": level, "rounds": trained, "test": score, "params": params}
        )

    start = take(perceptron(SIZES, seed))
    lrr, imp = (search(data, plan, seed, kind) for kind in (LRR, IMP))
    tuned = search(data, plan, seed, LRR, TUNED)
    add("dense, tuned", 0, 1, tuned.scores[0], parameters(SIZES))
    biases = sum(SIZES[1:])
    add("dense", 0, 1, lrr.scores[0], parameters(SIZES))

    def train(module: nn.Module, rounds: int, recipe: Recipe = FIXED) -> float:
        return Training(data, plan.epochs, seed, recipe)(module, rounds)["test"]

    def retrain(ticket: Ticket, rounds: int) -> float:
        module = perceptron(SIZES, seed)
        ticket.apply(module)
        ticket.rewind(module)
        return train(module, rounds)

    long_dense, module = Training(data, plan.epochs, seed), perceptron(SIZES, seed)
    for _ in range(max(plan.levels) + 1):
        long_dense(module)  # a fresh optimizer each round, as LRR has
    for level in plan.levels:
        total = level + 1
        ticket = Ticket(masks=imp.masks[level], snapshot=Snapshot(dict(start.state)))
        size = ticket.kept + biases
        add("dense, LRR's epochs", level, total, long_dense.scores[level], parameters(SIZES))
        add("LRR", level, total, lrr.scores[level], size)
        add("LRR, tuned", level, total, tuned.scores[level], size)
        add("IMP", level, 1, imp.scores[level], size)
        uniform = ticket.random_like(seed, scope="global")
        add("random mask", level, 1, retrain(uniform, 1), size)
        add("shuffled in layer", level, 1, retrain(ticket.shuffled(seed), 1), size)
        add("reinitialised", level, 1, retrain(ticket.reinitialised(seed), 1), size)
        sizes = narrow(size)
        for name, rounds in (("dense-narrow", 1), ("dense-narrow, LRR's epochs", total)):
            score = train(perceptron(sizes, seed), rounds)
            add(name, level, rounds, score, parameters(sizes))
        score = train(perceptron(sizes, seed), total, TUNED)
        add("dense-narrow, tuned, LRR's epochs", level, total, score, parameters(sizes))
        if level in plan.long:
            add("IMP, LRR's epochs", level, total, retrain(ticket, total), size)
            add("random mask, LRR's epochs", level, total, retrain(uniform, total), size)
    return rows


ORDER = (
    "dense",
    "dense, LRR's epochs",
    "LRR",
    "dense, tuned",
    "LRR, tuned",
    "dense-narrow, tuned, LRR's epochs",
    "dense-narrow, LRR's epochs",
    "IMP, LRR's epochs",
    "random mask, LRR's epochs",
    "IMP",
    "reinitialised",
    "shuffled in layer",
    "random mask",
    "dense-narrow",
)


def summarise(rows: list[dict[str, Any]], plan: Plan) -> dict[str, dict[str, Any]]:
    cells: dict[str, dict[str, Any]] = {}
    for method in ORDER:
        for level in (0, *plan.levels):
            found = [r for r in rows if (r["method"], r["level"]) == (method, level)]
            if found:
                cell = interval([row["test"] for row in found])
                facts = {"rounds": found[0]["rounds"], "params": found[0]["params"]}
                cells.setdefault(method, {})[str(level)] = cell | facts
    return cells


def sparsity(level: int) -> float:
    return 1 - (1 - RATE) ** level


def table(cells: dict[str, dict[str, Any]], plan: Plan) -> str:
    head = ["method, test accuracy %", "0", *(f"{100 * sparsity(k):.1f} %" for k in plan.levels)]
    lines = [
        [method, *(shown(cells[method].get(str(k))) for k in (0, *plan.levels))]
        for method in ORDER
        if method in cells
    ]
    sizes = ["parameters", str(parameters(SIZES))]
    sizes += [str(cells["LRR"][str(level)]["params"]) for level in plan.levels]
    return markdown(head, [*lines, sizes])


def verdicts(cells: dict[str, dict[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    """Targets and whether they are met, with the paired difference to dense."""
    out = []
    for method, start in (("LRR", "dense"), ("LRR, tuned", "dense, tuned")):
        out += _verdicts(cells, plan, method, cells[start]["0"]["values"])
    return out


def _verdicts(
    cells: dict[str, dict[str, Any]], plan: Plan, method: str, dense: list[float]
) -> list[dict[str, Any]]:
    out = []
    for level in plan.levels:
        lrr = cells[method][str(level)]["values"]
        gap = interval([a - b for a, b in zip(lrr, dense, strict=True)])
        if 0.91 <= sparsity(level) < 0.93:
            words = (
                f"{method} - dense at {sparsity(level):.1%}: {shown(gap)} points (target >= -0.3)"
            )
            out.append({"target": words, "met": gap["mean"] >= -0.3})
        if 0.98 <= sparsity(level) < 0.985:
            words = (
                f"{method} at {sparsity(level):.1%}: {shown(cells[method][str(level)])} % (>= 95)"
            )
            out.append({"target": words, "met": cells[method][str(level)]["mean"] >= 95})
    return out


def plot(cells: dict[str, dict[str, Any]], plan: Plan, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for method in ORDER[2:]:
        levels = [k for k in plan.levels if str(k) in cells.get(method, {})]
        if not levels:
            continue
        found = [cells[method][str(k)] for k in levels]
        axes.errorbar(
            [1 - sparsity(k) for k in levels],
            [cell["mean"] for cell in found],
            yerr=[0 if cell["half"] != cell["half"] else cell["half"] for cell in found],
            marker="o",
            capsize=2,
            linestyle="--" if "epochs" in method else "-",
            label=method,
        )
    axes.axhline(cells["dense"]["0"]["mean"], color="black", linewidth=1, label="dense")
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set_ylim(bottom=75)
    axes.set_xlabel("share of weights kept")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"digits, 64-300-100-10, {cells['dense']['0']['n']} seeds, 95 % intervals")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(args: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument(
        "--rounds", type=int, nargs="+", default=list(LEVELS), help="prunings at which to measure"
    )
    parser.add_argument(
        "--long", type=int, nargs="*", default=list(LONG), help="of these, with LRR's epochs too"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="epochs of one round")
    parser.add_argument("--jobs", type=int, default=1, help="seeds computed at the same time")
    parser.add_argument("--smoke", action="store_true", help="seconds: 2 seeds, 2 rounds, 1 epoch")
    parser.add_argument("--out", type=Path, help="folder of the results; default: results/")
    given = parser.parse_args(args)
    if given.smoke:
        given.seeds, given.rounds, given.long, given.epochs = 2, [1, 2], [2], 1
    elif given.out is None:
        given.out = RESULTS
    plan = Plan(tuple(sorted(given.rounds)), tuple(given.long), given.epochs)
    began = time.time()
    work = [(seed, plan) for seed in range(given.seeds)]
    if given.jobs > 1:
        with get_context("spawn").Pool(given.jobs) as pool:
            found = pool.starmap(one_seed, work, chunksize=1)
    else:
        found = [one_seed(*each) for each in work]
    cells = summarise([row for rows in found for row in rows], plan)
    counts = digits().y_test.bincount()
    majority = 100 * float(counts.max() / counts.sum())
    results = verdicts(cells, plan)
    print(table(cells, plan))
    print(f"\nmajority class {majority:.2f} %; {given.seeds} seeds (0-{given.seeds - 1}), ± is the")
    print(f"95 % t interval over seeds; {time.time() - began:.0f} s")
    for result in results:
        print(f"{'met' if result['met'] else 'NOT MET'}: {result['target']}")
    if given.out is None:
        return float(cells["LRR"][str(plan.levels[-1])]["mean"])
    facts = {
        "seeds": given.seeds,
        "epochs": plan.epochs,
        "rate": RATE,
        "sparsities": {str(level): sparsity(level) for level in plan.levels},
        "majority": majority,
        "seconds": time.time() - began,
    }
    write("tickets_digits", facts | {"targets": results, "cells": cells}, given.out)
    plot(cells, plan, given.out / "tickets_digits.png")
    return float(cells["LRR"][str(plan.levels[-1])]["mean"])


if __name__ == "__main__":
    main()
