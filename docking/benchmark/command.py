"""``python -m docking benchmark``: success, validity and cost, ours and Vina's, side by side."""

import importlib.util
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docking.benchmark.contestant import EFFORTS, SEARCHES, Contestant, field_of
from docking.benchmark.folder import DATA, PREPARED, VALIDITY, BenchmarkFolder
from overparam.cli import DONE, UNVERIFIED, LineParser, add_common_arguments
from overparam.errors import InputError
from overparam.run_folder import read_report

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
    words.add_argument("--protocol", default="rigid", choices=["rigid", "flexible", "decoys"],
                       help="rigid: crystal conformer, placed at random; flexible: conformer from "
                       "the molecular graph; decoys: tell the true pose from others")  # fmt: skip
    words.add_argument("--against", choices=["vina"], help="opponent; needs the bench extra")
    words.add_argument("--scoring", default="physics", help="model of our engine")
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
                       help="go on; complexes and search settings may be added")  # fmt: skip
    words.add_argument("--overwrite", action="store_true", help="replace the run that is there")
    add_common_arguments(words)
    return words


def main(args: list[str] | None = None) -> int:
    """Parse the command line, run what is missing, write the tables.

    Raises:
        InputError: If something the user gave cannot be used.
    """
    given = parser().parse_args(args)
    contestants = _check(given)
    folder = BenchmarkFolder(given.out, resume=given.resume, overwrite=given.overwrite)
    config = _config(given, contestants)
    if folder.state != "new":
        folder.refuse_other_settings(config)
    complexes, warnings = _complexes(given, folder, config)
    for warning in warnings:
        print(f"note: {warning}", flush=True)
    from docking.benchmark.report import write_report_file
    from docking.benchmark.stem import StemError

    began = time.monotonic()
    run = _decoys if given.protocol == "decoys" else _contest
    try:
        code, report = run(given, folder, contestants, complexes)
    except StemError as error:
        raise InputError(f"a method cannot start: {error}") from None
    seconds = time.monotonic() - began
    write_report_file(given, folder, config, report, warnings, seconds)
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
    return field_of(against=given.against, efforts=given.effort, searches=given.vina_search)


def _config(given: Namespace, contestants: Sequence[Contestant]) -> dict[str, Any]:
    """What the run computes; how many jobs do it is in the report."""
    names = (
        "split", "protocol", "against", "scoring", "seed", "cap", "decoys", "first", "count",
        "ids", "validity", "effort", "vina_search",
    )  # fmt: skip
    config = {"command": "docking benchmark", "data_root": str(Path(given.data_root).resolve())}
    return config | {name: getattr(given, name) for name in names}


def _complexes(
    given: Namespace, folder: BenchmarkFolder, config: Mapping[str, Any]
) -> tuple[list[Any], list[str]]:
    """Open the data and make the run folder, in an order that spoils nothing on bad input."""
    from docking.benchmark.dataset import Dataset, read_ids

    ids = read_ids(given.ids) if given.ids else None
    choice: dict[str, Any] = {
        "first": given.first, "count": given.count, "ids": ids, "seed": given.seed,
    }  # fmt: skip
    cache = folder.path / DATA
    if folder.state == "new":
        # An archive is unpacked aside: a run to be replaced stays until all is known to be well.
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.path.parent, prefix=".unpacked-") as aside:
            place = Path(aside) / DATA
            Dataset.open(given.data_root, given.split, place).select(**choice)
            folder.create(config)
            if place.is_dir():
                shutil.move(place, cache)
    else:
        Dataset.open(given.data_root, given.split, cache).select(**choice)
        folder.create(config)
    data = Dataset.open(given.data_root, given.split, cache).select(**choice)
    return data.complexes, data.warnings


def _contest(
    given: Namespace,
    folder: BenchmarkFolder,
    contestants: Sequence[Contestant],
    complexes: Sequence[Any],
) -> tuple[int, dict[str, Any]]:
    """Rigid and flexible docking."""
    from docking.benchmark import table
    from docking.benchmark.contest import Contest, Settings
    from docking.benchmark.report import write_tables
    from docking.benchmark.rows import VALIDITY_NUMBERS, VALIDITY_TEXT, Rows
    from docking.benchmark.validity import NOT_INSTALLED, installed

    checked = given.validity == "auto" and installed()
    rows = Rows(folder.rows)
    verdicts = Rows(folder.path / VALIDITY, VALIDITY_TEXT, VALIDITY_NUMBERS)
    settings = Settings(
        protocol=given.protocol, seed=given.seed, scoring=given.scoring, cap=given.cap,
        prepared=Path(given.prepared or folder.path / PREPARED), out=folder.path,
        peer=bool(given.against), validity=checked,
    )  # fmt: skip
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
    write_tables(given, folder, results, report, parts)
    beaten = [s["contestant"] for s in summaries if sum(s["failed"].values()) == s["n"]]
    if beaten:
        print(f"not one docking ended well: {', '.join(beaten)}")
    return UNVERIFIED if beaten else DONE, report


def _decoys(
    given: Namespace,
    folder: BenchmarkFolder,
    contestants: Sequence[Contestant],
    complexes: Sequence[Any],
) -> tuple[int, dict[str, Any]]:
    """Scoring of given poses."""
    from docking.benchmark import decoys
    from docking.benchmark.report import write_decoy_table
    from docking.benchmark.rows import Rows

    rows = Rows(folder.rows, decoys.TEXT, decoys.NUMBERS)
    decoys.contend(
        complexes, rows, scoring=given.scoring, count=given.decoys, seed=given.seed,
        jobs=given.jobs, tell=lambda line: print(line, flush=True),
    )  # fmt: skip
    s = decoys.summary(complexes, rows, given.scoring)
    write_decoy_table(given, folder, s)
    report = {"metrics": {"auroc": s["auroc"]["value"]}, "sizes": {"complexes": s["n"]}} | s
    return UNVERIFIED if s["failed"] == s["n"] else DONE, report
