"""Options that the docking commands share.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once.
"""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from overparam.cli import LineParser, add_common_arguments
from overparam.errors import InputError

PADDING = 4.0
"""Room around a ligand that draws the box, angstrom, if nothing is said."""
AXES = ("x", "y", "z")


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
        for axis in AXES:
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


def cores() -> int:
    """Processor cores this process may use, at most 8."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        usable = os.cpu_count() or 1
    return min(8, usable)


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
