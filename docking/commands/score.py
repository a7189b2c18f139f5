"""``python -m docking score``: what poses are worth as they stand, or after minimisation."""

import csv
import io
from pathlib import Path
from typing import Any

from docking.commands.display import progress, tell
from docking.commands.options import (
    add_box,
    add_file,
    add_receptor,
    command_parser,
    out_files,
    parse,
)
from docking.commands.site import load_scoring, read_site
from overparam.cli import complain
from overparam.errors import InputError
from overparam.run_folder import write_whole

COLUMNS = ("record", "name", "score", "total", "inter", "intra", "torsion")
MOVED = "rmsd_moved"


def main(args: list[str]) -> int:
    """Score poses and write a table.

    Raises:
        InputError: If something the user gave cannot be used, or no pose could be scored.
    """
    parser = command_parser(
        "score",
        "Score every pose of a file where it stands. The table has the model's score (higher is "
        "better) and Vina's energies in kcal/mol: total (what vina --score_only prints), inter, "
        "intra, and torsion, the share of the rotatable bonds.",
        "python -m docking score --receptor r.pdb --ligand poses.sdf --box-from crystal.sdf "
        "--out scores.csv",
    )
    add_receptor(parser)
    parser.add_argument(
        "--ligand", required=True, metavar="FILE", help="poses: .sdf .mol2 .pdbqt, each also .gz"
    )
    add_box(parser)
    parser.add_argument(
        "--minimize",
        action="store_true",
        help="lead each pose to the nearest minimum first; the poses go beside --out as .sdf",
    )
    parser.add_argument("--rigid", action="store_true", help="with --minimize: hold the torsions")
    add_file(parser, "table to write, .csv")
    given = parse(parser, args)
    if given.rigid and not given.minimize:
        raise InputError("--rigid goes with --minimize: a score moves nothing")
    out = Path(given.out)
    moved = out.with_suffix(".sdf")
    if out.suffix.lower() != ".csv":
        raise InputError(f"--out must end in .csv, got {out.name}")
    if given.minimize and moved.resolve() == Path(given.ligand).resolve():
        raise InputError(f"the minimised poses would replace {given.ligand}; choose another --out")
    out_files(given, out, *([moved] if given.minimize else []))
    model = load_scoring(given)
    site = read_site(given)
    pocket = model.prepare(site.receptor, site.box)
    from docking.ligand import Failure, Ligand

    failures: list[Failure] = []
    warnings = list(site.warnings)
    rows: dict[int, list[object]] = {}
    blocks: list[str] = []
    with progress("score") as advance:
        for ligand in Ligand.iter_file(given.ligand, failures=failures):
            try:
                row, block = _row(model, pocket, site, ligand, given)
            except InputError as error:
                failures.append(Failure(ligand.record, str(error)))
                continue
            warnings += [f"{ligand.name}: {text}" for text in [*ligand.warnings, *row.pop("notes")]]
            rows[ligand.record] = [*row.values(), ""]
            blocks.append(block)
            advance(ligand.name)
    if not rows:
        raise InputError(failures[0].reason if failures else f"{given.ligand}: no pose in it")
    columns = [*COLUMNS, *([MOVED] if given.minimize else []), "error"]
    for failure in failures:
        blank = [""] * (len(columns) - 2)
        rows[failure.record] = [failure.record, *blank, failure.reason]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows[record] for record in sorted(rows))
    if given.minimize:
        write_whole(moved, "".join(blocks))
    write_whole(out, buffer.getvalue())
    tell(warnings)
    for failure in failures:
        complain(failure.reason, "left out")
    scored = len(rows) - len(failures)
    best = max((r for r in rows.values() if not r[-1]), key=lambda r: float(str(r[2])))
    print(f"{scored} poses scored, best {best[1]} (record {best[0]}): {best[2]}")
    print(f"wrote {out}" + (f" and {moved}" if given.minimize else ""))
    return 0


def _row(model: Any, pocket: Any, site: Any, ligand: Any, given: Any) -> tuple[dict[str, Any], str]:
    """One line of the table, and the minimised pose as SDF."""
    import numpy as np

    from docking.physics import vina_energy
    from docking.sdf import sdf_block

    if ligand.coords is None:
        raise InputError(f"{ligand.name}: no 3-D coordinates, so there is no pose to score")
    coords, notes, rest, block = ligand.coords, [], {}, ""
    outside = int((~site.box.contains(coords[ligand.heavy])).sum())
    if outside:
        notes.append(f"{outside} heavy atoms lie outside the box")
    if given.minimize:
        options = {"rigid": True} if given.rigid else {}
        poses, found = model.minimize(pocket, ligand, coords[None], **options)
        shift = (poses[0] - coords)[ligand.heavy]
        coords, score = poses[0], float(found[0])
        rest[MOVED] = f"{np.sqrt((shift**2).sum(-1).mean()):.4f}"
    else:
        score = float(model.score(pocket, ligand, coords[None])[0])
    terms = vina_energy(site.receptor, ligand, coords, terms=True)
    row: dict[str, Any] = {"record": ligand.record, "name": ligand.name, "score": f"{score:.5f}"}
    row |= {name: f"{float(getattr(terms, name)):.5f}" for name in COLUMNS[3:]}
    if given.minimize:
        block = sdf_block(ligand, coords, {"model": model.name, **row, **rest})
    return {**row, **rest, "notes": notes}, block
