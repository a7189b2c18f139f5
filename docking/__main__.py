"""``python -m docking COMMAND ...``: Lightning's commands; its own arrive with its models."""

import sys

from overparam.cli import run


def main() -> int:
    """Run the command line and return its exit code."""
    return run("docking")


if __name__ == "__main__":
    sys.exit(main())
