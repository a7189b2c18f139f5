"""Docking against AutoDock Vina: ``val`` and the first 100 complexes of ``test``.

    python benchmarks/docking_vs_vina.py --data-root DIR --jobs 2

Runs ``python -m docking benchmark`` on each split with each protocol, resumes what was stopped, and
writes the figures of all runs to ``results/docking_vs_vina.json`` and ``.md``. Needs the ``bench``
extra. Every complex counts for every method; a failure or a docking beyond 240 CPU seconds is a
miss. Crystal ligand's bounding box and 4 A a side; one core per docking; seed 0.

* rigid, crystal conformer placed at random: Vina exhaustiveness 8 with ``max_evals`` 2,000, 5,000,
  20,000, 100,000 and its default; ours with effort 0.25, 0.5, 1, 2 and 4.
* flexible, conformer from the molecular graph alone: Vina exhaustiveness 8 with 20,000, 100,000 and
  its default; ours with effort 0.25, 1 and 4. Vina's default takes a minute and more for many
  ligands: hours for the whole set.

Ours reads Vina's PDBQT files in one row and PDB and SDF files, as users type, in another.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from docking.benchmark.command import main as benchmark
from overparam.run_folder import read_report

SETTINGS: dict[str, dict[str, list[str]]] = {
    "rigid": {
        "--vina-search": ["8:2000", "8:5000", "8:20000", "8:100000", "8"],
        "--effort": ["0.25", "0.5", "1", "2", "4"],
    },
    "flexible": {
        "--vina-search": ["8:20000", "8:100000", "8"],
        "--effort": ["0.25", "1", "4"],
    },
}
SIZES: dict[str, int | None] = {"val": None, "test": 100}
KEPT = (
    "split", "protocol", "seed", "cap", "scoring", "posebusters", "startup", "baseline_start_pose",
    "contestants", "pairs", "subsets", "failures", "machine", "versions", "wall_seconds", "jobs",
)  # fmt: skip


def run(split: str, protocol: str, given: argparse.Namespace) -> dict[str, Any]:
    """One run of the command, begun or gone on with; the part of its report that is published."""
    out = given.runs / f"{split}_{protocol}"
    words = ["--data-root", str(given.data_root), "--split", split, "--protocol", protocol]
    words += ["--against", "vina", "--seed", "0", "--jobs", str(given.jobs), "--out", str(out)]
    words += ["--prepared", str(given.runs / f"prepared_{split}")]
    for flag, values in SETTINGS[protocol].items():
        words += [flag, *values]
    first = min((n for n in (SIZES[split], given.first) if n is not None), default=None)
    words += [] if first is None else ["--first", str(first)]
    words += ["--resume"] if (out / "config.yaml").is_file() else []
    benchmark(words)
    report = read_report(out)
    return {name: report[name] for name in KEPT} | {"table": (out / "table.md").read_text()}


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--split", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--protocol", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--first", type=int, help="at most so many complexes of each split")
    parser.add_argument("--jobs", type=int, default=1, help="complexes at a time, a core each")
    parser.add_argument("--runs", type=Path, default=Path("runs/docking_vs_vina"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args(args)
    given.results.mkdir(parents=True, exist_ok=True)
    file = given.results / "docking_vs_vina.json"
    # Runs that are not asked for now stay as they were measured.
    found: dict[str, Any] = json.loads(file.read_text())["runs"] if file.is_file() else {}
    for protocol in given.protocol:
        for split in given.split:
            found[f"{split}_{protocol}"] = run(split, protocol, given)
            # After every run: the long ones come last.
            publish(found, given.results)
    return 0


def publish(runs: dict[str, Any], results: Path) -> None:
    """Write the tables and figures of all runs."""
    tables = [f"# {name}\n\n{one['table']}" for name, one in runs.items()]
    (results / "docking_vs_vina.md").write_text("\n".join(tables), encoding="utf-8")
    written = json.dumps({"settings": SETTINGS, "runs": runs}, indent=1) + "\n"
    (results / "docking_vs_vina.json").write_text(written, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
