"""Make the weights the package ships from a training run: see ``docking.learned.shipping``.

python scripts/ship_docking_weights.py RUN --name hybrid
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from docking.learned.shipping import ship
from docking.models import WEIGHTS
from overparam.errors import InputError


def main(args: list[str] | None = None) -> int:
    """Write the weights and the record of where they come from; return the exit code."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the training run")
    parser.add_argument("--name", required=True, help="name the weights are loaded by")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where (default: the package)")
    given = parser.parse_args(args)
    try:
        record = ship(given.run, given.name, given.out)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.out / given.name}.ckpt: {record['bytes']} bytes")
    print(f"confidence: {record['confidence']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
