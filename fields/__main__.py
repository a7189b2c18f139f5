"""``python -m fields COMMAND ...``: fit, validate, test, predict, render and activations."""

import sys

from overparam.cli import run


def render(args: list[str]) -> int:
    """Draw a fitted field; the drawing code is imported when asked for."""
    from fields.render import main as draw

    return draw(args)


def activations(args: list[str]) -> int:
    """Draw how a field's layers are distributed."""
    from fields.activations import main as measure

    return measure(args)


def main() -> int:
    """Run the command line and return its exit code."""
    commands = {
        "render": (render, "write a fitted field at any resolution: png, wav, mp4"),
        "activations": (activations, "draw how the layers of a field are distributed"),
    }
    return run("fields", commands=commands)


if __name__ == "__main__":
    sys.exit(main())
