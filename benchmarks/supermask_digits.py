"""Subnetworks of random, never trained weights on handwritten digits.

``python benchmarks/supermask_digits.py`` compares edge-popup and Gumbel supermasks with the same
network trained, with a random subnetwork of random weights, and with the majority class. Data:
scikit-learn's 8x8 digits divided by 16, stratified 80/20 split (random state 0). Network: ReLU
perceptron 64-300-100-10 and four times as wide; supermask networks have no biases. The split is
fixed; a seed draws weights, scores and batch order. ``--validate`` holds a fifth of the training
part out and scores on that instead: settings below were chosen so, never on the test part.
"""

import json
import math
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import CosineAnnealingLR

from overparam.masks import Masks
from overparam.subnetwork import anneal, budget_loss, edge_popup, freeze, gumbel

RESULTS = Path(__file__).with_name("results")
BATCH = 60
KEEPS = (0.3, 0.5, 0.7)
HEADLINE = ("edge-popup", 0.5)
TARGET = 97.0


class Split(NamedTuple):
    """Images and labels to train on, images and labels to score on."""

    x: Tensor
    y: Tensor
    x_held: Tensor
    y_held: Tensor


def digits(validate: bool) -> Split:
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_held, y, y_held = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    if validate:
        x, x_held, y, y_held = train_test_split(x, y, test_size=0.2, random_state=1, stratify=y)
    return Split(*(torch.from_numpy(a) for a in (x, y, x_held, y_held)))


def perceptron(width: int, bias: bool) -> nn.Sequential:
    sizes = [64, 300 * width, 100 * width, 10]
    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(sizes):
        layers += [nn.Linear(d_in, d_out, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def batches(data: Split, epochs: int) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Yield the share of training done and a batch, in a fresh order every epoch."""
    for epoch in range(epochs):
        parts = torch.randperm(len(data.x)).split(BATCH)
        for i, part in enumerate(parts):
            yield (epoch + i / len(parts)) / epochs, data.x[part], data.y[part]


@torch.no_grad()
def score(net: nn.Module, data: Split) -> tuple[float, float]:
    """Accuracy in per cent and share of weights in use, in eval mode."""
    net.eval()
    accuracy = 100 * float((net(data.x_held).argmax(-1) == data.y_held).float().mean())
    weights = [layer.weight for layer in net.modules() if isinstance(layer, nn.Linear)]
    return accuracy, sum(int(w.ne(0).sum()) for w in weights) / sum(w.numel() for w in weights)


def dense(data: Split, width: int, keep: float, epochs: int) -> tuple[float, float]:
    """Train every weight: Adam at 1.2e-3, torch's default initialisation."""
    net = perceptron(width, bias=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1.2e-3)
    for _, x, y in batches(data, epochs):
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
    return score(net, data)


def popup(data: Split, width: int, keep: float, epochs: int) -> tuple[float, float]:
    """Edge-popup: SGD 0.1, momentum 0.9, decay 5e-4, cosine to 0."""
    net = perceptron(width, bias=False)
    optimizer = torch.optim.SGD(edge_popup(net, keep), lr=0.1, momentum=0.9, weight_decay=5e-4)
    scheduler = CosineAnnealingLR(optimizer, epochs * math.ceil(len(data.x) / BATCH))
    for _, x, y in batches(data, epochs):
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
        scheduler.step()
    freeze(net)
    return score(net, data)


def sampled(
    data: Split, width: int, keep: float, epochs: int, lr: float = 0.3, budget: float = 10.0
) -> tuple[float, float]:
    """Gumbel masks: Adam, cosine to 0, temperature 1 to 0.1, squared density budget."""
    net = perceptron(width, bias=False)
    optimizer = torch.optim.Adam(gumbel(net, keep), lr=lr)
    scheduler = CosineAnnealingLR(optimizer, epochs * math.ceil(len(data.x) / BATCH))
    for progress, x, y in batches(data, epochs):
        anneal(net, progress)
        optimizer.zero_grad()
        (cross_entropy(net(x), y) + budget * budget_loss(net)).backward()
        optimizer.step()
        scheduler.step()
    freeze(net)
    return score(net, data)


def chance(data: Split, width: int, keep: float, epochs: int) -> tuple[float, float]:
    """Score a random subnetwork of the same constants, nothing learned."""
    net = perceptron(width, bias=False)
    edge_popup(net, keep)
    freeze(net)
    assert Masks(net).sparsity() > 0
    return score(net, data)


METHODS: dict[str, Callable[[Split, int, float, int], tuple[float, float]]] = {
    "dense, trained": dense,
    "edge-popup": popup,
    "Gumbel": sampled,
    "random mask": chance,
}


def measure(method: str, data: Split, width: int, keep: float, seeds: int, epochs: int) -> dict:
    """Run one row: mean, 95 % interval over seeds (Student's t), steps."""
    began = time.process_time()
    scores, used = [], []
    for seed in range(seeds):
        torch.manual_seed(seed)
        accuracy, density = METHODS[method](data, width, keep, epochs)
        scores.append(accuracy)
        used.append(density)
    spread = statistics.stdev(scores) if seeds > 1 else float("nan")
    half = float(stats.t.ppf(0.975, seeds - 1)) * spread / math.sqrt(seeds) if seeds > 1 else None
    steps = 0 if method == "random mask" else epochs * math.ceil(len(data.x) / BATCH)
    return {
        "method": method,
        "width": width,
        "keep": keep,
        "density": statistics.mean(used),
        "accuracy": statistics.mean(scores),
        "interval95": half,
        "scores": scores,
        "steps": steps,
        "cpu_seconds": time.process_time() - began,
    }


def table(rows: list[dict]) -> str:
    lines = [
        "| method | width | kept | test accuracy, % | per seed | steps |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        half = f" ± {row['interval95']:.2f}" if row["interval95"] is not None else ""
        seeds = " ".join(f"{s:.1f}" for s in row["scores"])
        lines.append(
            f"| {row['method']} | {row['width']}x | {row['density']:.1%} |"
            f" {row['accuracy']:.2f}{half} | {seeds} | {row['steps']} |"
        )
    return "\n".join(lines)


def main(args: list[str] | None = None) -> float:
    """Measure, print the table, write it; return the widest edge-popup's accuracy."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one seed, two epochs, one width")
    parser.add_argument("--validate", action="store_true", help="score on held-out training data")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0")
    parser.add_argument("--epochs", type=int, default=25, help="epochs of the supermasks")
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 4], help="multiples of width")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--out", type=Path, default=RESULTS / "supermask_digits.json")
    given = parser.parse_args(args)
    if given.smoke:
        given.seeds, given.epochs, given.widths = 1, 2, [1]
    torch.set_num_threads(1)
    data = digits(given.validate)
    majority = 100 * float((data.y_held == data.y.mode().values).float().mean())
    base = {"method": "majority class", "width": 1, "keep": 0.0, "density": 0.0, "steps": 0}
    rows = [base | {"accuracy": majority, "interval95": None, "scores": [majority]}]
    for width in given.widths:
        for method in given.methods:
            for keep in (1.0,) if method == "dense, trained" else KEEPS:
                epochs = min(20, given.epochs) if method == "dense, trained" else given.epochs
                rows.append(measure(method, data, width, keep, given.seeds, epochs))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    # one row named beforehand: the best of all rows would be chosen on the test part
    headline = {r["width"]: r["accuracy"] for r in rows if (r["method"], r["keep"]) == HEADLINE}
    found = headline.get(max(given.widths), math.nan)
    print(table(rows))
    part = "validation" if given.validate else "test"
    print(f"edge_popup={found:.2f} target={TARGET} part={part} n={len(data.y_held)}")
    if not (given.smoke or given.validate):
        given.out.parent.mkdir(exist_ok=True)
        about = {
            "data": "scikit-learn digits / 16, stratified 80/20, random_state 0",
            "train": len(data.y),
            "test": len(data.y_held),
            "seeds": list(range(given.seeds)),
            "interval": "95 %, Student's t over seeds; the test split is the same for all seeds",
            "target": {"edge-popup": TARGET},
            "torch": torch.__version__,
        }
        given.out.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
        given.out.with_suffix(".md").write_text(table(rows) + "\n")
    return found


if __name__ == "__main__":
    main()
