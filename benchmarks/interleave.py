"""Timing on a machine that is not idle: CPU time, interleaved, the least of many rounds."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


def interleave(
    contestants: Mapping[str, Callable[[], Any]], *, rounds: int, repeats: int
) -> dict[str, list[float]]:
    """Return CPU milliseconds per call of each contestant, one figure a round.

    Contestants take turns within a round, so that what else the machine does hits all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.process_time()
            for _ in range(repeats):
                run()
            times[name].append(1e3 * (time.process_time() - start) / repeats)
    return times


def compare(times: Mapping[str, list[float]], slow: str, fast: str) -> dict[str, float]:
    """Return the ratio of the least times, and the middle 80 % of the ratios round by round."""
    ratios = np.asarray(times[slow]) / np.asarray(times[fast])
    low, high = np.quantile(ratios, [0.1, 0.9])
    return {
        f"{slow}_ms": min(times[slow]),
        f"{fast}_ms": min(times[fast]),
        "ratio": min(times[slow]) / min(times[fast]),
        "ratio_p10": float(low),
        "ratio_p90": float(high),
    }


def show(title: str, row: Mapping[str, float]) -> None:
    """Print one comparison on a line."""
    print(f"{title}: " + "  ".join(f"{name}={value:.3g}" for name, value in row.items()))


def write(name: str, rows: Mapping[str, Any], settings: Mapping[str, Any]) -> Path:
    """Write ``results/<name>.json`` beside the benchmarks."""
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()} | dict(settings)
    path.write_text(json.dumps({"settings": about, "rows": rows}, indent=1) + "\n")
    return path
