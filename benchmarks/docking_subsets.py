"""Two contestants on parts of a docking table: python benchmarks/docking_subsets.py ROWS.

ROWS is one of ``results/docking_vs_vina_rows/*.csv`` or the ``rows.csv`` of a run. Printed for all
complexes both have been docked by, for those after an id (``--after``), and for those where the
peer did not fail: n, first pose and best of nine within 2 angstrom of each, and who alone is right.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

PEER, OURS = "vina-pdbqt-exh8-default", "docking-own-effort1"
NEAR = 2.0


def right(row: dict[str, str], column: str) -> bool:
    """Whether a docking succeeded; a failure is a miss."""
    return row["status"] == "ok" and row[column] != "" and float(row[column]) < NEAR


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--ours", default=OURS)
    parser.add_argument("--peer", default=PEER)
    parser.add_argument("--after", default="", metavar="ID", help="complexes seen before, up to ID")
    given = parser.parse_args(args)
    by_id: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    with given.rows.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            by_id[row["id"]][row["contestant"]] = row
    both = {k: v for k, v in sorted(by_id.items()) if given.ours in v and given.peer in v}
    parts = {
        "all": list(both),
        f"after {given.after or 'the first'}": [k for k in both if k > given.after],
        "peer did not fail": [k for k, v in both.items() if v[given.peer]["status"] == "ok"],
    }
    for name, ids in parts.items():
        for column in ("top1_rmsd", "best_rmsd"):
            ours = {k for k in ids if right(both[k][given.ours], column)}
            peer = {k for k in ids if right(both[k][given.peer], column)}
            print(f"{name}, {column}: n {len(ids)}, {given.ours} {len(ours)}, {given.peer} "
                  f"{len(peer)}; alone {len(ours - peer)} and {len(peer - ours)}")  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
