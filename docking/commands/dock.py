"""``python -m docking dock``: the best poses of every ligand of a file."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docking.commands.display import progress, tell
from docking.commands.options import (
    add_box,
    add_folder,
    add_receptor,
    add_search,
    command_parser,
    cores,
    count,
    parse,
    refuse_inputs_inside,
)
from docking.commands.site import load_scoring, read_site, site_report, site_settings
from overparam.cli import complain
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.ligand import Failure
    from docking.result import DockingResult

POSES = "poses.sdf"
_TABLES = 3  # ligands whose poses are all shown; beyond, one line each


def main(args: list[str]) -> int:
    """Dock, and leave a run folder.

    Raises:
        InputError: If something the user gave cannot be used, or no ligand could be docked.
    """
    parser = command_parser(
        "dock",
        "Find the best poses of a ligand, or of every record of a file, in a pocket. Leaves "
        "poses.sdf and report.json. Scores of physics are minus kcal/mol: higher is better.",
        "python -m docking dock --receptor r.pdb --ligand l.sdf --box-from crystal.sdf --out run",
    )
    add_receptor(parser)
    parser.add_argument(
        "--ligand", required=True, metavar="FILE", help=".sdf .mol2 .smi .pdbqt, each also .gz"
    )
    add_box(parser)
    add_search(parser, num_poses=9)
    parser.add_argument(
        "--threads",
        "--cpu",
        type=count("--threads"),
        default=cores(),
        metavar="N",
        help="threads of the search; the result does not depend on them (default: one per core)",
    )
    add_folder(parser, "run folder to write")
    given = parse(parser, args)
    from docking.run import DockingFolder, Stopwatch, pocket_sizes, surroundings
    from overparam.report_file import write_report

    refuse_inputs_inside(given, "receptor", "ligand", "box_from")
    folder = DockingFolder(given.out, resume=given.resume, overwrite=given.overwrite)
    watch = Stopwatch()
    model = load_scoring(given)
    site = read_site(given)
    settings = _settings(given) | site_settings(given, site)
    running = {"threads": given.threads, "device": given.device}
    if folder.state == "finished":
        folder.begin(settings, running)
        print(f"{folder.path} is finished already: {folder.path / POSES}")
        return 0
    from docking.ligand import Ligand

    failures: list[Failure] = []
    ligands = Ligand.iter_file(given.ligand, failures=failures)
    first = _first(ligands, failures)
    pocket = model.prepare(site.receptor, site.box)
    prepared = watch.seconds
    results: list[DockingResult] = []
    partial = folder.path / f".{POSES}.partial"
    with progress("dock") as advance:
        for ligand in _chain(first, ligands):
            try:
                result = model.dock(
                    pocket,
                    ligand,
                    num_poses=given.num_poses,
                    rigid=given.rigid,
                    seed=given.seed,
                    threads=given.threads,
                    effort=given.effort,
                )
                if not result.poses:
                    raise InputError(f"{ligand.name}: the search found no pose in the box")
            except InputError as error:
                failures.append(_failure(ligand.record, str(error)))
                continue
            if not results:
                # Not before there is something to keep: a run that finds nothing leaves nothing.
                folder.begin(settings, running)
                partial.unlink(missing_ok=True)
            with partial.open("a", encoding="utf-8") as poses:
                result.to_sdf(poses)
            results.append(result)
            advance(result.ligand.name)
    if not results:
        raise InputError(failures[0].reason if failures else f"{given.ligand}: no ligand in it")
    partial.replace(folder.path / POSES)
    best = max(results, key=lambda result: result.poses[0].score)
    warnings = [*site.warnings, *(f"{r.ligand.name}: {w}" for r in results for w in r.warnings)]
    failures.sort(key=lambda failure: failure.record)
    write_report(
        folder.path,
        {
            "status": "finished",
            "command": "dock",
            "model": model.name,
            "seed": given.seed,
            **running,
            "metrics": {
                "docked": len(results),
                "failed": len(failures),
                "poses": sum(len(result) for result in results),
                "best_score": best.poses[0].score,
                "best_ligand": best.ligand.name,
                "search_seconds": round(sum(result.seconds for result in results), 3),
                "until_prepared_seconds": round(prepared, 3),
            },
            "sizes": pocket_sizes(pocket),
            **site_report(site),
            "ligands": [result.report() for result in results],
            "failures": [{"record": f.record, "reason": f.reason} for f in failures],
            **surroundings(watch),
            "warnings": warnings,
        },
    )
    tell(warnings)
    for failure in failures:
        complain(failure.reason, "left out")
    show(results)
    print(f"poses: {folder.path / POSES}\nreport: {folder.path / 'report.json'}")
    return 0


def _settings(given: Namespace) -> dict[str, Any]:
    return {
        "command": "dock",
        "scoring": given.scoring,
        "ligand": str(Path(given.ligand).resolve()),
        "num_poses": given.num_poses,
        "rigid": given.rigid,
        "seed": given.seed,
        "effort": given.effort,
    }


def _failure(record: int, reason: str) -> "Failure":
    from docking.ligand import Failure

    return Failure(record, reason)


def _first(ligands: Iterator[Any], failures: "list[Failure]") -> Any:
    """The first ligand that can be read, before anything costly is done.

    Raises:
        InputError: If there is none.
    """
    first = next(ligands, None)
    if first is None:
        raise InputError(failures[0].reason if failures else "no ligand in the file")
    return first


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def show(results: "list[DockingResult]") -> None:
    """Print a table of poses, or of ligands if there are many."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    unit = "kcal/mol" if results[0].model == "physics" else "score"
    many = len(results) > _TABLES
    title = f"{len(results)} ligands, {results[0].model}" if many else ""
    table = _table(Table, title, ["ligand", "poses", unit]) if many else None
    for result in results:
        if table is not None:
            table.add_row(result.ligand.name, str(len(result)), _energy(result, 0))
            continue
        sure = result.poses[0].confidence is not None
        columns = ["rank", unit, *(["within 2 A"] if sure else []), "RMSD to best"]
        one = _table(Table, f"{result.ligand.name}, {result.model}", columns)
        for index, pose in enumerate(result.poses):
            chance = [f"{100 * pose.confidence:.0f} %"] if pose.confidence is not None else []
            one.add_row(str(pose.rank), _energy(result, index), *chance, f"{pose.rmsd_to_best:.2f}")
        console.print(one)
    if table is not None:
        console.print(table)


def _table(kind: Any, title: str, columns: list[str]) -> Any:
    table = kind(title=title, title_justify="left")
    for index, column in enumerate(columns):
        left = index == 0 and column == "ligand"
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    return table


def _energy(result: "DockingResult", index: int) -> str:
    """Energy if the model has one, as people know it from Vina; else the score."""
    score = result.poses[index].score
    return f"{-score if result.model == 'physics' else score:.3f}"
