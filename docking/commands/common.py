"""Options that the docking commands share, and what they mean.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from overparam.cli import LineParser, add_common_arguments, complain, select_device
from overparam.errors import InputError

if TYPE_CHECKING:
    from docking.box import Box
    from docking.molecule import Receptor

PADDING = 4.0
_SHOWN = 8  # warnings told on the screen; reports have all
_AXES = ("x", "y", "z")


def command_parser(name: str, about: str, example: str) -> LineParser:
    """A parser with ``--seed``, ``--device`` and ``--scoring``."""
    parser = LineParser(
        prog=f"python -m docking {name}",
        description=about,
        epilog=f"example: {example}",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--scoring",
        default="physics",
        metavar="MODEL",
        help="physics (Vina's energy, needs no weights), esf, hybrid, or a checkpoint "
        "(default: physics)",
    )
    add_common_arguments(parser)
    return parser


def parse(parser: LineParser, args: list[str]) -> Namespace:
    """Parse a command's words.

    Raises:
        InputError: If they do not parse, or the seed is out of range.
    """
    given = parser.parse_args(args)
    if not 0 <= given.seed < 2**31:
        raise InputError(f"--seed must lie between 0 and {2**31 - 1}, got {given.seed}")
    return given


def add_receptor(parser: LineParser, *, required: bool = True) -> None:
    """Options that say what the pocket is made of."""
    group = parser.add_argument_group("receptor")
    group.add_argument(
        "--receptor", required=required, metavar="FILE", help=".pdb .cif .pdbqt, each also .gz"
    )
    group.add_argument("--chains", metavar="A,B", help="chains to keep; default: all")
    group.add_argument(
        "--keep-hetero",
        default="auto",
        metavar="auto|all|none|NAMES",
        help="ions, cofactors and small molecules to keep; auto leaves out additives and a "
        "deposited ligand (default: auto)",
    )
    group.add_argument("--keep-waters", action="store_true", help="keep water molecules")


def add_box(parser: LineParser) -> None:
    """Options that say where the ligand may be; Vina's and smina's spellings work too."""
    group = parser.add_argument_group("search box: --box-from, or --center and --size")
    group.add_argument(
        "--box-from",
        "--autobox_ligand",
        metavar="FILE",
        help="a ligand in the pocket; the box is drawn around it, and it is taken out of the "
        "receptor if it is still there",
    )
    group.add_argument(
        "--box-padding",
        "--autobox_add",
        type=float,
        metavar="A",
        help=f"room around that ligand on every side, angstrom (default: {PADDING:g})",
    )
    for option, what in (("center", "centre of the box"), ("size", "its edge lengths")):
        group.add_argument(
            f"--{option}", nargs=3, type=float, metavar=("X", "Y", "Z"), help=f"{what}, angstrom"
        )
        for axis in _AXES:
            group.add_argument(f"--{option}_{axis}", type=float, metavar="A", help=f"{axis} of it")


def add_search(parser: LineParser, *, num_poses: int) -> None:
    """Options of the search itself."""
    group = parser.add_argument_group("search")
    group.add_argument("--rigid", action="store_true", help="hold torsions and rings as they are")
    group.add_argument(
        "--num-poses",
        "--num_modes",
        type=count("--num-poses"),
        default=num_poses,
        metavar="N",
        help=f"poses per ligand, at least 1 angstrom apart (default: {num_poses})",
    )
    group.add_argument(
        "--effort",
        type=_positive("--effort"),
        default=1.0,
        metavar="F",
        help="multiplies the number of search steps (default: 1)",
    )


def add_folder(parser: LineParser, what: str) -> None:
    """``--out DIR`` and what to do if it is there."""
    parser.add_argument("--out", required=True, metavar="DIR", help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")


def refuse_inputs_inside(given: Namespace, *names: str) -> None:
    """Refuse an ``--out`` folder that holds an input: replacing the run would delete it.

    Raises:
        InputError: If one does.
    """
    out = Path(given.out).resolve()
    for name in names:
        value = getattr(given, name)
        if value is not None and out in Path(value).resolve().parents:
            option = name.replace("_", "-")
            raise InputError(f"--out {given.out} holds --{option} {value}; choose another --out")


def add_file(parser: LineParser, what: str) -> None:
    """``--out FILE`` and what to do if it is there."""
    parser.add_argument("--out", required=True, metavar="FILE", help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def out_files(given: Namespace, *files: Path) -> None:
    """Refuse to write where something is, or where there is no folder.

    Raises:
        InputError: If a file exists and ``--overwrite`` is not given, or cannot be written.
    """
    for file in files:
        if file.is_dir():
            raise InputError(f"--out must be a file, but {file} is a folder")
        if file.exists() and not given.overwrite:
            raise InputError(
                f"{file} exists already: --overwrite replaces it, --out FILE chooses another"
            )
        if not file.parent.is_dir():
            raise InputError(f"folder of --out must exist, got {file.parent}")
        if not os.access(file.parent, os.W_OK):
            raise InputError(f"folder of --out must be writable, got {file.parent}")


class Site(NamedTuple):
    """Receptor and box of a command.

    Attributes:
        receptor: The receptor, less the ligand that drew the box.
        box: The search box.
        warnings: Of both, one sentence each.
    """

    receptor: "Receptor"
    box: "Box"
    warnings: list[str]


def read_site(given: Namespace) -> Site:
    """Read the receptor and draw the box.

    Raises:
        InputError: If a file cannot be read, or the box is not given, given twice, or far from
            the receptor.
    """
    from docking.box import Box
    from docking.ligand import Ligand
    from docking.molecule import Receptor

    center, size = _three(given, "center"), _three(given, "size")
    if given.box_from is not None and (center or size):
        raise InputError("give the box once: --box-from FILE, or --center X Y Z and --size X Y Z")
    if given.box_from is None and not (center and size):
        missing = f"--{'size' if center else 'center'} is missing: " if center or size else ""
        raise InputError(
            f"{missing}give the box by --box-from FILE, or by --center X Y Z and --size X Y Z"
        )
    if given.box_from is None and given.box_padding is not None:
        raise InputError("--box-padding goes with --box-from; --size is the whole box")
    hetero: str | list[str] = given.keep_hetero
    if hetero not in ("auto", "all", "none"):
        hetero = given.keep_hetero.split(",")
    receptor = Receptor.from_file(
        given.receptor,
        chains=given.chains.split(",") if given.chains else None,
        keep_hetero=hetero,
        keep_waters=given.keep_waters,
    )
    warnings: list[str] = []
    if given.box_from is not None:
        around = Ligand.from_file(given.box_from)
        warnings += [f"{given.box_from}: {warning}" for warning in around.warnings]
        box = Box.from_ligand(around, PADDING if given.box_padding is None else given.box_padding)
        receptor = receptor.without_ligand(around)
    else:
        assert center is not None and size is not None
        box = Box(center, size)
    box.check_receptor(receptor)
    return Site(receptor, box, [*receptor.warnings, *box.warnings, *warnings])


def site_settings(given: Namespace, site: Site) -> dict[str, Any]:
    """What ``config.yaml`` says of them."""
    return {
        "receptor": str(Path(given.receptor).resolve()),
        "chains": given.chains,
        "keep_hetero": given.keep_hetero,
        "keep_waters": given.keep_waters,
        "box_from": None if given.box_from is None else str(Path(given.box_from).resolve()),
        "center": [round(float(value), 4) for value in site.box.center],
        "size": [round(float(value), 4) for value in site.box.size],
    }


def site_report(site: Site) -> dict[str, Any]:
    """What ``report.json`` says of them."""
    return {
        "receptor": {
            "file": site.receptor.source,
            "heavy_atoms": int(site.receptor.heavy.sum()),
            "residues": len(site.receptor.residues),
        },
        "box": {"center": site.box.center.tolist(), "size": site.box.size.tolist()},
    }


def load_scoring(given: Namespace) -> Any:
    """The scoring model, and a check of ``--device``.

    Raises:
        InputError: If there is no such model or device.
    """
    from docking.model import load_model

    device = select_device(given.device)
    model = load_model(given.scoring)
    if device.type == "cuda" and given.device == "cuda" and model.name == "physics":
        complain("scoring physics searches on the CPU; --device cuda changes nothing", "note")
    return model


def tell(warnings: Iterable[str]) -> None:
    """Say warnings on standard error, each once, the first few."""
    lines = list(dict.fromkeys(warnings))
    for line in lines[:_SHOWN]:
        complain(line, "warning")
    if len(lines) > _SHOWN:
        complain(f"{len(lines) - _SHOWN} more; report.json has them", "warning")


def cores() -> int:
    """Processor cores this process may use, at most 8."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        usable = os.cpu_count() or 1
    return min(8, usable)


@contextmanager
def progress(what: str, total: Callable[[], int | None] | None = None) -> Iterator[Any]:
    """A bar on standard error; yields a function that moves it, given words to show.

    Silent where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield lambda words="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}"),
        console=Console(stderr=True),
        refresh_per_second=4,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=total() if total else None, words="")
        yield lambda words="": bar.update(task, advance=1, words=words)


def count(name: str) -> Any:
    """A type for argparse: a whole number of at least 1."""

    def read(text: str) -> int:
        if not text.isdigit() or int(text) < 1:
            raise InputError(f"{name} must be a whole number of at least 1, got {text!r}")
        return int(text)

    return read


def _positive(name: str) -> Any:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            raise InputError(f"{name} must be a positive number, got {text!r}")
        return value

    return read


def _three(given: Namespace, option: str) -> list[float] | None:
    """``--center X Y Z`` or its three parts."""
    whole = getattr(given, option)
    parts = [getattr(given, f"{option}_{axis}") for axis in _AXES]
    named = ", ".join(f"--{option}_{axis}" for axis in _AXES)
    if whole is not None and any(part is not None for part in parts):
        raise InputError(f"give --{option} X Y Z or {named}, not both")
    if whole is not None:
        return list(whole)
    if all(part is None for part in parts):
        return None
    if any(part is None for part in parts):
        raise InputError(f"{named} go together: give all three")
    return parts
