"""From rows to figures: every complex counts for every contestant, and a failure is a miss."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from docking.benchmark.contestant import VINA, Contestant
from docking.benchmark.dataset import SAME_LIGAND, Complex
from docking.benchmark.statistics import Interval, bootstrap, mcnemar, wilson

HIT = 2.0
"""RMSD, angstrom, below which a pose is right."""

Row = Mapping[str, Any]
Lookup = Callable[[tuple[str, str]], Row | None]


class Results:
    """Rows by contestant, over the complexes that all of them have tried.

    Args:
        complexes: What was to be docked.
        contestants: Who took part.
        row: Finds the row of ``(id, contestant)``.
        verdict: Finds its line of validity; None if validity was not checked.
    """

    def __init__(
        self,
        complexes: Sequence[Complex],
        contestants: Sequence[Contestant],
        row: Lookup,
        verdict: Lookup | None = None,
    ) -> None:
        self.contestants = list(contestants)
        self.complexes = [
            one for one in complexes if all(row((one.id, who.name)) for who in contestants)
        ]
        self.unfinished = len(complexes) - len(self.complexes)
        self.checked = verdict is not None
        self._rows: dict[str, list[Row]] = {}
        self._valid: dict[str, ndarray] = {}
        for who in self.contestants:
            keys = [(one.id, who.name) for one in self.complexes]
            self._rows[who.name] = [row(key) or {} for key in keys]
            lines = [(verdict(key) if verdict else None) or {} for key in keys]
            self._valid[who.name] = np.array([line.get("valid") == 1 for line in lines], dtype=bool)

    def __len__(self) -> int:
        return len(self.complexes)

    def subset(self, keep: Callable[[Complex], bool]) -> "Results":
        """The same contest on some of the complexes."""
        part = object.__new__(Results)
        chosen = [i for i, one in enumerate(self.complexes) if keep(one)]
        part.contestants, part.unfinished, part.checked = self.contestants, 0, self.checked
        part.complexes = [self.complexes[i] for i in chosen]
        part._rows = {name: [rows[i] for i in chosen] for name, rows in self._rows.items()}
        part._valid = {name: valid[chosen] for name, valid in self._valid.items()}
        return part

    def rmsd(self, who: Contestant, column: str = "top1_rmsd") -> Float[ndarray, " n"]:
        """RMSD on every complex, infinite where there is no pose."""
        rows = self._rows[who.name]
        values = [row[column] if row["status"] == "ok" else math.inf for row in rows]
        return np.array(values, dtype=np.float64)

    def start(self) -> Float[ndarray, " n"]:
        """RMSD of the start poses, infinite where none could be made."""
        best = np.full(len(self), math.inf)
        for rows in self._rows.values():
            values = np.array([row["start_rmsd"] for row in rows], dtype=np.float64)
            best = np.where(np.isnan(values), best, values)
        return best

    def measured(self, who: Contestant, *columns: str) -> Float[ndarray, " n"]:
        """Sum of some columns on every complex; NaN where one of them was not measured."""
        rows = self._rows[who.name]
        values = [sum(float(row[column]) for column in columns) for row in rows]
        return np.array(values, dtype=np.float64)

    def summary(self, who: Contestant) -> dict[str, Any]:
        """Figures of one contestant."""
        top, best = self.rmsd(who), self.rmsd(who, "best_rmsd")
        dock = _known(self.measured(who, "dock_cpu_s"))
        whole = _known(self.measured(who, "read_cpu_s", "maps_cpu_s", "dock_cpu_s"))
        peak = _known(self.measured(who, "peak_mb"))
        valid = self._valid[who.name]
        failed = Counter(str(r["status"]) for r in self._rows[who.name] if r["status"] != "ok")
        out = {
            "contestant": who.name, "method": who.method, "inputs": who.inputs,
            "setting": who.setting, "n": len(self), "failed": dict(failed),
            "top1_below_2": self._share(top < HIT), "top1_below_1": self._share(top < 1.0),
            "best_below_2": self._share(best < HIT),
            "median_top1_rmsd": _plain(bootstrap(top)),
            "dock_cpu_mean": _plain(bootstrap(dock, np.mean)),
            "dock_cpu_median": _plain(bootstrap(dock)),
            "read_cpu_median": _median(self.measured(who, "read_cpu_s")),
            "maps_cpu_median": _median(self.measured(who, "maps_cpu_s")),
            "whole_cpu_mean": _plain(bootstrap(whole, np.mean)),
            "peak_mb_median": _median(peak),
            "peak_mb_max": float(peak.max()) if len(peak) else math.nan,
            "poses_median": _median(self.measured(who, "n_poses")),
        }  # fmt: skip
        if self.checked:
            out["valid"] = self._share(valid)
            out["valid_and_below_2"] = self._share(valid & (top < HIT))
        return out

    def pair(self, ours: Contestant, theirs: Contestant) -> dict[str, Any]:
        """Our engine against Vina: who solves what alone, and the CPU of both."""
        first, second = self.rmsd(ours) < HIT, self.rmsd(theirs) < HIT
        split = mcnemar(first, second)
        a, b = self.measured(ours, "dock_cpu_s"), self.measured(theirs, "dock_cpu_s")
        both = ~np.isnan(a) & ~np.isnan(b)
        ratio = b[both] / np.maximum(a[both], 1e-9)
        total = float(b[both].sum() / a[both].sum()) if both.any() else math.nan
        return {
            "ours": ours.name, "theirs": theirs.name, "n": len(self),
            "both": int((first & second).sum()), "ours_only": split.first_only,
            "theirs_only": split.second_only, "neither": int((~first & ~second).sum()),
            "p": split.p, "cpu_ratio_of_totals": total,
            "cpu_ratio_median": _plain(bootstrap(ratio)),
        }  # fmt: skip

    def pairs(self) -> list[dict[str, Any]]:
        """Each of our contestants against each of Vina's."""
        mine = [who for who in self.contestants if who.method != VINA]
        peers = [who for who in self.contestants if who.method == VINA]
        return [self.pair(ours, theirs) for ours in mine for theirs in peers]

    def failures(self) -> list[dict[str, str]]:
        """Every docking that ended without a pose, with its reason."""
        return [
            {name: str(row[name]) for name in ("id", "contestant", "status", "reason")}
            for rows in self._rows.values() for row in rows if row["status"] != "ok"
        ]  # fmt: skip

    def _share(self, hits: ndarray) -> dict[str, Any]:
        return {"hits": int(hits.sum()), **_plain(wilson(int(hits.sum()), len(hits)))}


def subsets(results: Results) -> dict[str, Results]:
    """Parts of the data set worth a line, if they are neither all of it nor nothing."""
    tests: dict[str, Callable[[Complex], bool]] = {
        "not covalent": lambda one: "covalent" not in one.flags,
        "PoseBusters set": lambda one: "in_posebusters" in one.flags,
        "receptor not in the PDBBind training set": lambda one: (
            "ts_test_no_rec_overlap" in one.flags
        ),
        "partner with another ligand": lambda one: SAME_LIGAND not in one.flags,
    }
    parts = {name: results.subset(test) for name, test in tests.items()}
    return {name: part for name, part in parts.items() if 0 < len(part) < len(results)}


HEAD = (
    "method", "inputs", "setting", "top-1 < 2 Å, %", "best of 9 < 2 Å, %", "median top-1, Å",
    "top-1 valid, %", "valid and < 2 Å, %", "docking CPU s, mean", "median",
    "maps CPU s", "reading CPU s", "peak MB", "failed",
)  # fmt: skip


def start_share(results: Results) -> dict[str, Any]:
    """Share of start poses that are right already: what no search at all would score."""
    hits = int((results.start() < HIT).sum())
    return {"hits": hits, **_plain(wilson(hits, len(results)))}


def success_rows(results: Results, summaries: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The main table, its head first; the last line is the start pose taken as the answer."""
    rows = [list(HEAD)]
    for s in summaries:
        rows.append([
            s["method"], s["inputs"], s["setting"], percent(s["top1_below_2"]),
            percent(s["best_below_2"]), between(s["median_top1_rmsd"]),
            percent(s["valid"]) if "valid" in s else "not checked",
            percent(s["valid_and_below_2"]) if "valid" in s else "not checked",
            between(s["dock_cpu_mean"]), f"{s['dock_cpu_median']['value']:.3g}",
            f"{s['maps_cpu_median']:.2g}", f"{s['read_cpu_median']:.2g}",
            f"{s['peak_mb_median']:.0f}", str(sum(s["failed"].values())),
        ])  # fmt: skip
    start = start_share(results)
    rest = ["-"] * (len(HEAD) - 6)
    middle = between(_plain(bootstrap(results.start())))
    rows.append(["start pose", "", "no search", percent(start), "-", middle, *rest])
    return rows


def pair_rows(pairs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Our engine against Vina, complex by complex: at our default effort if that took part."""
    pairs = [pair for pair in pairs if pair["ours"].endswith("-effort1")] or pairs
    head = [
        "ours", "Vina", "both", "ours only", "Vina only", "neither", "McNemar p",
        "CPU ratio of totals", "median CPU ratio",
    ]  # fmt: skip
    return [head] + [
        [
            p["ours"], p["theirs"], *(str(p[k]) for k in ("both", "ours_only", "theirs_only")),
            str(p["neither"]), f"{p['p']:.2g}", f"{p['cpu_ratio_of_totals']:.3g}",
            between(p["cpu_ratio_median"]),
        ]
        for p in pairs
    ]  # fmt: skip


def subset_rows(parts: Mapping[str, Results]) -> list[list[str]]:
    """Success of everybody on each subset."""
    rows = [["complexes", "n", "contestant", "top-1 < 2 Å, %", "best of 9 < 2 Å, %"]]
    for name, part in parts.items():
        for who in part.contestants:
            top = wilson(int((part.rmsd(who) < HIT).sum()), len(part))
            best = wilson(int((part.rmsd(who, "best_rmsd") < HIT).sum()), len(part))
            cells = percent(_plain(top)), percent(_plain(best))
            rows.append([name, str(len(part)), who.name, *cells])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, the first row its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(share: Mapping[str, Any]) -> str:
    """A share with its interval, percent."""
    return f"{100 * share['value']:.1f} ({100 * share['low']:.1f}-{100 * share['high']:.1f})"


def between(value: Mapping[str, Any]) -> str:
    """A value with its interval."""
    return f"{value['value']:.3g} ({value['low']:.3g}-{value['high']:.3g})"


def _plain(interval: Interval) -> dict[str, float]:
    return dict(interval._asdict())


def _known(values: Float[ndarray, " n"]) -> Float[ndarray, " k"]:
    return values[~np.isnan(values)]


def _median(values: Float[ndarray, " n"]) -> float:
    known = _known(values)
    return float(np.median(known)) if len(known) else math.nan
