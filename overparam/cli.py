"""One command line for every package: ``python -m <package> <command> ...``.

``fit``, ``validate``, ``test`` and ``predict`` are Lightning's and read yaml; a package adds its
own commands in a table. Nothing heavy is imported until a command needs it, so that ``--help``
and a wrong name answer at once.
"""

import difflib
import importlib
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from overparam.errors import InputError

if TYPE_CHECKING:
    import torch

DONE, BAD_INPUT, UNVERIFIED, INTERRUPTED = 0, 2, 3, 130

TRAINER_COMMANDS = {
    "fit": "train, and leave a run folder",
    "validate": "measure on the validation data",
    "test": "measure on the test data",
    "predict": "evaluate on the prediction data",
}

Command = tuple[Callable[[list[str]], int], str]


def run(
    package: str,
    args: Sequence[str] | None = None,
    commands: Mapping[str, Command] | None = None,
) -> int:
    """Run one command of ``package`` and return its exit code.

    Args:
        package: Import name whose ``configs`` folder holds the bundled configs.
        args: Words after ``python -m <package>``; default those of this process.
        commands: The package's own commands: name to (function of the remaining words that
            returns an exit code, one line of help).

    Returns:
        0 done; 2 bad input, told in one line on standard error; 3 finished, but the result did
        not pass its own check; 130 interrupted. Mistakes of ours still raise.
    """
    own = dict(commands or {})
    words = list(sys.argv[1:] if args is None else args)
    try:
        if words[:1] in (["-h"], ["--help"]):
            print(overview(package, own))
            return DONE
        if not words:
            names = ", ".join([*TRAINER_COMMANDS, *own])
            raise InputError(f"no command given; one of {names} (python -m {package} --help)")
        name, rest = words[0], words[1:]
        if name in own:
            return own[name][0](rest)
        if name in TRAINER_COMMANDS:
            from overparam.trainer_cli import run_trainer

            return run_trainer(package, name, rest)
        near = did_you_mean(name, [*TRAINER_COMMANDS, *own])
        known = ", ".join([*TRAINER_COMMANDS, *own])
        raise InputError(f"{package} has no command {name!r}{near}; it has {known}")
    except InputError as error:
        complain(error)
        return BAD_INPUT
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `... --help | head` closes our output early
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def complain(what: object, kind: str = "error") -> None:
    """Say one line on standard error."""
    print(f"{kind}: {' '.join(str(what).split())}", file=sys.stderr)


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    """Return `` (did you mean ...?)`` if some known name is close, else nothing."""
    near = difflib.get_close_matches(wrong, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def bundled_configs(package: str) -> dict[str, Path]:
    """Map the name of each config shipped inside ``package`` to its file."""
    folder = Path(str(resources.files(package))) / "configs"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def resolve_config(value: str, package: str) -> Path:
    """Return ``value`` as a path if it is a file, else the bundled config so named.

    Raises:
        InputError: If it is neither; the message lists the bundled names.
    """
    if Path(value).is_file():
        return Path(value)
    known = bundled_configs(package)
    if value in known:
        return known[value]
    names = ", ".join(known) or "none yet"
    near = did_you_mean(value, list(known))
    raise InputError(
        f"no config file or bundled config {value!r}{near}; {package} bundles: {names}"
    )


def overview(package: str, commands: Mapping[str, Command]) -> str:
    """Return what ``python -m <package> --help`` prints."""
    configs = {name: _first_comment(file) for name, file in bundled_configs(package).items()}
    # a layer such as ticket is no run by itself
    example = next((name for name in configs if name != "ticket"), "mine.yaml")
    table = dict(TRAINER_COMMANDS) | {name: line for name, (_, line) in commands.items()}
    width = max(len(name) for name in [*table, *configs]) + 2
    about = " ".join((importlib.import_module(package).__doc__ or package).split("\n\n")[0].split())
    lines = [about, "", f"usage: python -m {package} COMMAND ...", "", "commands:"]
    lines += [f"  {name:{width}}{line}" for name, line in table.items()]
    lines += ["", "bundled configs (--config NAME; a path works too; several layer left to right):"]
    lines += [f"  {name:{width}}{line}" for name, line in configs.items()] or ["  none yet"]
    fit = f"  python -m {package} fit --config {example}"
    lines += [
        "",
        "examples:",
        f"{fit}",
        f"{fit} --trainer.max_steps 100 --seed 1 --out runs/one",
        f"{fit} --resume                        # go on after an interruption",
        f"{fit} --print_config > mine.yaml      # then edit it",
        f"  python -m {package} validate --ckpt_path runs/{Path(example).stem}/last.ckpt",
        f"  python -m {package} fit --help       # every key that can be set",
        "",
        "exit codes: 0 done, 2 bad input (one line says what), 3 finished but not verified",
    ]
    return "\n".join(lines)


def teaching(package: str, command: str) -> str:
    """Return the paragraph that ``python -m <package> <command> --help`` begins with."""
    return (
        f"{TRAINER_COMMANDS[command].capitalize()}. Every key of the yaml can be set here, for "
        f"example: python -m {package} {command} --config NAME --seed 1 --trainer.max_steps 100 "
        f"(the bundled names: python -m {package} --help)."
    )


def add_common_arguments(parser: ArgumentParser) -> None:
    """Give a package's own command the options every command has: ``--seed`` and ``--device``."""
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to compute"
    )


def select_device(name: str | None) -> "torch.device":
    """Return the torch device called ``auto``, ``cpu`` or ``cuda``; ``None`` means ``auto``.

    Raises:
        InputError: If CUDA is asked for and absent, or the name is another.
    """
    if name not in (None, "auto", "cpu", "cuda"):
        raise InputError(f"--device must be auto, cpu or cuda, got {name!r}")
    import torch

    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise InputError("--device cuda: no CUDA device was found; use --device cpu or auto")
    return torch.device("cuda" if present and name != "cpu" else "cpu")


class LineParser(ArgumentParser):
    """An argument parser whose complaints are one line: for a package's own commands."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise ``InputError`` instead of printing the usage."""
        raise InputError(f"{message} ({self.prog} --help)")


def _first_comment(file: Path) -> str:
    """The first comment line of a config says what it is for."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("#"):
                return line.lstrip("# ").strip().split(" Run:")[0]
    return ""
