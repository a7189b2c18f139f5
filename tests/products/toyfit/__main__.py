"""``python -m toyfit``."""

import sys

from overparam.cli import run


def fail(words: list[str]) -> int:
    """Stand for a command whose result does not pass its own check."""
    print(" ".join(words))
    return 3


def main(args: list[str] | None = None) -> int:
    """Run a command."""
    return run("toyfit", args, {"check": (fail, "always ends with code 3")})


if __name__ == "__main__":
    sys.exit(main())
