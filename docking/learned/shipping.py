"""Shipping: from a training run of the hybrid score to the weights the package holds.

The checkpoint with the lowest validation loss is stripped to what scoring needs. The confidence
head is fitted on the validation complexes, which the score was not trained on, and judged on folds
it was not fitted on. Beside the weights stands where they come from.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from docking.learned.confidence import Confidence, features
from docking.learned.pose_set import Source
from docking.learned.rank_fit import SUCCESS, RankFit
from docking.mined_complexes import MinedComplexes
from docking.models import WEIGHTS
from docking.ranking import best_apart
from docking.symmetry import Symmetry
from overparam.checkpoint import load_module, read_checkpoint
from overparam.errors import InputError

FOLDS, POSES = 5, 9


def searched(fit: RankFit, data: MinedComplexes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Confidence features and truth of the poses offered for every validation complex."""
    found = []
    for example in data.sets["val"]:
        one = fit.prepared(example)  # type: ignore[arg-type]
        with torch.no_grad():
            scores = fit([one])[0].double().numpy()
        here = np.flatnonzero(example.poses.source == Source.FLEXIBLE)  # type: ignore[attr-defined]
        coords = example.poses.coords[here].astype(float)  # type: ignore[attr-defined]
        kept = best_apart(coords, -scores[here], Symmetry.of(example.ligand.mol), POSES)
        heavy = int(example.ligand.heavy.sum())
        told = features(scores[here][kept], len(example.ligand.torsions), heavy)
        rmsd = example.poses.rmsd[here][kept]  # type: ignore[attr-defined]
        found.append((told, (rmsd < SUCCESS).astype(float)))
    return found


def log_loss(p: np.ndarray, true: np.ndarray) -> float:
    """Mean negative log-likelihood, nats."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-(true * np.log(p) + (1 - true) * np.log(1 - p)).mean())


def calibrate(head: Confidence, found: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Fit the head on all complexes; its figures are those of folds it was not fitted on."""
    fold = np.random.default_rng(0).permutation(len(found)) % FOLDS
    guess, base, true = [], [], []
    for k in range(FOLDS):
        inside = [found[i] for i in np.flatnonzero(fold != k)]
        outside = [found[i] for i in np.flatnonzero(fold == k)]
        part = Confidence()
        seen = np.concatenate([t for _, t in inside])
        part.fit(np.concatenate([x for x, _ in inside]), seen)
        told = np.concatenate([x for x, _ in outside])
        guess.append(part(torch.as_tensor(told)).numpy())
        base.append(np.full(len(told), seen.mean()))
        true.append(np.concatenate([t for _, t in outside]))
    p, b, t = (np.concatenate(parts) for parts in (guess, base, true))
    head.fit(np.concatenate([x for x, _ in found]), np.concatenate([t for _, t in found]))
    return {
        "complexes": len(found), "poses": len(t), "folds": FOLDS, "share_true": float(t.mean()),
        "log_loss": log_loss(p, t), "log_loss_of_the_share": log_loss(b, t),
        "brier": float(((p - t) ** 2).mean()), "brier_of_the_share": float(((b - t) ** 2).mean()),
    }  # fmt: skip


def ship(run: Path, name: str, folder: Path = WEIGHTS) -> dict[str, Any]:
    """Write ``<name>.ckpt`` and ``<name>.json``; returns what the latter says.

    Args:
        run: Folder that ``python -m docking fit --config hybrid`` left; its corpus still there.
        name: What ``load_model`` will call it.
        folder: Where to.

    Raises:
        InputError: If the run is not finished or the corpus is gone.
    """
    file = best_checkpoint(run)
    fit = load_module(file, RankFit)
    config = yaml.safe_load((run / "config.yaml").read_text())
    options = dict(config["data"]["init_args"])
    data = MinedComplexes(options.pop("root", None), **options)
    data.setup("fit")
    confidence = calibrate(fit.confidence, searched(fit, data))
    full = read_checkpoint(file)
    kept = ("hyper_parameters", "pytorch-lightning_version", "epoch", "global_step")
    slim = {key: full[key] for key in kept if key in full}
    slim["state_dict"] = {key: value.contiguous() for key, value in fit.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.ckpt"
    torch.save(slim, target)
    load_module(target, RankFit)
    for key in ("root", "cache_dir"):  # where somebody's files lie is nobody's business
        config["data"]["init_args"].pop(key, None)
    with (run / "metrics.csv").open(newline="") as rows:
        log = [{k: v for k, v in row.items() if v} for row in csv.DictReader(rows)]
    record = {
        "command": "python -m docking fit --config hybrid --data.init_args.root DIR",
        "then": f"python scripts/ship_docking_weights.py RUN --name {name}",
        "bytes": target.stat().st_size,
        "parameters": sum(p.numel() for p in fit.parameters()),
        "epoch": full.get("epoch"), "step": full.get("global_step"),
        "seed": config.get("seed_everything"), "data_hash": data.data_hash, "data": data.summary,
        "confidence": confidence,
        "config": {key: config[key] for key in ("trainer", "model", "data") if key in config},
        "log": [row for row in log if "val/loss" in row],
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1, default=str) + "\n")
    return record


def best_checkpoint(run: Path) -> Path:
    """The checkpoint with the lowest monitored value in a run folder.

    Raises:
        InputError: If there is none.
    """
    for file in (run / "best.ckpt", run / "checkpoints" / "best.ckpt"):
        if file.is_file():
            return file
    raise InputError(f"{run} holds no best.ckpt: is it a finished training run?")
