"""``python -m overparam``: what can be asked of a checkpoint from the command line."""

import sys

from overparam.cli import BAD_INPUT, DONE, complain

HELP = """usage: python -m overparam COMMAND ...

commands:
  diagnose CKPT --with NAME,...   not in this release: arrives with the diagnostics

The base is a library: masks, lottery tickets, physical shrink, budgets, populations. Start with
  import overparam; help(overparam.find_ticket); help(overparam.OverparameterizedModule)
Training commands belong to the products, for example: python -m fields --help
"""


def main(args: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    words = sys.argv[1:] if args is None else args
    if words[:1] in (["-h"], ["--help"]):
        print(HELP, end="")
        return DONE
    if words[:1] == ["diagnose"]:
        complain("diagnose is not in this release; python -m overparam --help says what is")
        return BAD_INPUT
    given = repr(words[0]) if words else "none"
    complain(f"overparam has the command diagnose, got {given} (python -m overparam --help)")
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
