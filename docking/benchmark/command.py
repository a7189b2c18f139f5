"""``python -m docking benchmark``: success, validity and cost, ours and Vina's, side by side."""

import importlib.util
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docking.benchmark.contestant import EFFORTS, PHYSICS, SEARCHES, SHAPE, Contestant, field_of
from docking.benchmark.folder import PREPARED, PROTOCOLS, VALIDITY, BenchmarkFolder
from overparam.cli import DONE, UNVERIFIED, LineParser, add_common_arguments
from overparam.errors import InputError
from overparam.run_folder import read_report

if TYPE_CHECKING:
    from docking.benchmark.selection import Selection

PACKAGES = {"vina": "vina", "meeko": "meeko", "openbabel": "openbabel-wheel"}
"""What the comparison with Vina imports, and the distribution that brings it."""
_CAP = 240.0


def parser() -> LineParser:
    """The command line."""
    words = LineParser(
        prog="python -m docking benchmark",
        description="Dock known complexes and measure success (top-1 and best of 9 below 2 A "
        "symmetric RMSD), validity, CPU seconds and memory. With --against vina both methods read "
        "the same PDBQT files, start from the same pose in the same box, and take turns.",
        epilog="example: python -m docking benchmark --data-root DATA --split val --against vina "
        "--first 20 --out runs/val",
    )
    words.add_argument("--data-root", required=True, help="folder of <id>_protein.pdb and "
                       "<id>_ligand.sdf, of <split>/ or of <split>.tar.xz")  # fmt: skip
    words.add_argument("--split", required=True, help="which part of the data: val, test, ...")
    words.add_argument("--protocol", default="rigid", choices=list(PROTOCOLS),
                       help="rigid: crystal conformer, placed at random; flexible: conformer from "
                       "the molecular graph; cross: that into another structure of the protein; "
                       "decoys: tell the true pose from others")  # fmt: skip
    words.add_argument("--against", choices=["vina"], help="opponent; needs the bench extra")
    words.add_argument("--scoring", nargs="+", default=[PHYSICS], metavar="MODEL",
                       help="models of our engine, rows of their own")  # fmt: skip
    words.add_argument("--baseline", choices=[SHAPE],
                       help="shape: our engine with the steric terms alone, one row")  # fmt: skip
    words.add_argument("--effort", nargs="+", type=float, default=list(EFFORTS),
                       help="our search budgets, the points of our curve")  # fmt: skip
    words.add_argument("--vina-search", nargs="+", default=list(SEARCHES), metavar="EXH[:EVALS]",
                       help="Vina's exhaustiveness and max_evals, the points of its curve; "
                       "8 alone is its default")  # fmt: skip
    words.add_argument("--first", type=int, help="the first so many complexes by id")
    words.add_argument("--count", type=int, help="so many complexes drawn with the seed")
    words.add_argument("--ids", help="file of the ids to take")
    words.add_argument("--jobs", type=int, default=1, help="complexes at a time, a core each")
    words.add_argument("--cap", type=float, default=_CAP, help="CPU seconds a docking may take")
    words.add_argument("--decoys", type=int, default=32,
                       help="conformers, rotations and shifts of the decoys")  # fmt: skip
    words.add_argument("--prepared", help="folder of PDBQT files to share between runs")
    words.add_argument("--validity", default="auto", choices=["auto", "off"],
                       help="PoseBusters checks of top-1 poses, if it is installed")  # fmt: skip
    words.add_argument("--out", required=True, help="folder of the run")
    words.add_argument("--resume", action="store_true",
                       help="go on; complexes, settings and models may be added")  # fmt: skip
    words.add_argument("--overwrite", action="store_true", help="replace the run that is there")
    add_common_arguments(words)
    return words


def main(args: list[str] | None = None) -> int:
    """Parse the command line, run what is missing, write the tables.

    Raises:
        InputError: If something the user gave cannot be used.
    """
    given = parser().parse_args(args)
    given.scoring = list(dict.fromkeys(given.scoring))
    contestants = _check(given)
    folder = BenchmarkFolder(given.out, resume=given.resume, overwrite=given.overwrite)
    config = _config(given, contestants)
    if folder.state != "new":
        folder.refuse_other_settings(config)
    from docking.benchmark.report import write_report_file
    from docking.benchmark.selection import Selection
    from docking.benchmark.stem import StemError

    chosen = Selection.open(given, folder, config)
    for warning in chosen.warnings:
        print(f"note: {warning}", flush=True)
    began = time.monotonic()
    run = _decoys if given.protocol == "decoys" else _contest
    try:
        code, report = run(given, folder, contestants, chosen)
    except StemError as error:
        raise InputError(f"a method cannot start: {error}") from None
    seconds = time.monotonic() - began
    write_report_file(given, folder, config, report, chosen.warnings, seconds)
    print(f"wrote {folder.path / 'report.html'}")
    return code


def _check(given: Namespace) -> list[Contestant]:
    """Refuse what cannot work, before anything is touched."""
    if given.device == "cuda":
        raise InputError("--device cuda: the benchmark compares CPU seconds; use --device cpu")
    for name, value in (("jobs", given.jobs), ("cap", given.cap), ("decoys", given.decoys - 1)):
        if not value > 0:
            raise InputError(f"--{name} must be {'at least 2' if name == 'decoys' else 'positive'}")
    if not 0 <= given.seed < 2**31 - 1:
        raise InputError(f"--seed must lie in [0, 2147483646], got {given.seed}")
    if given.protocol == "decoys":
        if given.against:
            raise InputError(
                "--against vina has no part in --protocol decoys: physics is Vina's energy to its "
                "three decimals (benchmarks/vina_agreement.py)"
            )
        return []
    if given.against:
        absent = [dist for name, dist in PACKAGES.items() if not importlib.util.find_spec(name)]
        if absent:
            raise InputError(
                f"--against vina needs {', '.join(absent)}: python -m pip install "
                "'overparam[bench]'"
            )
    return field_of(
        against=given.against, efforts=given.effort, searches=given.vina_search,
        scoring=given.scoring, baseline=given.baseline,
    )  # fmt: skip


def _config(given: Namespace, contestants: Sequence[Contestant]) -> dict[str, Any]:
    """What the run computes; how many jobs do it is in the report."""
    names = (
        "split", "protocol", "against", "scoring", "baseline", "seed", "cap", "decoys", "first",
        "count", "ids", "validity", "effort", "vina_search",
    )  # fmt: skip
    config = {"command": "docking benchmark", "data_root": str(Path(given.data_root).resolve())}
    config |= {name: getattr(given, name) for name in names}
    if len(given.scoring) == 1:
        config["scoring"] = given.scoring[0]
    return config


def _contest(
    given: Namespace,
    folder: BenchmarkFolder,
    contestants: Sequence[Contestant],
    chosen: "Selection",
) -> tuple[int, dict[str, Any]]:
    """Rigid, flexible and cross-docking."""
    from docking.benchmark import table
    from docking.benchmark.contest import Contest, Settings
    from docking.benchmark.cost import costs
    from docking.benchmark.report import write_tables
    from docking.benchmark.rows import VALIDITY_NUMBERS, VALIDITY_TEXT, Rows
    from docking.benchmark.validity import NOT_INSTALLED, installed

    checked = given.validity == "auto" and installed()
    rows = Rows(folder.rows)
    verdicts = Rows(folder.path / VALIDITY, VALIDITY_TEXT, VALIDITY_NUMBERS)
    settings = Settings(
        protocol=given.protocol, seed=given.seed, cap=given.cap,
        prepared=Path(given.prepared or folder.path / PREPARED), out=folder.path,
        peer=bool(given.against), validity=checked,
    )  # fmt: skip
    complexes = chosen.complexes
    before = read_report(folder.path)
    done = 0

    def tell(line: str) -> None:
        nonlocal done
        done += 1
        print(f"[{done}/{todo}] {line}", flush=True)

    there = [sum((one.id, who.name) in rows for who in contestants) for one in complexes]
    todo = len(there) * len(contestants) - sum(there)
    split_up = sum(0 < count < len(contestants) for count in there)
    contest = Contest(complexes, contestants, settings, rows, verdicts, tell)
    contest.run(given.jobs)
    results = table.Results(complexes, contestants, rows.get, verdicts.get if checked else None)
    summaries = [results.summary(who) for who in contestants]
    pairs = results.pairs()
    start = table.start_share(results)
    report = {
        "metrics": {s["contestant"]: s["top1_below_2"]["value"] for s in summaries},
        "sizes": {"complexes": len(results), "dockings": len(results) * len(contestants)},
        "baseline_start_pose": start, "contestants": summaries, "pairs": pairs,
        "costs": [costs(results, who) for who in contestants],
        "posebusters": "checked" if checked else NOT_INSTALLED if not installed() else "off",
        "startup": before.get("startup", {}) | contest.startup,
        "failures": results.failures(),
        # Only what ran in turns within one sitting was timed side by side.
        "complexes_timed_in_two_sittings": (
            before.get("complexes_timed_in_two_sittings", 0) + split_up
        ),
    }  # fmt: skip
    parts = table.subsets(results)
    report["subsets"] = {
        name: {who.name: part.summary(who) for who in contestants} for name, part in parts.items()
    }
    if chosen.crossings is not None:
        report["cross"] = chosen.crossings.facts()
    report["figures"] = write_tables(given, folder, results, report, parts, chosen.crossings)
    beaten = [s["contestant"] for s in summaries if sum(s["failed"].values()) == s["n"]]
    if beaten:
        print(f"not one docking ended well: {', '.join(beaten)}")
    return UNVERIFIED if beaten else DONE, report


def _decoys(
    given: Namespace,
    folder: BenchmarkFolder,
    contestants: Sequence[Contestant],
    chosen: "Selection",
) -> tuple[int, dict[str, Any]]:
    """Scoring of given poses."""
    from docking.benchmark import decoys
    from docking.benchmark.report import write_decoy_table
    from docking.benchmark.rows import Rows
    from docking.figures.method import scores_file

    rows = Rows(folder.rows, decoys.TEXT, decoys.NUMBERS)
    models = list(dict.fromkeys([*given.scoring, *filter(None, [given.baseline])]))
    for scoring in models:
        decoys.contend(
            chosen.complexes, rows, scoring=scoring, count=given.decoys, seed=given.seed,
            jobs=given.jobs, tell=lambda line: print(line, flush=True),
            keep=lambda key, who: scores_file(folder.path, key, who),
        )  # fmt: skip
    summaries = [decoys.summary(chosen.complexes, rows, scoring) for scoring in models]
    pairs = [decoys.compare(chosen.complexes, rows, who, models[0]) for who in models[1:]]
    ids = [one.id for one in chosen.complexes]
    figures = write_decoy_table(given, folder, summaries, pairs, ids)
    s = summaries[0]
    report = {"metrics": {"auroc": s["auroc"]["value"]}, "sizes": {"complexes": s["n"]}} | s
    report |= {"pairs": pairs, "figures": figures}
    if len(summaries) > 1:
        report["others"] = summaries[1:]
    beaten = any(one["failed"] == one["n"] for one in summaries)
    return UNVERIFIED if beaten else DONE, report
