"""A lottery ticket of the shipped ``hybrid``: its tensor-product paths pruned, and what that costs.

    python benchmarks/hybrid_ticket.py --root DIR

The paths are those that ``PocketNet``, ``MoleculeNet`` and ``HybridScore`` name: message channels
of every round and degree, channels of the field, hidden units of the updates. They are pruned by
learning-rate rewinding: the shipped training is the first round; before each further one the paths
with the least first-order effect on the loss, for what they cost, go, and the rest are trained on.
Training is on the mined poses ``hybrid`` was trained on; the loss is that of ``RankFit`` and the
squared difference from the shipped model's scores. All rows train by the same recipe.

Rows, each after the same number of steps (the narrow ones also get as many as the shipped training
took, in as many rounds of the same length as fit into it):

- dense: the shipped weights.
- ticket: the pruned network, made smaller by ``compact``.
- random paths: as many paths of each kind left after each round, drawn at random.
- fresh weights: the ticket's sizes, trained from scratch.
- dense-narrow: all widths scaled alike to at most the ticket's parameters, from scratch.

Measured on validation complexes: Spearman's correlation of scores with the dense model's, among
the poses of the flexible and of the rigid search, mean over complexes with 95 % t interval; share
of complexes whose best-scored pose is below 2 angstrom, with Wilson interval and exact McNemar test
against dense. Nothing was chosen on them here, but the shipped weights were chosen by them.

Speed is CPU time of one core, minimum, models by turns: the pocket's network on the whole boxes of
the bundled complexes, as ``prepare`` runs it, the ligand's on each of their ligands. Multiply-adds
are of the same inputs. Rounds are kept in ``--work``; what was stopped goes on from there.
"""

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _pose_measures import parameters, quality, save, sizes, speeds
from _pose_training import Recipe, Rounds
from _table import RESULTS, markdown, shown, write
from torch import Generator

from docking.box import Box
from docking.hybrid_model import HybridModel
from docking.learned.hybrid import HybridScore
from docking.learned.lean_net import MoleculeNet, PocketNet
from docking.learned.pocket_graph import MoleculeGraph, PocketGraph
from docking.learned.rank_fit import Mined, RankFit, mined
from docking.ligand import Ligand
from docking.mined_complexes import MinedComplexes
from docking.models import WEIGHTS
from docking.molecule import Receptor
from overparam import LRR, find_ticket
from overparam.checkpoint import load_module
from overparam.recipe import build, recipe
from overparam.search import Search

MODELS = ("dense", "ticket", "random paths", "fresh weights", "dense-narrow")
SHIPPED = WEIGHTS / "hybrid.ckpt"
SHIPPED_EPOCHS = 6
GOALS = {"speed": 2.0, "rho": 0.98}


class Data(NamedTuple):
    """Prepared complexes, and inputs to time networks on."""

    train: list[Mined]
    val: list[Mined]
    pockets: list[PocketGraph]
    molecules: list[MoleculeGraph]


class RandomLike(LRR):
    """As many paths of each family as another search kept after each round, drawn at random.

    Args:
        rate: As of ``LRR``.
        rounds: As of ``LRR``.
        counts: Paths left of each family before each round.
        seed: Of the draws.
    """

    def __init__(self, rate: float, rounds: int, counts: list[dict[str, int]], seed: int) -> None:
        super().__init__(rate, rounds)
        self.counts, self.seed = counts, seed
        self._generator = Generator().manual_seed(seed)

    def before(self, search: Search, index: int) -> None:
        """Draw from those still there."""
        for name, rival in search.rivals.items() if index else ():
            alive = rival.bits.nonzero()[:, 0]
            gone = torch.randperm(len(alive), generator=self._generator)
            bits = rival.bits
            bits[alive[gone[self.counts[index][name] :]]] = False
            rival.set_bits(bits)
        search.wear(search.bits(), clear=True)


def shipped() -> RankFit:
    return load_module(SHIPPED, RankFit)


def prepared(given: argparse.Namespace) -> Data:
    source = MinedComplexes(given.root, cache_dir=given.cache)
    source.setup("fit")
    score = shipped().score
    parts = {}
    for part, count in (("train", given.complexes), ("val", given.val)):
        found = source.sets[part]
        some = range(len(found) if count is None else min(count, len(found)))
        parts[part] = [mined(found[i], score) for i in some]  # type: ignore[arg-type]
    demo = Path(str(files("docking"))) / "demo"
    model = HybridModel(score)
    pockets, molecules = [], []
    for file in sorted(demo.glob("*_ligand.sdf")):
        ligand = Ligand.from_file(file)
        receptor = Receptor.from_file(demo / file.name.replace("_ligand.sdf", "_protein.pdb.gz"))
        graphs: list[PocketGraph] = []
        hook = model.net.pocket.register_forward_pre_hook(
            lambda _, args, to=graphs: to.extend(args)
        )
        model.prepare(receptor, Box.from_ligand(ligand))
        hook.remove()
        pockets += graphs
        molecules.append(MoleculeGraph.of(ligand))
    return Data(parts["train"], parts["val"], pockets, molecules)


def narrow(budget: int) -> HybridScore:
    """All widths scaled alike, in steps of a vector feature, to at most so many parameters."""
    best = None
    for vectors in range(1, 17):
        channels, width = max(1, round(1.5 * vectors)), 4 * vectors
        score = HybridScore(
            PocketNet(channels, width=width, vectors=vectors), MoleculeNet(channels, width)
        )
        if best is None or sum(p.numel() for p in score.parameters()) <= budget:
            best = score
    assert best is not None
    return best


def models(data: Data, given: argparse.Namespace, seed: int) -> dict[str, RankFit]:
    """The model of each row asked for, trained, masks taken off by ``compact``."""
    how = Recipe(given.epochs, given.rate, imitate=given.imitate)
    teacher = shipped().requires_grad_(False)
    rate = 1 - (1 - given.share) ** (1 / given.rounds)
    folder, example = given.work / str(seed), (data.val[:2],)
    made = {"dense": shipped()}

    def rounds(name: str, trained: int) -> Rounds:
        files = folder / name.replace(" ", "-")
        return Rounds(teacher, data.train, how, seed, files, trained)

    fit, train = shipped(), rounds("ticket", 1)
    ticket = find_ticket(
        fit,
        train,
        LRR(rate, given.rounds),
        criterion="taylor",
        granularity="path",
        loss=train.sensitivity,  # type: ignore[arg-type]
        seed=seed,
    )
    ticket.save(folder / "ticket.t")
    made["ticket"] = fit.compact(example)  # type: ignore[assignment]
    save(made["ticket"], folder / "ticket.ckpt")
    if "random paths" in given.models:
        fit = shipped()
        counts = [dict(entry["paths"]) for entry in ticket.history]
        schedule = RandomLike(rate, given.rounds, counts, seed)
        find_ticket(fit, rounds("random paths", 1), schedule, granularity="path", seed=seed)
        made["random paths"] = fit.compact(example)  # type: ignore[assignment]
    torch.manual_seed(seed)
    small = made["ticket"].score
    scratch = {
        "fresh weights": build(recipe(small)),
        "dense-narrow": narrow(parameters(small)),
    }
    for name, score in scratch.items():
        if name not in given.models:
            continue
        fit, train = RankFit(score), rounds(name, 0)
        for _ in range(given.rounds + max(1, round(SHIPPED_EPOCHS / given.epochs))):
            train(fit)
        made[name] = fit
    return {name: made[name].eval() for name in given.models if name in made}


def joined(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of all seeds: intervals over complexes of the first, means of the others beside it."""
    rows = {name: dict(row) for name, row in runs[0].items()}
    for name, row in rows.items():
        for kind in ("flexible", "rigid"):
            row[f"{kind}_seeds"] = {
                "rho": [run[name][kind]["rho"]["mean"] for run in runs],
                "success": [run[name][kind]["success"]["value"] for run in runs],
            }
    return rows


def line(name: str, row: dict[str, Any]) -> list[str]:
    cells = [name, f"{row['parameters']:,}"]
    cells.append(f"{row['scalar paths']} + {row['vector paths']}")
    cells += [str(row["channels"]), str(row["ligand paths"])]
    for kind in ("pocket", "molecule"):
        cells += [f"{row[f'{kind}_macs'] / 1e6:.2f}", f"{row[f'{kind}_ms']:.2f}"]
    cells.append(f"{row['ratio']:.2f}")
    for kind in ("flexible", "rigid"):
        found = row[kind]
        share = found["success"]
        cells.append(shown(found["rho"], 3))
        cells.append(
            f"{100 * share['value']:.1f} % [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"
        )
        pair = found["mcnemar"]
        cells.append(f"-{pair['first_only']} +{pair['second_only']}, p {pair['p']:.2f}")
    return cells


HEAD = (
    "model", "parameters", "pocket paths, scalar + directed", "channels", "ligand paths",
    "pocket M MAC", "pocket CPU ms", "ligand M MAC", "ligand CPU ms", "times faster",
    "flexible: rank correlation", "flexible: success", "against dense",
    "rigid: rank correlation", "rigid: success", "against dense",
)  # fmt: skip


def verdicts(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals, each with what was measured."""
    row, dense = rows["ticket"], rows["dense"]
    left, total = (r["scalar paths"] + r["vector paths"] for r in (row, dense))
    out = [
        {
            "goal": f"half of the tensor-product paths pruned: {left} of {total} left",
            "met": left <= total / 2,
        },
        {
            "goal": f"network at least {GOALS['speed']:g} times faster: pocket "
            f"{row['pocket_ratio']['ratio']:.2f}, ligand {row['molecule_ratio']['ratio']:.2f}, "
            f"both {row['ratio']:.2f}",
            "met": row["ratio"] >= GOALS["speed"],
        },
    ]
    for kind in ("flexible", "rigid"):
        found = row[kind]
        then, share = dense[kind]["success"], found["success"]
        out.append(
            {
                "goal": f"rank correlation at least {GOALS['rho']}, {kind}: "
                f"{shown(found['rho'], 3)}",
                "met": found["rho"]["mean"] >= GOALS["rho"],
            }
        )
        out.append(
            {
                "goal": f"{kind} success unchanged within its interval: "
                f"{100 * share['value']:.1f} % instead of {100 * then['value']:.1f} %",
                "met": share["low"] <= then["value"] <= share["high"],
            }
        )
    return out


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--root", required=True, help="folder of the corpus, as for docking.MinedComplexes")
    add("--cache", help="its cache, with the mined poses; default: as for MinedComplexes")
    add("--rounds", type=int, default=3, help="prunings")
    add("--share", type=float, default=0.62, help="share of the paths' cost pruned at the end")
    add("--epochs", type=int, default=6, help="epochs of one round")
    add("--rate", type=float, default=1e-3, help="peak learning rate")
    add("--imitate", type=float, default=1.0, help="weight of the difference from dense scores")
    add("--seeds", type=int, default=1, help="number of seeds")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS), help="rows")
    add("--complexes", type=int, help="at most so many training complexes, for a trial")
    add("--val", type=int, help="at most so many validation complexes, for a trial")
    add("--timings", type=int, default=40, help="rounds of timing")
    add("--work", type=Path, default=Path("runs/hybrid_ticket"), help="folder of the rounds")
    add("--out", type=Path, default=RESULTS, help="folder of the results")
    given = parser.parse_args(args)
    given.models = [name for name in MODELS if name in {"dense", "ticket", *given.models}]
    settings = {
        name: getattr(given, name)
        for name in ("rounds", "share", "epochs", "rate", "imitate", "complexes")
    }
    given.work.mkdir(parents=True, exist_ok=True)
    before = given.work / "settings.json"
    if before.is_file() and json.loads(before.read_text()) != settings:
        parser.error(f"{given.work} holds rounds of other settings: name another folder by --work")
    before.write_text(json.dumps(settings) + "\n")
    torch.set_num_threads(1)
    data = prepared(given)
    runs = []
    for seed in range(given.seeds):
        fits = models(data, given, seed)
        found = quality(fits, data.val)
        runs.append({name: found[name] | sizes(fit.score) for name, fit in fits.items()})
        if seed == 0:
            graphs = {"pocket": data.pockets, "molecule": data.molecules}
            clocked = speeds(fits, graphs, given.timings)
    rows = joined(runs)
    for name, row in rows.items():
        row |= clocked[name]
    results = verdicts(rows)
    text = (
        f"{len(data.train)} training and {len(data.val)} validation complexes; "
        f"{given.seeds} seed(s), the first one's intervals; {given.rounds} prunings, "
        f"{given.epochs} epochs a round. Milliseconds and multiply-adds: sums over "
        f"{len(data.pockets)} bundled complexes, one core.\n\n"
        + markdown(HEAD, [line(name, row) for name, row in rows.items()])
        + "\n\n"
        + "\n".join(f"- {'met' if r['met'] else 'NOT MET'}: {r['goal']}" for r in results)
        + "\n"
    )
    print(text)
    facts = settings | {"seeds": given.seeds, "train": len(data.train), "val": len(data.val)}
    write("hybrid_ticket", facts | {"goals": results, "rows": rows}, given.out)
    (given.out / "hybrid_ticket.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    main()
