"""All pictures of some methods at once: the files, the tables behind them, what a report says."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from docking.benchmark.table import HIT
from docking.figures import calibration, funnel, groups
from docking.figures.method import Method, Poses
from docking.figures.similarity import Nearest
from overparam.page import Section
from overparam.run_folder import write_whole

HEAVY_ATOMS, TORSIONS = (16, 21, 26, 31, 41), (3, 6, 9, 13)
IDENTITY, TANIMOTO = (0.3, 0.5, 0.7, 0.9), (0.3, 0.4, 0.5, 0.6, 0.8)
"""Where groups begin; 0.9 and 0.5 are what ``docking.splits`` calls too close and similar."""
SHOWN = 8
"""Methods drawn at most; tables have all of them."""
_FUNNELS, _DIAGRAMS = 5, 4
_NO_CONFIDENCE = "no pose has a confidence: the models tell none, or the run is older than that"


class Book:
    """Draws into a folder.

    Args:
        out: The folder; it exists.
        methods: What to draw.
        seed: Of the resampling behind intervals.

    Attributes:
        facts: The numbers, as ``report.json`` has them.
        sections: Parts of a page.
    """

    def __init__(self, out: Path, methods: Sequence[Method], seed: int = 0) -> None:
        self.out, self.methods, self.seed = out, list(methods), seed
        defaults = [one for one in self.methods if one.is_default]
        self.shown = (defaults or self.methods)[:SHOWN]
        self.colours = {one.name: f"C{k}" for k, one in enumerate(self.shown)}
        self.facts: dict[str, Any] = {}
        self.sections: list[Section] = []

    def write(
        self, similar: Mapping[str, Nearest] | None = None, chosen: str | None = None
    ) -> None:
        """Draw everything there are numbers for.

        Args:
            similar: The closest training complex of each complex, if known.
            chosen: The complex drawn alone in the funnel; the most telling one if left out.
        """
        self.funnels(chosen)
        self.calibrations()
        sizes = {
            "heavy_atoms": ("heavy atoms", HEAVY_ATOMS),
            "torsions": ("rotatable bonds", TORSIONS),
        }
        self.success("success_by_size", {
            words: ({one.name: one.sizes[name] for one in self.methods}, edges, True)
            for name, (words, edges) in sizes.items()
        })  # fmt: skip
        if similar is None:
            return
        kinds = {"protein, sequence identity": ("identity", IDENTITY),
                 "ligand, Tanimoto similarity": ("tanimoto", TANIMOTO)}  # fmt: skip
        self.success("success_by_similarity", {
            f"closest training {words}": (
                {one.name: _similar(one, similar, name) for one in self.methods}, edges, False
            )
            for words, (name, edges) in kinds.items()
        })  # fmt: skip

    def funnels(self, chosen: str | None = None) -> None:
        """``funnel.png`` and ``funnel.csv``."""
        read = [found for one in self.methods if (found := funnel.Funnel.of(one)).poses]
        if not read:
            self.facts["funnel"] = "no poses on disk"
            return
        drawn = [one for one in read if one.method in self.colours][:_FUNNELS] or read[:_FUNNELS]
        chosen = chosen or funnel.telling(drawn)
        self._table("funnel", [funnel.HEAD, *(row for one in read for row in one.rows())])
        figure = _figure(3.2 * len(drawn), 6.4)
        colours = {one.method: self.colours.get(one.method, "C0") for one in drawn}
        funnel.draw_funnels(figure, drawn, chosen, colours)
        self.facts["funnel"] = {"complex": chosen, "methods": {
            one.method: one.facts() for one in read
        }}  # fmt: skip
        self._page(
            "Score and RMSD", figure, "funnel", "Above one complex, below all of them.",
            [["method", "complexes", "poses", "rank correlation", "right pose outranked"], *(
                [name, f["complexes"], f["poses"], _between(f["spearman"]),
                 _between(f["right_pose_outranked"])]
                for name, f in self.facts["funnel"]["methods"].items()
            )],
        )  # fmt: skip

    def calibrations(self) -> None:
        """``calibration.png`` and ``calibration.csv``: all poses, and first poses alone."""
        found: dict[tuple[str, str], calibration.Calibration] = {}
        for one in self.methods:
            poses = [p for p in one.poses() if not np.isnan(p.confidence).any()]
            for what, some in (("all poses", poses), ("first poses", [_first(p) for p in poses])):
                if some:
                    p, true, group = _flat(some)
                    found[one.name, what] = calibration.judge(p, true, group, seed=self.seed)
        if not found:
            self.facts["calibration"] = _NO_CONFIDENCE
            return
        rows: list[list[Any]] = [[
            "method", "poses", "bin_low", "bin_high", "n", "confidence", "hits",
            "share", "low", "high",
        ]]  # fmt: skip
        for (name, what), one_ in found.items():
            for b in one_.bins:
                numbers = (b.confidence, b.hits, *b.share)
                rows.append([name, what, b.low, b.high, b.n, *(_blank(x) for x in numbers)])
        self._table("calibration", rows)
        names = list(dict.fromkeys(name for name, _ in found))
        drawn = [name for name in names if name in self.colours][:_DIAGRAMS] or names[:_DIAGRAMS]
        columns = [key for key in found if key[0] in drawn]
        figure = _figure(3.4 * len(columns), 5.2)
        axes = figure.subplots(2, len(columns), squeeze=False, height_ratios=[3, 1])
        for column, key in zip(axes.T, columns, strict=True):
            title = f"{key[0]}\n{key[1]} of {found[key].complexes} complexes"
            calibration.draw_calibration(column, found[key], title, self.colours.get(key[0], "C0"))
        self.facts["calibration"] = {
            name: {what: calibration.facts(one) for (n, what), one in found.items() if n == name}
            for name in names
        }
        self._page(
            "Calibration of the confidence", figure, "calibration",
            "Brackets: 95 % intervals from resampling complexes. The error of a finite sample is "
            "not nought where every probability is exact: the last column is what it would be.",
            [["method", "poses", "n", "base rate", "Brier score", "of the base rate",
              "calibration error", "if exact"], *(
                [name, what, one.n, _between(one.base_rate._asdict()),
                 _between(one.brier._asdict()), f"{one.brier_of_base_rate:.3f}",
                 _between(one.ece._asdict()), _between(one.ece_if_exact._asdict())]
                for (name, what), one in found.items()
            )],
        )  # fmt: skip

    def success(
        self,
        stem: str,
        panels: Mapping[str, tuple[Mapping[str, np.ndarray], Sequence[float | int], bool]],
    ) -> None:
        """A picture of success by some properties, a panel each, and its table.

        Args:
            stem: Name of the files.
            panels: By words: values of every method's complexes, where groups begin, and whether
                values are whole numbers.
        """
        rows: list[list[Any]] = [groups.HEAD]
        facts: dict[str, Any] = {}
        figure = _figure(6.2 * len(panels), 4.4)
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (words, (values, edges, whole)) in zip(axes, panels.items(), strict=True):
            split = {
                one.name: groups.grouped(values[one.name], one.hits, edges, whole=whole)
                for one in self.methods
            }
            facts[words] = {
                name: [{**g._asdict(), "share": g.share._asdict()} for g in every]
                for name, every in split.items()
            }
            rows += [
                row for name, every in split.items() for row in groups.rows(words, name, every)
            ]
            shown = {one.name: split[one.name] for one in self.shown}
            groups.draw_groups(axis, words, shown, self.colours)
        axes[0].set_ylabel(f"first pose below {HIT:g} Å, %")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=7)
        self._table(stem, rows)
        self.facts[stem] = facts
        title = stem.replace("_", " ").capitalize()
        text = "95 % Wilson intervals; a failure is a miss, and every complex is in one group."
        self._page(title, figure, stem, text, rows)

    def _table(self, stem: str, rows: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_whole(self.out / f"{stem}.csv", text.getvalue())

    def _page(
        self, title: str, figure: Any, stem: str, text: str, rows: Sequence[Sequence[Any]]
    ) -> None:
        file = self.out / f"{stem}.png"
        figure.savefig(file, dpi=120)
        self.sections.append(Section(title, text, rows=rows, pictures=[(file, title)]))


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(max(width, 5.0), height), layout="constrained")


def _similar(method: Method, similar: Mapping[str, Nearest], name: str) -> np.ndarray:
    unknown = Nearest(math.nan, "", math.nan, "")
    return np.array([getattr(similar.get(key, unknown), name) for key in method.ids])


def _first(poses: Poses) -> Poses:
    return Poses(poses.id, *(array[:1] for array in poses[1:]))


def _flat(poses: Sequence[Poses]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, truth and number of the complex of every pose."""
    count = [len(one.score) for one in poses]
    return (
        np.concatenate([one.confidence for one in poses]),
        np.concatenate([one.rmsd for one in poses]) < HIT,
        np.repeat(np.arange(len(poses)), count),
    )


def _between(value: Mapping[str, Any]) -> str:
    return f"{value['value']:.3f} ({value['low']:.3f}-{value['high']:.3f})"


def _blank(value: float | int) -> float | str:
    return "" if math.isnan(value) else round(float(value), 6)
