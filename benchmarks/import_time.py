"""What ``import overparam`` costs beyond ``import torch``.

``python benchmarks/import_time.py`` starts fresh interpreters in turn, so that both see the same
machine, and compares medians of processor time, which a busy machine disturbs less than the
clock. The first pair is thrown away: it may compile bytecode and read from disk.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

RESULTS = Path(__file__).with_name("results")
TARGET_SECONDS = 0.2
PROBE = """
import json, os, sys, time
import importlib
for name in {before!r}:
    importlib.import_module(name)
wall, cpu = time.perf_counter(), time.process_time()
for name in {timed!r}:
    importlib.import_module(name)
cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
print(json.dumps(dict(wall=wall, cpu=cpu, modules=len(sys.modules))))
"""
# each row: what is imported first, then what is timed
ROWS = {
    "torch": ([], ["torch"]),
    "overparam after torch": (["torch"], ["overparam"]),
    "overparam alone": ([], ["overparam"]),
    "masks used": (["torch"], ["overparam", "overparam.masks", "overparam.subnetwork"]),
    "modules used (Lightning)": (["torch"], ["overparam", "overparam.module"]),
}


def probe(before: list[str], timed: list[str]) -> dict[str, float]:
    """Import in a fresh interpreter and return seconds."""
    code = PROBE.format(before=before, timed=timed)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout)


def main(args: list[str] | None = None) -> float:
    """Measure, print one line per row, write the result; return the extra seconds."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="one run of each, nothing written")
    parser.add_argument("--runs", type=int, default=9, help="interpreters started per row")
    parser.add_argument("--out", type=Path, default=RESULTS / "import_time.json")
    given = parser.parse_args(args)
    runs = 1 if given.smoke else given.runs + 1
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in ROWS}
    for _ in range(runs):
        for name, (before, timed) in ROWS.items():
            seen[name].append(probe(before, timed))
    rows = {}
    for name, found in seen.items():
        kept = found if given.smoke else found[1:]
        rows[name] = {
            quantity: statistics.median(each[quantity] for each in kept)
            for quantity in ("cpu", "wall")
        } | {
            "cpu_min": min(each["cpu"] for each in kept),
            "cpu_max": max(each["cpu"] for each in kept),
            "runs": len(kept),
        }
        row = rows[name]
        print(
            f"{name:24s} cpu_s={row['cpu']:.3f} [{row['cpu_min']:.3f}, {row['cpu_max']:.3f}]"
            f" wall_s={row['wall']:.3f} runs={row['runs']}"
        )
    extra = rows["overparam after torch"]["cpu"]
    print(f"import_overparam_s={extra:.3f} target_s={TARGET_SECONDS}")
    if not given.smoke:
        given.out.parent.mkdir(exist_ok=True)
        about = {"target_s": TARGET_SECONDS, "python": platform.python_version(), "rows": rows}
        given.out.write_text(json.dumps(about, indent=1) + "\n")
    return extra


if __name__ == "__main__":
    main()
