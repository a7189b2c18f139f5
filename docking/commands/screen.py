"""``python -m docking screen``: every record of a library in one prepared pocket."""

from pathlib import Path

from docking.commands.display import progress, tell
from docking.commands.options import (
    add_folder,
    add_search,
    command_parser,
    cores,
    count,
    parse,
    refuse_inputs_inside,
)
from docking.commands.site import load_scoring
from overparam.errors import InputError

TOP = 1000
_LISTED = 10


def main(args: list[str]) -> int:
    """Screen a library, and leave a run folder.

    Raises:
        InputError: If something the user gave cannot be used, or no record could be docked.
    """
    parser = command_parser(
        "screen",
        "Dock every record of a library in a prepared pocket. Leaves scores.csv and poses.sdf, "
        "best first, failures.csv with every record that could not be docked, and report.json. A "
        "screen that was stopped, however, goes on with --resume.",
        "python -m docking screen --pocket pocket.pt --library library.smi --out run --workers 4",
    )
    parser.add_argument(
        "--pocket", required=True, metavar="FILE", help="what python -m docking prepare wrote"
    )
    parser.add_argument(
        "--library",
        required=True,
        metavar="FILE",
        help=".sdf .mol2 .smi .pdbqt, each also .gz; coordinates are not needed",
    )
    add_search(parser, num_poses=1)
    add_folder(parser, "run folder to write")
    parser.add_argument(
        "--workers",
        "--cpu",
        type=count("--workers"),
        default=cores(),
        metavar="N",
        help="processes; the result does not depend on them (default: one per core)",
    )
    parser.add_argument(
        "--engine",
        choices=["local", "ray"],
        default="local",
        help="local processes, or ray for several machines (needs the extra: screen)",
    )
    parser.add_argument(
        "--top",
        type=count("--top"),
        default=TOP,
        metavar="N",
        help=f"records whose poses go into poses.sdf; shards/ has all (default: {TOP})",
    )
    parser.add_argument(
        "--on-error",
        choices=["skip", "raise"],
        default="skip",
        help="what a record that fails does: is listed in failures.csv, or stops the screen",
    )
    given = parse(parser, args)
    from docking.run import DockingFolder

    refuse_inputs_inside(given, "pocket", "library")
    DockingFolder(given.out, resume=given.resume, overwrite=given.overwrite)  # a cheap refusal
    from docking.pocket_map import PocketField
    from docking.screen import screen
    from docking.screening.library import Library

    model = load_scoring(given)
    pocket = PocketField.load(given.pocket)
    library = Library(given.library)
    rows = screen(
        model,
        pocket,
        given.library,
        given.workers,
        out=given.out,
        resume=given.resume,
        overwrite=given.overwrite,
        top=given.top,
        num_poses=given.num_poses,
        rigid=given.rigid,
        seed=given.seed,
        effort=given.effort,
        on_error=given.on_error,
        engine=given.engine,
        notes={"pocket": str(Path(given.pocket).resolve()), "device": given.device},
    )
    best, failed = float("-inf"), 0
    with progress("screen", library.count) as advance:
        for row in rows:
            failed += bool(row.error)
            best = best if row.error else max(best, row.score)
            advance(f"best {best:.2f}" + (f", {failed} failed" if failed else ""))
    _summary(Path(given.out))
    return 0


def _summary(folder: Path) -> None:
    """Print the best records and where everything is.

    Raises:
        InputError: If no record could be docked.
    """
    import csv
    from itertools import islice

    from rich.console import Console
    from rich.table import Table

    from overparam.run_folder import read_report

    report = read_report(folder)
    metrics = report["metrics"]
    if not metrics["docked"]:
        raise InputError(
            f"none of the {metrics['records']} records could be docked; the first: "
            f"{report['first_failures'][0]} (all: {folder / 'failures.csv'})"
        )
    tell(report["warnings"])
    table = Table(title=f"best of {metrics['docked']}, {report['model']}", title_justify="left")
    for column, side in (("rank", "right"), ("name", "left"), ("record", "right")):
        table.add_column(column, justify=side, overflow="fold")  # type: ignore[arg-type]
    table.add_column("score", justify="right")
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as text:
        for rank, row in enumerate(islice(csv.DictReader(text), _LISTED), start=1):
            table.add_row(str(rank), row["name"], row["record"], f"{float(row['score']):.3f}")
    Console().print(table)
    print(
        f"{metrics['docked']} docked, {metrics['failed']} failed in {report['wall_seconds']:.1f} s "
        f"({report['records_per_second']} a second)"
    )
    for file in ("scores.csv", "poses.sdf", "failures.csv", "report.json"):
        print(f"{file.split('.')[0]}: {folder / file}")
