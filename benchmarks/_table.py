"""Means with intervals over seeds, tables in markdown, results in JSON."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

RESULTS = Path(__file__).with_name("results")


def interval(values: Sequence[float], level: float = 0.95) -> dict[str, Any]:
    """Mean and half-width of Student's t interval over independent runs."""
    n = len(values)
    half = math.nan
    if n > 1:
        spread = float(np.std(values, ddof=1))
        half = float(stats.t.ppf((1 + level) / 2, n - 1)) * spread / math.sqrt(n)
    return {"mean": float(np.mean(values)), "half": half, "n": n, "values": list(values)}


def shown(cell: Mapping[str, Any] | None, digits: int = 2) -> str:
    """``mean ± half`` or a dash."""
    if cell is None:
        return "-"
    half = "" if math.isnan(cell["half"]) else f" ± {cell['half']:.{digits}f}"
    return f"{cell['mean']:.{digits}f}{half}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(name: str, data: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write results beside their machine and versions."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    about = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    path.write_text(json.dumps({**data, "versions": about}, indent=1) + "\n", encoding="utf-8")
    return path
