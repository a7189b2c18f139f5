"""Choose the tuned recipe of ``tickets_digits.py`` without its test part.

``python benchmarks/tickets_tuning.py`` takes about five minutes on one core. A fifth of the
training part is held out (stratified, random state 1); every recipe's LRR search runs on the rest
with six seeds, and the one with the best held-out accuracy after 18 prunings (98.2 % sparse) is
the tuned recipe.
"""

import argparse
import time
from pathlib import Path

import torch
from _table import RESULTS, interval, markdown, shown, write
from sklearn.model_selection import train_test_split
from tickets_digits import FIXED, Digits, Plan, Recipe, digits, search

from overparam import LRR

LEVELS = (11, 18)
RECIPES = (
    FIXED,
    FIXED._replace(criterion="lamp"),
    *(Recipe(rate, 0.0, True, "lamp") for rate in (3e-3, 6e-3)),
    Recipe(6e-3, 0.1, True, "magnitude"),
    *(Recipe(rate, decay, True, "lamp") for rate in (6e-3, 1e-2) for decay in (0.1, 0.3, 1.0)),
)


def held_out() -> Digits:
    """The training part, split again; its held-out fifth stands in for the test part."""
    data = digits()
    x, x_test, y, y_test = train_test_split(
        data.x, data.y, test_size=0.2, stratify=data.y, random_state=1
    )
    return Digits(x, y, x_test, y_test)


def main(args: list[str] | None = None) -> Recipe:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=6, help="number of seeds")
    parser.add_argument("--smoke", action="store_true", help="seconds: 1 seed, 1 epoch, 2 recipes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args(args)
    torch.set_num_threads(1)
    plan, recipes = Plan(LEVELS, (), 20), RECIPES
    if given.smoke:
        given.seeds, plan, recipes = 1, Plan((1, 2), (), 1), RECIPES[:2]
    began, data = time.time(), held_out()
    rows = []
    for recipe in recipes:
        runs = [search(data, plan, seed, LRR, recipe) for seed in range(given.seeds)]
        cells = {str(k): interval([run.scores[k] for run in runs]) for k in plan.levels}
        rows.append(recipe._asdict() | {"cells": cells})
    best = max(rows, key=lambda row: row["cells"][str(plan.levels[-1])]["mean"])
    head = [*Recipe._fields, *(f"after {k} prunings" for k in plan.levels)]
    lines = [
        [*(str(row[name]) for name in Recipe._fields), *map(shown, row["cells"].values())]
        for row in rows
    ]
    print(markdown(head, lines))
    chosen = Recipe(**{name: best[name] for name in Recipe._fields})
    print(f"held-out accuracy, n = {len(data.y_test)}, {given.seeds} seeds; best: {chosen}")
    if not given.smoke:
        facts = {"n": len(data.y_test), "seeds": given.seeds, "seconds": time.time() - began}
        write("tickets_tuning", facts | {"rows": rows, "chosen": chosen._asdict()}, given.out)
    return chosen


if __name__ == "__main__":
    main()
