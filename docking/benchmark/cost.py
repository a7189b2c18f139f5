"""Where the CPU seconds go: what a pocket costs once, and what every ligand costs.

A screen pays for reading the receptor and for its maps once, whatever the number of ligands; the
rest it pays for each. Vina's maps are those of one ligand's atom types, so what its pocket costs
once is a lower bound; its search and the scoring of what was found are one call.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.benchmark.contestant import Contestant
from docking.benchmark.statistics import bootstrap
from docking.benchmark.table import Results, between

ONCE = {"reading the receptor": "receptor", "maps": "maps"}
EACH = {
    "reading the ligand": "ligand_file", "preparing it": "ligand", "search": "search",
    "scoring": "rescore",
}  # fmt: skip
HEAD = ("method", "inputs", "setting", "once per pocket", *ONCE, "per ligand", *EACH)


def parts(results: Results, who: Contestant) -> dict[str, Float[ndarray, " n"]]:
    """CPU seconds of each part on every complex, NaN where it was not measured.

    ``pocket`` is what is paid once, ``per_ligand`` the rest; together they are reading, maps and
    docking, all that was measured.
    """

    def column(name: str) -> Float[ndarray, " n"]:
        return results.measured(who, f"{name}_cpu_s")

    receptor, maps, read, dock = (column(name) for name in ("receptor", "maps", "read", "dock"))
    ligand, rescore = column("ligand"), column("rescore")
    inside = np.where(np.isnan(ligand), 0.0, ligand) + np.where(np.isnan(rescore), 0.0, rescore)
    return {
        "receptor": receptor, "maps": maps, "pocket": receptor + maps,
        "ligand_file": read - receptor, "ligand": ligand, "search": dock - inside,
        "rescore": rescore, "per_ligand": read - receptor + dock,
    }  # fmt: skip


def costs(results: Results, who: Contestant) -> dict[str, Any]:
    """Median of each part with its interval; only those that were measured."""
    known = {name: values[~np.isnan(values)] for name, values in parts(results, who).items()}
    medians = {n: dict(bootstrap(v)._asdict()) for n, v in known.items() if len(v)}
    return {"contestant": who.name, "n": len(known["pocket"]), "median_cpu_s": medians}


def cost_rows(all_costs: Sequence[dict[str, Any]], who: Sequence[Contestant]) -> list[list[str]]:
    """A table of them; empty if nothing was measured, as in runs of earlier versions."""
    rows = [list(HEAD)]
    for one, cost in zip(who, all_costs, strict=True):
        found = cost["median_cpu_s"]

        def cell(name: str, found: dict[str, Any] = found) -> str:
            return f"{found[name]['value']:.2g}" if name in found else "-"

        if "pocket" not in found:
            continue
        rows.append([
            one.method, one.inputs, one.setting, between(found["pocket"]),
            *(cell(name) for name in ONCE.values()), between(found["per_ligand"]),
            *(cell(name) for name in EACH.values()),
        ])  # fmt: skip
    return rows if len(rows) > 1 else []
