"""What a run leaves for a person and for the next program: tables, page, pictures, report.json."""

import os
import platform
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docking.benchmark.folder import BenchmarkFolder

VERSIONS = (
    "vina", "meeko", "openbabel-wheel", "posebusters", "rdkit", "scipy", "numba", "gemmi",
)  # fmt: skip
"""Distributions a figure may depend on."""
LONG = ("Failures", "Pairs")
"""Tables that are written and not printed."""
COSTS = (
    "Medians; brackets: bootstrap intervals. A screen pays the first part once. Vina's maps are "
    "those of one ligand's atom types, and its scoring is part of the search."
)
CROSS = (
    "Each ligand goes into another structure of its protein, superposed by the alpha carbons near "
    "the crystal ligand; RMSD is to that."
)


def write_tables(
    given: Namespace,
    folder: BenchmarkFolder,
    results: Any,
    report: Mapping[str, Any],
    parts: Mapping[str, Any],
    crossings: Any = None,
) -> dict[str, Any]:
    """Markdown, page and pictures of a docking run; pairs too, if it is cross-docking.

    Returns:
        The numbers behind the pictures that ``docking.figures`` draws.
    """
    from docking.benchmark import cost, pictures, table
    from overparam.page import Section, write_page
    from overparam.run_folder import write_whole

    summaries, pairs, failures = report["contestants"], report["pairs"], report["failures"]
    curves, errors = folder.path / "success_cpu.png", folder.path / "rmsd.png"
    pictures.draw_curves(curves, summaries, results)
    pictures.draw_errors(errors, results)
    about = (
        f"{len(results)} complexes of {given.split}, {given.protocol} docking, seed {given.seed}. "
        "A docking that fails or reaches its CPU limit is a miss. Brackets: 95 % intervals "
        "(Wilson for shares, bootstrap for medians and means). CPU seconds of docking, maps and "
        f"reading are measured apart; starting a method is in none of them: {_startup(report)}."
    )
    if crossings is not None:
        about += f" {CROSS} {crossings.told()}."
    sections = [("Success and cost", about, table.success_rows(results, summaries))]
    if spent := cost.cost_rows(report["costs"], results.contestants):
        sections.append(("Where the CPU seconds go", COSTS, spent))
    if pairs:
        text = (
            "Top-1 below 2 Å, complex by complex; CPU ratios are of docking alone, Vina's over "
            "ours. All pairs of settings are in report.json."
        )
        sections.append(("Against Vina", text, table.pair_rows(pairs)))
    if parts:
        text = "The same dockings on parts of the data."
        sections.append(("Subsets", text, table.subset_rows(parts)))
    if failures:
        head = ["id", "contestant", "status", "reason"]
        lines = [head, *([failure[name] for name in head] for failure in failures)]
        sections.append(("Failures", "Each is a miss in every table above.", lines))
    if crossings is not None:
        words = "Ligand, the structure it goes into, and how alike both are near the ligand."
        words += f" Left out: {crossings.named()}." if crossings.left_out else ""
        sections.append(("Pairs", words, crossings.table(one.id for one in results.complexes)))
    said = {
        title: f"## {title}\n\n{words}\n\n{table.markdown(lines)}"
        for title, words, lines in sections
    }
    write_whole(folder.path / "table.md", "\n\n".join(said.values()) + "\n")
    print(*(text for title, text in said.items() if title not in LONG), sep="\n\n", flush=True)
    drawn = [
        (curves, "Top-1 success against CPU seconds per complex, with 95 % Wilson intervals."),
        (errors, "Top-1 RMSD at the default settings."),
    ]
    page = [Section(title, words, rows=lines) for title, words, lines in sections]
    page.insert(1, Section("Pictures", pictures=drawn))
    names = [who.name for who in results.contestants]
    figures, more = draw_figures(given, folder, names, [one.id for one in results.complexes])
    title = f"Docking benchmark: {given.split}, {given.protocol}"
    write_page(folder.path / "report.html", title, [*page, *more])
    return figures


def draw_figures(
    given: Namespace, folder: BenchmarkFolder, contestants: Sequence[str], ids: Sequence[str]
) -> tuple[dict[str, Any], list[Any]]:
    """Funnels, calibration, success by size and, where the manifest tells it, by similarity.

    Returns:
        The numbers, and sections of a page.
    """
    from docking.figures.book import Book
    from docking.figures.corpus import nearest_of
    from docking.figures.method import methods_of

    if not ids:
        return {}, []
    methods = methods_of([folder.path], contestants=contestants, ids=ids)
    book = Book(folder.path, methods, given.seed)
    similar = nearest_of(Path(given.data_root), methods, folder.path)
    book.write(similar)
    return book.facts, book.sections


def _startup(report: Mapping[str, Any]) -> str:
    """What importing and warming up took, method by method."""
    said = []
    for key, spent in report["startup"].items():
        task, _, model = key.partition(" ")
        if task in ("vina_task", "engine_task"):
            name = "Vina" if task == "vina_task" else f"ours with {model}" if model else "ours"
            cost = f"{spent['startup_cpu_s']:.1f} CPU s and {spent['startup_peak_mb']:.0f} MB"
            said.append(f"{name} {cost}")
    return ", ".join(sorted(said)) or "not measured"


def write_decoy_table(
    given: Namespace,
    folder: BenchmarkFolder,
    summaries: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]] = (),
    ids: Sequence[str] = (),
) -> dict[str, Any]:
    """Markdown, page and pictures of a decoy run.

    Returns:
        The numbers behind the pictures that ``docking.figures`` draws.
    """
    from docking.benchmark import table
    from overparam.page import Section, write_page
    from overparam.run_folder import write_whole

    lines = [
        ["scoring", "n", "failed", "AUROC", "top decoy, Å", "rank of nearest", "top < 2 Å, %",
         "CPU ms per pose", "CPU s per pocket"],
    ]  # fmt: skip
    for s in summaries:
        lines.append([
            s["contestant"], str(s["n"]), str(s["failed"]), table.between(s["auroc"]),
            table.between(s["top_rmsd"]), table.between(s["rank_of_nearest"]),
            table.percent(s["top_below_2"]), f"{1e3 * s['score_cpu_s_per_pose']['value']:.3g}",
            f"{s['pocket_cpu_s']['value']:.2g}",
        ])  # fmt: skip
    about = (
        f"Medians over {summaries[0]['n']} complexes, {given.decoys}^3 - 1 decoys each, truth left "
        "out; brackets: 95 % intervals from resampling complexes (Wilson for the share)."
    )
    sections = [("Decoys", about, lines)]
    if pairs:
        head = ["scoring", "against", "n", "AUROC higher by", "on more", "on fewer",
                "top < 2 Å alone", "other alone", "McNemar p"]  # fmt: skip
        rest = [
            [p["contestant"], p["other"], str(p["n"]), table.between(p["auroc_gap"]),
             str(p["higher"]), str(p["lower"]), str(p["top"]["first_only"]),
             str(p["top"]["second_only"]), f"{p['top']['p']:.2g}"]
            for p in pairs
        ]  # fmt: skip
        sections.append(("Same decoys", "Complex by complex; medians.", [head, *rest]))
    said = "\n\n".join(f"{words}\n\n{table.markdown(rows)}" for _, words, rows in sections)
    write_whole(folder.path / "table.md", said + "\n")
    print(said, flush=True)
    figures, more = draw_figures(given, folder, [s["contestant"] for s in summaries], ids)
    page = [Section(title, words, rows=rows) for title, words, rows in sections]
    write_page(folder.path / "report.html", "Decoy scoring", [*page, *more])
    return figures


def write_report_file(
    given: Namespace,
    folder: BenchmarkFolder,
    config: Mapping[str, Any],
    report: Mapping[str, Any],
    warnings: Sequence[str],
    seconds: float,
) -> None:
    """``report.json``."""
    from importlib.metadata import PackageNotFoundError, version

    from overparam.report_file import peak_memory, versions, write_report

    found = versions()
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    write_report(folder.path, {
        "status": "finished", **config, **report, "jobs": given.jobs,
        "wall_seconds": round(seconds, 3), **peak_memory(), "machine": _machine(),
        "versions": found, "warnings": list(warnings),
    })  # fmt: skip


def _machine() -> dict[str, Any]:
    """The processor the figures belong to."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system()}
