"""``python -m fields COMMAND ...``: fit, validate, test, predict and render."""

import sys

from overparam.cli import run


def render(args: list[str]) -> int:
    """Draw a fitted field; the drawing code is imported when asked for."""
    from fields.render import main as draw

    return draw(args)


def main() -> int:
    """Run the command line and return its exit code."""
    return run("fields", commands={"render": (render, "draw a fitted field at any resolution")})


if __name__ == "__main__":
    sys.exit(main())
