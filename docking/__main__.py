"""``python -m docking COMMAND ...``: dock, score, prepare, screen, and Lightning's commands."""

import importlib
import sys
from collections.abc import Callable

from overparam.cli import Command, run


def _command(module: str) -> Callable[[list[str]], int]:
    """A command whose code is imported when it is asked for."""

    def call(args: list[str]) -> int:
        found: int = importlib.import_module(f"docking.{module}").main(args)
        return found

    return call


COMMANDS: dict[str, Command] = {
    name: (_command(module), about)
    for name, module, about in (
        ("dock", "commands.dock", "find the best poses of ligands in a pocket"),
        ("score", "commands.score", "score poses where they stand"),
        ("prepare", "commands.prepare", "compute the maps of a pocket once"),
        ("screen", "commands.screen", "dock every record of a library"),
        ("benchmark", "benchmark.command", "success and cost on known complexes, beside Vina"),
        ("figures", "commands.figures", "pictures of finished benchmark runs, with their numbers"),
    )
}


def main() -> int:
    """Run the command line and return its exit code."""
    return run("docking", commands=COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
