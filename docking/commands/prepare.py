"""``python -m docking prepare``: the maps of a pocket, to be used for any number of ligands."""

import os
import time
from pathlib import Path

from docking.commands.display import tell
from docking.commands.options import (
    add_box,
    add_file,
    add_receptor,
    command_parser,
    out_files,
    parse,
)
from docking.commands.site import load_scoring, read_site
from overparam.errors import InputError


def main(args: list[str]) -> int:
    """Prepare a pocket and write it.

    Raises:
        InputError: If something the user gave cannot be used.
    """
    parser = command_parser(
        "prepare",
        "Compute the maps of a pocket once; dock and screen take the file with --pocket.",
        "python -m docking prepare --receptor r.pdb --box-from crystal.sdf --out pocket.pt",
    )
    add_receptor(parser)
    add_box(parser)
    add_file(parser, "file to write, usually .pt")
    given = parse(parser, args)
    out = Path(given.out)
    out_files(given, out)
    model = load_scoring(given)
    site = read_site(given)
    began = time.monotonic()
    pocket = model.prepare(site.receptor, site.box)
    seconds = time.monotonic() - began
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        pocket.save(partial)
        partial.replace(out)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{out} cannot be written ({error})") from None
    tell(site.warnings)
    print(f"{site.receptor}\n{site.box}\n{pocket}")
    print(f"wrote {out} ({out.stat().st_size / 2**20:.1f} MiB, maps in {seconds:.2f} s)")
    return 0
