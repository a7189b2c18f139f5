"""What is measured of hybrid scores: size, speed, and how they rank poses."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from _table import interval
from interleave import compare, interleave
from scipy.stats import spearmanr
from torch import nn

from docking.benchmark.statistics import mcnemar, wilson
from docking.learned.hybrid import HybridScore
from docking.learned.pose_set import Source
from docking.learned.rank_fit import Mined, RankFit, ranking
from overparam import cost


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def save(fit: RankFit, file: Path) -> None:
    """A checkpoint that ``load_model`` reads; its confidence is still the dense model's."""
    state = {key: value.contiguous() for key, value in fit.state_dict().items()}
    kept = {"hyper_parameters": dict(fit.hparams), "pytorch-lightning_version": pl.__version__}
    torch.save(kept | {"state_dict": state}, file)


def sizes(score: HybridScore) -> dict[str, int]:
    """What is left of a network: its paths by kind, parameters."""
    pocket, molecule = score.pocket, score.molecule
    return {
        "scalar paths": sum(layer.messages for layer in pocket.rounds),  # type: ignore[misc]
        "vector paths": sum(sum(layer.vectors) for layer in pocket.rounds),  # type: ignore[misc]
        "channels": pocket.channels,
        "ligand paths": sum(len(send.weight) for send in molecule.send),  # type: ignore[misc,arg-type]
        "hidden units": sum(
            len(update[0].weight)  # type: ignore[index,arg-type]
            for update in [*(layer.update for layer in pocket.rounds), *molecule.update]
        ),
        "parameters": parameters(score),
    }


def speeds(
    fits: Mapping[str, RankFit], graphs: Mapping[str, Sequence[Any]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Multiply-adds and CPU milliseconds of both networks, and ratios to the dense ones."""
    out: dict[str, dict[str, Any]] = {name: {} for name in fits}
    for kind, inputs in graphs.items():
        times: dict[str, list[float]] = {name: [] for name in fits}
        for graph in inputs:
            nets = {name: getattr(fit.score, kind) for name, fit in fits.items()}
            for name, net in nets.items():
                macs = cost(net, (graph,), sliced=False).macs or 0
                out[name][f"{kind}_macs"] = out[name].get(f"{kind}_macs", 0) + macs
            with torch.inference_mode():
                found = interleave(
                    {name: lambda net=net: net(graph) for name, net in nets.items()},  # noqa: B023
                    rounds=rounds,
                    repeats=1 if kind == "pocket" else 5,
                )
            for name, values in found.items():
                times[name] = (
                    [a + b for a, b in zip(times[name], values, strict=True)]
                    if times[name]
                    else values
                )
                out[name][f"{kind}_ms"] = out[name].get(f"{kind}_ms", 0.0) + min(values)
        for name in fits:
            out[name][f"{kind}_ratio"] = compare(times, "dense", name)
    for row in out.values():
        row["total_ms"] = row["pocket_ms"] + row["molecule_ms"]
        row["ratio"] = (out["dense"]["pocket_ms"] + out["dense"]["molecule_ms"]) / row["total_ms"]
    return out


def quality(fits: Mapping[str, RankFit], data: Sequence[Mined]) -> dict[str, dict[str, Any]]:
    """Correlation with the dense scores and success, of every model."""
    out: dict[str, dict[str, Any]] = {}
    raw = {name: measured(fit, data, fits["dense"]) for name, fit in fits.items()}
    for name, found in raw.items():
        out[name] = {"loss": float(np.mean(found["loss"]))}
        for kind in ("flexible", "rigid"):
            hits = np.array(found[kind]["hit"])
            pair = mcnemar(np.array(raw["dense"][kind]["hit"]), hits)
            out[name][kind] = {
                "rho": interval([r for r in found[kind]["rho"] if not math.isnan(r)]),
                "hits": hits.tolist(),
                "success": wilson(int(hits.sum()), len(hits))._asdict(),
                "mcnemar": pair._asdict(),
            }
    return out


@torch.no_grad()
def measured(fit: RankFit, data: Sequence[Mined], like: RankFit) -> dict[str, Any]:
    """Ranking of held-out poses, complex by complex: successes, and correlation with another score.

    Returns:
        By kind of search, ``flexible`` and ``rigid``: ``hit``, whether the best-scored pose is
        below 2 angstrom, and ``rho``, Spearman's correlation with the scores of ``like`` (NaN for
        fewer than 3 poses); and ``loss``.
    """
    out: dict[str, Any] = {"loss": []}
    for name in ("flexible", "rigid"):
        out[name] = {"hit": [], "rho": []}
    for one in data:
        mine, other = fit([one])[0], like([one])[0]
        told = ranking(one, mine)
        if "loss" in told:
            out["loss"].append(float(told["loss"]))
        for name, source in (("flexible", Source.FLEXIBLE), ("rigid", Source.RIGID)):
            here = one.source == int(source)
            out[name]["hit"].append(bool(told[name]))
            enough = int(here.sum()) >= 3
            rho = float(spearmanr(mine[here], other[here])[0]) if enough else math.nan
            out[name]["rho"].append(rho)
    return out
