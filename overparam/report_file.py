"""The file ``report.json`` and what every report says: versions and peak memory.

Imports neither torch nor Lightning: commands that train nothing start at once.
"""

import importlib.metadata
import math
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from json import dumps
from pathlib import Path
from typing import Any

from overparam.run_folder import REPORT, write_whole

PACKAGES = ("overparam", "torch", "pytorch-lightning", "numpy")


def write_report(folder: str | Path, report: Mapping[str, Any]) -> None:
    """Write ``report.json`` into ``folder``, whole; numbers JSON does not know become words."""
    write_whole(Path(folder) / REPORT, dumps(plain(report), indent=2, allow_nan=False) + "\n")


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of what decides a result."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def peak_memory() -> dict[str, float]:
    """Largest memory of this process so far, MB: resident, and CUDA's if it is in use."""
    unit = 1024 if sys.platform != "darwin" else 1024**2
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    peak = {"peak_memory_mb": round(resident, 1)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        peak["peak_cuda_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peak


def plain(value: Any) -> Any:
    """The value as JSON knows it: arrays and tensors as lists, paths and odd numbers as words."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value
